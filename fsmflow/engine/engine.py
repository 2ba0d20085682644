"""start, trigger, settle, pause ...: load -> decide -> commit -> dispatch. The only place where the floors meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from fsmflow.decision.decide import StaleClaim, begin, decide
from fsmflow.decision.events import Happening, Paused, Resumed, Triggered
from fsmflow.decision.records import Actor, Commit, HistoryEntry, Snapshot, checked_reason, checked_text
from fsmflow.definition.model import Definition
from fsmflow.definition.names import FINISHED, RETRY
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import EntityExists, EntityNotFound, TransitionConflict
from fsmflow.store.entities import ClaimLost, CommitLost
from fsmflow.store.work import Due

TRIES = 5
_FIRST = 1


def load(runtime: Runtime, definition: Definition, entity_id: str) -> Snapshot:
    """The entity as it is now. Raises EntityNotFound. One query."""
    snapshot = runtime.store.entities.load(definition.name, entity_id)
    if snapshot is None:
        raise EntityNotFound(f"{definition.name}:{entity_id}")
    return snapshot


def start(
    runtime: Runtime,
    definition: Definition,
    entity_id: str,
    data: Mapping[str, Any],
    *,
    if_exists: str,
    actor: Actor | None,
    key: str | None,
) -> Snapshot:
    """Commit a new entity, then dispatch its job. One transaction of 2 to 4 inserts, one Redis round trip.

    Raises EntityExists, unless ``if_exists="return"`` or the entity was started with the same ``key``. Once it
    returns, the entity is durable, whatever Redis does.
    """
    commit = begin(definition, entity_id, data, actor, key, runtime.now())
    for _ in range(TRIES):
        try:
            return _commit(runtime, commit)
        except CommitLost:
            there = runtime.store.entities.load_existing(definition.name, entity_id)
        if there is not None:
            same_key = key is not None and runtime.store.entities.seq_of_key(there.row, key, known=True) == _FIRST
            if if_exists == "return" or same_key:
                return there
            raise EntityExists(there.address, there.state)
    raise TransitionConflict(commit.after.address, f"it could not be started in {TRIES} tries")


def trigger(
    runtime: Runtime, definition: Definition, entity_id: str, happening: Triggered
) -> tuple[Snapshot, HistoryEntry]:
    """Fire a trigger from outside; the entity after it, and the entry that was written.

    With a key that was used before, nothing changes and the first entry comes back. One query (two with a key), one
    transaction of 2 to 4 statements, one Redis round trip.
    """
    if happening.key is not None:
        checked_text(happening.key, "key")
    happening = replace(happening, reason=checked_reason(happening.reason))
    for turn in range(TRIES):
        snapshot = load(runtime, definition, entity_id)
        if happening.key is not None:
            seq = runtime.store.entities.seq_of_key(snapshot.row, happening.key, known=turn > 0)
            if seq is not None:
                return snapshot, runtime.store.entities.entry(snapshot.row, seq)
        applied = attempt(runtime, definition, snapshot, happening)
        if applied is not None:
            commit, after = applied
            return after, commit.entries[0]
    raise _conflict(definition, entity_id)


def apply(
    runtime: Runtime, definition: Definition, read: Callable[[], Snapshot], happening: Happening
) -> tuple[Commit, Snapshot]:
    """Decide and commit on the entity as ``read`` finds it, anew as long as others write first.

    Raises what the decision refuses, StaleClaim for an attempt that no longer counts, TransitionConflict.
    """
    for _ in range(TRIES):
        applied = attempt(runtime, definition, read(), happening)
        if applied is not None:
            return applied
    snapshot = read()
    raise _conflict(definition, snapshot.entity_id)


def resume(
    runtime: Runtime, definition: Definition, entity_id: str, *, actor: Actor | None, reason: str | None
) -> Snapshot:
    """Paused: go on. Failed: retry. Dispatched and not being run: dispatch again. Otherwise nothing."""
    snapshot = load(runtime, definition, entity_id)
    if snapshot.phase == FINISHED:
        return snapshot
    was_paused = snapshot.paused
    if was_paused:
        happening = Resumed(actor=actor, reason=checked_reason(reason))
        _, snapshot = apply(runtime, definition, lambda: load(runtime, definition, entity_id), happening)
    spec = definition.states.get(snapshot.state)
    if spec is None or spec.is_failed:
        retry = Triggered(trigger=RETRY, actor=actor, reason=reason)
        snapshot, _ = trigger(runtime, definition, entity_id, retry)
        return snapshot
    work = snapshot.work
    waits = work is not None and work.owner is None and work.rung_at is not None and work.held is None
    if work is None or was_paused or not waits:
        return snapshot
    # A fresh doorbell: RQ remembers ids, and the one that it was given may be lost or still on its way.
    rings = runtime.store.work.ring([Due(row=snapshot.row, work=work)], runtime.now())
    runtime.store.link.after_commit(lambda: runtime.ring_for(rings))
    return load(runtime, definition, entity_id)


def pause(
    runtime: Runtime, definition: Definition, entity_id: str, *, actor: Actor | None, reason: str | None
) -> Snapshot:
    """Let a running attempt end, and hold what comes next. Nothing changes for an entity that is paused already."""
    snapshot = load(runtime, definition, entity_id)
    if snapshot.paused:
        return snapshot
    happening = Paused(actor=actor, reason=checked_reason(reason))
    _, snapshot = apply(runtime, definition, lambda: load(runtime, definition, entity_id), happening)
    return snapshot


def attempt(
    runtime: Runtime, definition: Definition, snapshot: Snapshot, happening: Happening
) -> tuple[Commit, Snapshot] | None:
    """Decide and commit once; None where somebody else wrote first."""
    commit = decide(definition, snapshot, happening, runtime.now())
    try:
        return commit, _commit(runtime, commit)
    except CommitLost:
        return None
    except ClaimLost as error:
        raise StaleClaim(str(error)) from error


def _commit(runtime: Runtime, commit: Commit) -> Snapshot:
    return runtime.store.entities.commit(commit, runtime.dispatch if commit.rings else _nothing)


def _nothing(snapshot: Snapshot) -> None:
    """Nothing is to be dispatched."""


def _conflict(definition: Definition, entity_id: str) -> TransitionConflict:
    return TransitionConflict(
        f"{definition.name}:{entity_id}", f"others changed it {TRIES} times while this was decided"
    )
