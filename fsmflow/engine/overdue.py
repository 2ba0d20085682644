"""Since when an entity has to be in a state to be overdue there: as the code of today expects it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fsmflow.definition.model import Definition, StateSpec
from fsmflow.store.listing import Since


def expecting(definition: Definition) -> Iterator[tuple[str, StateSpec]]:
    """The states with ``expect``, by each name under which entities in them may be stored."""
    states = {**{name: name for name in definition.states}, **definition.wide.renamed}
    for stored, state in states.items():
        spec = definition.states[state]
        if spec.expect_ms is not None:
            yield stored, spec


def overdue_from(definitions: Iterable[Definition], now: int) -> list[Since]:
    """The states with ``expect`` of these machines, each with the last moment at which what is overdue entered it."""
    return [
        Since(machine=definition.name, state=stored, at=now - (spec.expect_ms or 0) - 1)
        for definition in definitions
        for stored, spec in expecting(definition)
    ]
