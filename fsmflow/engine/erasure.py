"""Erases what is below an entity, before that: whoever dies in between leaves it to be erased by the same request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fsmflow.decision.erasure import ERASE
from fsmflow.decision.happenings import Erased
from fsmflow.decision.history import HistoryKind
from fsmflow.engine.commits import attempt, conflict
from fsmflow.engine.lookup import Instance, instance_for
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import TransitionNotAllowed
from fsmflow.values import replace

#: Branches that are erased in one transaction.
_FEW: Final = 20


def check_idle(runtime: Runtime, instance: Instance) -> None:
    """Raises TransitionNotAllowed where something is still under way of an entity, or of anything below it."""
    snapshot, store = instance.snapshot, runtime.store
    busy = store.erasure.busy(snapshot.row)
    if busy is None:
        return
    found = store.entities.load_row(busy)
    address = snapshot.address if found is None else found.address
    why = (
        f"something of {address} is still under way, and needs what would be erased: 'fsmflow explain {address}' says "
        f"what. Let it end, or 'cancel' it; 'drop' takes away an event or a message"
    )
    raise TransitionNotAllowed(snapshot.address, snapshot.state, ERASE, why=why)


def erase_below(runtime: Runtime, instance: Instance, asked: Erased) -> None:
    """Erase the branches and children of an entity, at all levels, the deepest first; what has been erased is left out.

    Raises what the decision refuses, and TransitionConflict.
    """
    rows = runtime.store.erasure.below(instance.snapshot.row)[::-1]
    below = replace(asked, key=None, confirms=None)
    for start in range(0, len(rows), _FEW):
        few = rows[start : start + _FEW]
        runtime.store.link.write(lambda few=few: _erase(runtime, few, below))  # type: ignore[misc]


def _erase(runtime: Runtime, rows: Sequence[int], asked: Erased) -> None:
    for row in rows:
        snapshot = runtime.store.entities.load_row(row)
        if snapshot is None or runtime.store.entities.entry(row, snapshot.seq).kind is HistoryKind.ERASED:
            continue
        if attempt(runtime, instance_for(runtime, snapshot), asked) is None:
            raise conflict(snapshot.address)
