"""What a command notes of a selection beside what it finds: that rows are read one by one, or could never be found."""

from __future__ import annotations

from collections.abc import Iterator

from fsmflow.cli import output
from fsmflow.engine.children import by_machine
from fsmflow.engine.overdue import expecting
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.selection import Selection
from fsmflow.engine.sought import remark_of, way_of


def note_of(runtime: Runtime, selection: Selection, order: str | None = None) -> None:
    """Note it on standard error, each once. A query where a machine declares what it is searched by, and is asked for
    that. Raises UnknownMachine, DataError."""
    for line in dict.fromkeys(_lines(runtime, selection, order)):
        output.note(f"note: {line}")


def _lines(runtime: Runtime, selection: Selection, order: str | None) -> Iterator[str]:
    ways = [way_of(runtime, selection.machine, selection.conditions, order)]
    if selection.children:
        # Those that have such a child are few: what else is asked of them is compared without a word.
        asked = by_machine(runtime, selection.machine, selection.children)
        ways = [way_of(runtime, child, conditions, None) for child, conditions in asked.items()]
    yield from filter(None, (remark_of(runtime, way) for way in ways))
    if selection.overdue:
        yield from _never_overdue(runtime, selection.machine)


def _never_overdue(runtime: Runtime, machine: str | None) -> Iterator[str]:
    every = [one for one in runtime.machines.all().values() if machine in (None, one.name)]
    if not any(True for one in every for _ in expecting(one)):
        which = "no machine has a state" if machine is None else f"machine {machine!r} has no state"
        yield f"nothing can be overdue: {which} with expect="
