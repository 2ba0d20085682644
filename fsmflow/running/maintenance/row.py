"""A row that is due: to decide on it as it is now, and for how long to put it off where that cannot be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fsmflow import log
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Crashed, Happening
from fsmflow.engine import followup
from fsmflow.engine.commits import TRIES, until_first
from fsmflow.engine.lookup import address_of, instance_of
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import EntityNotFound, TransitionConflict

#: The database was away, or somebody else holds what is needed.
LOCKED_MS: Final = 2_000
#: What the code here cannot handle, as it is of another version.
STRANGE_MS: Final = 10_000
#: It raised what nobody had thought of.
POISON_MS: Final = 30_000
#: It was decided that nothing happens.
REFUSED_MS: Final = 60_000


def apply(runtime: Runtime, row: int, happening: Callable[[Snapshot], Happening]) -> None:
    """Decide and commit on an entity as it is now, anew as long as others write first.

    Raises what ``happening`` and the decision raise, EntityNotFound, TransitionConflict.
    """

    def decide_once(turn: int) -> object | None:
        snapshot = runtime.store.entities.load_row(row)
        if snapshot is None:
            raise EntityNotFound(f"entity row {row}")
        root = runtime.machines.get(snapshot.machine)
        happens = happening(snapshot)
        applied = followup.attempt(runtime, instance_of(root, snapshot), happens)
        if applied is not None and isinstance(happens, Crashed):
            log.attempt_crashed(snapshot.address, happens.detail)
        return applied

    if until_first(decide_once) is None:
        raise TransitionConflict(address_of(runtime, row), f"others changed it {TRIES} times while this was decided")
