"""Brings what was there before a machine declared what it is searched by into the table of terms, page by page."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from fsmflow.definition.model import Definition
from fsmflow.engine.runtime import Runtime


def bring_in(runtime: Runtime, definition: Definition) -> Iterator[int]:
    """Do it for what a machine declares and what is not all in yet; after each page the row up to which it is.

    Each page is one transaction, and notes how far it has come: whoever goes on, or dies, leaves the rest to the next.
    Code that does not know of the declaration and still runs meanwhile changes data without their terms.
    """
    search, machine = runtime.store.search, definition.name
    progress = search.progress().get(machine, {})
    fields = [field for field in definition.wide.search if field not in progress or progress[field] is not None]
    after: int | None = min((progress.get(field) or 0 for field in fields), default=None)
    while after is not None:
        after = search.bring_in(machine, fields, after)
        search.note(machine, dict.fromkeys(fields, after))
        if after is not None:
            yield after


def bring_in_all(runtime: Runtime) -> None:
    """All of it, for all machines of the code; and nothing is left of what they declare no more."""
    take_out(runtime)
    for definition in runtime.machines.all().values():
        if definition.wide.search:
            deque(bring_in(runtime, definition), maxlen=0)


def take_out(runtime: Runtime) -> list[str]:
    """Take away what machines of the code declare no more; which fields of which machines."""
    search, known = runtime.store.search, runtime.machines.all()
    gone = []
    for machine, noted in search.progress().items():
        declared = known[machine].wide.search if machine in known else None
        dropped = [] if declared is None else sorted(set(noted).difference(declared))
        search.note(machine, {}, drop=dropped)
        for field in dropped:
            search.drop(machine, field)
            gone.append(f"{machine}.{field}")
    return gone
