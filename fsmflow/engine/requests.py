"""What is asked of an entity from outside: load, decide, commit, and try again as long as others are first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from fsmflow.decision.actions import REWIND
from fsmflow.decision.entity import Snapshot, Standing
from fsmflow.decision.happenings import (
    Asked,
    Forced,
    Happening,
    Paused,
    Replanned,
    Resumed,
    Rewound,
    Skipped,
    Triggered,
)
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.inputs import checked_reason, checked_text
from fsmflow.decision.triggers import allowed_triggers
from fsmflow.decision.versions import brought_up, names_of, unknown_state
from fsmflow.definition.model import Definition
from fsmflow.definition.names import FINISHED, RETRY, WAITING
from fsmflow.engine.branches import around_of
from fsmflow.engine.commits import TRIES, conflict, decided
from fsmflow.engine.fanout import look
from fsmflow.engine.followup import attempt, following
from fsmflow.engine.lookup import definition_of, load
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import TransitionNotAllowed
from fsmflow.store.work import Due


def trigger(
    runtime: Runtime, definition: Definition, entity_id: str, happening: Triggered
) -> tuple[Snapshot, HistoryEntry]:
    """Fire a trigger from outside; the entity after it, and the entry that was written.

    With a key that was used before, nothing changes and the first entry comes back. One query (two with a key), one
    transaction of 2 to 4 statements, one Redis round trip.
    """
    outcome = _ask(runtime, definition, entity_id, happening)
    return outcome.after, outcome.entries[0]


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """The entity after a request, and the entries that it led to: none where there was nothing to do, those of the
    first time where it is ``repeated``."""

    after: Snapshot
    entries: tuple[HistoryEntry, ...] = ()
    repeated: bool = False


def _ask(
    runtime: Runtime,
    definition: Definition,
    entity_id: str,
    asked: Triggered | Paused | Resumed | Replanned | Skipped | Rewound | Forced,
    applies: Callable[[Snapshot], bool] = lambda snapshot: True,
) -> _Outcome:
    """Decide and commit, anew as long as others write first; nothing where the key has been used, which is told by the
    commit too, or ``applies`` finds nothing to do. Raises what the decision refuses, TransitionConflict."""
    if asked.key is not None:
        checked_text(asked.key, "key")
    asked = replace(asked, reason=checked_reason(asked.reason))
    for turn in range(TRIES):
        snapshot = load(runtime, definition, entity_id)
        if asked.key is not None:
            seq = runtime.store.entities.seq_of_key(snapshot.row, asked.key, known=turn > 0)
            if seq is not None:
                entry = runtime.store.entities.entry(snapshot.row, seq)
                # It may have been used after the entity was loaded.
                after = snapshot if seq <= snapshot.seq else load(runtime, definition, entity_id)
                return _Outcome(after=after, entries=(entry,), repeated=True)
        if not applies(snapshot):
            return _Outcome(after=snapshot)
        applied = attempt(runtime, definition, snapshot, asked)
        if applied is not None:
            commit, after = applied
            return _Outcome(after=after, entries=commit.entries)
    raise conflict(f"{definition.name}:{entity_id}")


def operate(
    runtime: Runtime, definition: Definition, entity_id: str, asked: Skipped | Rewound | Forced
) -> tuple[Snapshot, HistoryEntry]:
    """Skip, rewind or force. Raises TransitionNotAllowed where it does not apply, UnknownState."""

    def applies(snapshot: Snapshot) -> bool:
        if isinstance(asked, Rewound):
            check_rewind(runtime, definition, snapshot, asked)
        return True

    outcome = _ask(runtime, definition, entity_id, asked, applies)
    return outcome.after, outcome.entries[0]


def check_rewind(runtime: Runtime, definition: Definition, snapshot: Snapshot, asked: Rewound) -> None:
    """Raises UnknownState, and TransitionNotAllowed for a state that the entity has not been in. One query."""
    own = definition_of(definition, snapshot)
    if asked.state not in own.states:
        raise unknown_state(definition, asked.state)
    names = names_of(definition, asked.state)
    if all(runtime.store.entities.last_source(snapshot.row, name) is None for name in names):
        why = f"it has not been in {asked.state!r}; 'force' enters any state"
        allowed = allowed_triggers(own, snapshot, asked.actor, around_of(runtime.store, own, snapshot))
        raise TransitionNotAllowed(snapshot.address, snapshot.state, REWIND, allowed=allowed, why=why)


def resume(runtime: Runtime, definition: Definition, entity_id: str, asked: Resumed) -> Snapshot:
    """Paused: go on. Failed: retry. Dispatched and not being run: dispatch again. A state whose job was never started,
    as that of an adopted entity: start it. Otherwise nothing. The key is used up by what is committed first."""
    outcome = _ask(runtime, definition, entity_id, asked, lambda found: found.paused and found.phase != FINISHED)
    snapshot, was_paused = outcome.after, bool(outcome.entries)
    if outcome.repeated or snapshot.phase == FINISHED:
        return snapshot
    key = None if was_paused else asked.key
    if has_failed(definition, snapshot):
        retry = Triggered(trigger=RETRY, actor=asked.actor, reason=asked.reason, key=key)
        return trigger(runtime, definition, entity_id, retry)[0]
    if lacks_work(definition, snapshot):
        replanned = Replanned(actor=asked.actor, reason=asked.reason, key=key)
        # One that was paused meanwhile stays so.
        wanted = lambda found: not found.paused and lacks_work(definition, found)  # noqa: E731
        return _ask(runtime, definition, entity_id, replanned, wanted).after
    work = snapshot.work
    if work is not None and work.watches:
        with following(runtime):
            look(runtime, snapshot.row)
    waits = work is not None and work.owner is None and work.rung_at is not None and work.held is None
    if work is None or was_paused or not waits:
        return snapshot
    # A fresh doorbell: RQ remembers ids, and the one that it was given may be lost or still on its way.
    rings = runtime.store.work.ring([Due(row=snapshot.row, work=work)], runtime.now())
    runtime.store.link.after_commit(lambda: runtime.ring_for(rings))
    return load(runtime, definition, entity_id)


def has_failed(definition: Definition, snapshot: Snapshot) -> bool:
    """Whether it rests after a failure, or in a state that the code lacks: a retry is what is wanted."""
    spec = definition_of(definition, snapshot).states.get(snapshot.state)
    return spec is None or spec.is_failed


def lacks_work(definition: Definition, snapshot: Snapshot) -> bool:
    """Whether the job of its state was never started."""
    spec = definition_of(definition, snapshot).states.get(snapshot.state)
    if spec is None or not spec.is_working or snapshot.work is not None or snapshot.standing == Standing.QUEUED:
        return False
    return not (spec.waits and snapshot.phase == WAITING)


def pause(runtime: Runtime, definition: Definition, entity_id: str, asked: Paused) -> Snapshot:
    """Let a running attempt end, and hold what comes next. Nothing changes for an entity that is paused already."""
    return _ask(runtime, definition, entity_id, asked, lambda found: not found.paused).after


def plan(runtime: Runtime, definition: Definition, snapshot: Snapshot, happening: Happening) -> Snapshot:
    """The entity as it would be afterwards. Raises what the request would raise; others may move it meanwhile."""
    if isinstance(happening, Asked):
        happening = replace(happening, reason=checked_reason(happening.reason))
        if _is_used(runtime, snapshot, happening.key):
            return snapshot
    snapshot = brought_up(definition, snapshot)
    if isinstance(happening, Rewound):
        check_rewind(runtime, definition, snapshot, happening)
    return decided(runtime, definition_of(definition, snapshot), snapshot, happening).after


def plan_resume(runtime: Runtime, definition: Definition, snapshot: Snapshot, asked: Resumed) -> Snapshot:
    """The entity as ``resume`` would leave it."""
    if snapshot.phase == FINISHED or _is_used(runtime, snapshot, asked.key):
        return snapshot
    if snapshot.paused:
        snapshot = plan(runtime, definition, snapshot, asked)
    if has_failed(definition, snapshot):
        return plan(runtime, definition, snapshot, Triggered(trigger=RETRY, actor=asked.actor))
    if lacks_work(definition, snapshot):
        return plan(runtime, definition, snapshot, Replanned())
    return snapshot


def _is_used(runtime: Runtime, snapshot: Snapshot, key: str | None) -> bool:
    if key is None:
        return False
    return runtime.store.entities.seq_of_key(snapshot.row, checked_text(key, "key")) is not None
