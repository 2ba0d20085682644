"""What ``fsmflow top`` shows when somebody looks closer: what a command prints, and the entities in a state."""

from __future__ import annotations

import io
import shlex
import textwrap
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Final

from rich.text import Text

from fsmflow.cli import output
from fsmflow.cli.catalogue import CATALOGUE
from fsmflow.cli.errors import sentence
from fsmflow.cli.frame import Size, rows_of
from fsmflow.cli.sections import ENTITY, Item, Section
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.inputs import Actor
from fsmflow.definition.names import FAILED
from fsmflow.engine.runtime import current
from fsmflow.engine.selection import Selection, select

#: So many entities of a state are shown, those that are there for longest.
_MOST: Final = 200


class Page:
    """What a command prints, to be looked through."""

    def __init__(self, *command: str) -> None:
        self.title = shlex.join(["fsmflow", *command])
        self._command = command
        self._lines = _printed(command)
        self._first = 0

    def refresh(self) -> None:
        """Have it printed anew."""
        self._lines = _printed(self._command)

    def lines(self, size: Size) -> list[Text]:
        """As much of it as there is room for."""
        every = [part for line in self._lines for part in _broken(line, size.width)]
        self._first = max(0, min(self._first, len(every) - size.height))
        shown = every[self._first : self._first + size.height]
        if len(every) > size.height:
            part = f"{self._first + 1:,}-{self._first + len(shown) - 1:,} of {len(every):,} lines"
            shown[-1:] = [Text(part, "dim")]
        return shown

    def move(self, by: int) -> None:
        """Show what is farther down, or up."""
        self._first = max(0, self._first + by)

    @property
    def chosen(self) -> Item | None:
        """Nothing is chosen here."""
        return None


class Listing:
    """The entities in a state, those that are there for longest first."""

    def __init__(self, machine: str, state: str, actor: Actor | None) -> None:
        self.title = shlex.join(["fsmflow", "list", "--machine", machine, "--state", state])
        self._actor = actor
        self._selection = Selection(machine=machine, states=(state,), older_ms=0)
        self._items: Sequence[Item] = ()
        self._at = 0
        self.refresh()

    def refresh(self) -> None:
        """Look again. One query, and one for each page."""
        runtime = current()
        now, chosen = runtime.now(), self.chosen
        self._items = [_item(each, now) for each in select(runtime, self._selection, limit=_MOST, actor=self._actor)]
        same = (at for at, item in enumerate(self._items) if chosen is not None and item.name == chosen.name)
        self._at = next(same, self._at)

    def lines(self, size: Size) -> list[Text]:
        """The rows around the one that is chosen."""
        nothing = "nothing is in this state now"
        section = Section(columns=("ADDRESS", ">THERE FOR", "FAILURE"), items=self._items, nothing=nothing)
        return rows_of(section, self.chosen, size)

    def move(self, by: int) -> None:
        """Choose another row."""
        self._at = max(0, min(self._at + by, len(self._items) - 1))

    @property
    def chosen(self) -> Item | None:
        """The row that is chosen."""
        return self._items[min(self._at, len(self._items) - 1)] if self._items else None


def _item(snapshot: Snapshot, now: int) -> Item:
    failure = snapshot.failure
    why = "" if failure is None else output.one_line(f"{failure.error_type}: {failure.message}")
    cells = (snapshot.address, output.duration(max(0, now - snapshot.entered_at)), why)
    return Item(kind=ENTITY, name=snapshot.address, cells=cells, style="red" if snapshot.phase == FAILED else "")


def _printed(command: Sequence[str]) -> list[str]:
    """The lines that a command prints, or why it was refused."""
    entry = next(entry for entry in CATALOGUE if entry.name == command[0])
    printed = io.StringIO()
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            entry.load().main(list(command[1:]), prog_name=f"fsmflow {entry.name}", standalone_mode=False)
    except Exception as error:
        told = sentence(error)
        if told is None:
            raise
        printed.write(told)
    return output.clean(printed.getvalue()).splitlines()


def _broken(line: str, width: int) -> list[Text]:
    """A line, in as many as it takes; what follows on the first one is indented farther. What marks a place in the
    line above is cut."""
    if len(line) <= width or not line.strip(" ^~"):
        return [Text(line[:width])]
    indent = " " * min(len(line) - len(line.lstrip()) + 4, width // 3)
    return [Text(part) for part in textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False)]
