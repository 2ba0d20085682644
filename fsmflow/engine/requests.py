"""start, trigger, settle, pause ...: load -> decide -> commit -> dispatch. The only place where the floors meet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from fsmflow import log
from fsmflow.decision.actions import REWIND
from fsmflow.decision.commit import Commit, CommitLost
from fsmflow.decision.entity import Snapshot, Standing
from fsmflow.decision.happenings import Forced, Happening, Paused, Replanned, Resumed, Rewound, Skipped, Triggered
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.inputs import Actor, checked_reason, checked_text
from fsmflow.decision.start import begin, begin_and_fire
from fsmflow.decision.triggers import allowed_triggers
from fsmflow.decision.versions import as_shown, names_of, unknown_state
from fsmflow.definition.model import Definition
from fsmflow.definition.names import FINISHED, RETRY, WAITING
from fsmflow.engine import commits
from fsmflow.engine.alignment import align
from fsmflow.engine.branches import around_of, definition_of
from fsmflow.engine.commits import TRIES, conflict, write
from fsmflow.engine.delivery import deliver_all
from fsmflow.engine.fanout import look
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.tasks import Task, tasks
from fsmflow.errors import EntityExists, EntityNotFound, TransitionConflict, TransitionNotAllowed
from fsmflow.store.work import Due

_FIRST: Final = 1
#: How many tasks one call does before it leaves the rest to maintenance.
_BUDGET: Final = 200


@contextmanager
def following(runtime: Runtime) -> Iterator[Sequence[Task]]:
    """Do, at the end, what the commits inside lead to; it is what is yielded. Inside a transaction of the caller's it
    is left to maintenance, as nothing is committed yet."""
    if tasks.get() is not None or runtime.store.link.in_transaction:
        yield ()
        return
    waiting: deque[Task] = deque()
    token = tasks.set(waiting)
    try:
        yield waiting
        for _ in range(_BUDGET):
            if not waiting:
                return
            _do(runtime, waiting.popleft())
    finally:
        tasks.reset(token)


def _do(runtime: Runtime, task: Task) -> None:
    """The commit stands and its caller must learn that it does; so what goes wrong here is logged, and done again."""
    try:
        if task.call is not None:
            task.call()
        elif task.kind == "look":
            if look(runtime, task.row):
                waiting = tasks.get()
                if waiting is not None:
                    waiting.append(task)
        elif task.kind == "align":
            align(runtime, task.row, pages=1)
        else:
            deliver_all(runtime, task.row)
    except Exception as error:  # noqa: BLE001 - see above
        log.task_failed(task.kind, task.row, error)


def load(runtime: Runtime, definition: Definition, entity_id: str) -> Snapshot:
    """The entity as it is now, to be shown or decided on. Raises EntityNotFound. One query."""
    snapshot = runtime.store.entities.load(definition.name, entity_id)
    if snapshot is None:
        raise EntityNotFound(f"{definition.name}:{entity_id}")
    return as_shown(definition, snapshot)


@dataclass(frozen=True, kw_only=True)
class Birth:
    """How an entity is to be started. ``first`` is fired in the same commit."""

    entity_id: str
    data: Mapping[str, Any]
    state: str | None = None
    actor: Actor | None = None
    key: str | None = None
    first: Triggered | None = None


def start(runtime: Runtime, definition: Definition, birth: Birth, *, if_exists: str = "raise") -> Snapshot:
    """Commit a new entity, then dispatch its job. One transaction of 2 to 4 inserts, one Redis round trip.

    Raises EntityExists, unless ``if_exists="return"`` or the entity was started with the same ``key``. Once it
    returns, the entity is durable, whatever Redis does.
    """
    commit = begun(runtime, definition, birth)
    with following(runtime):
        for _ in range(TRIES):
            try:
                return write(runtime, definition, commit)
            except CommitLost:
                there = runtime.store.entities.load_existing(definition.name, birth.entity_id)
            if there is not None:
                key = birth.key
                same_key = key is not None and runtime.store.entities.seq_of_key(there.row, key, known=True) == _FIRST
                if if_exists == "return" or same_key:
                    return there
                raise EntityExists(there.address, as_shown(definition, there).state)
    raise TransitionConflict(commit.after.address, f"it could not be started in {TRIES} tries")


def begun(runtime: Runtime, definition: Definition, birth: Birth) -> Commit:
    """The decision that starts an entity. Raises what the first trigger raises where it is refused."""
    now = runtime.now()
    commit = begin(definition, birth.entity_id, birth.data, birth.actor, birth.key, now, state=birth.state)
    return commit if birth.first is None else begin_and_fire(commit, definition, birth.first, now)


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


def apply(
    runtime: Runtime, definition: Definition, read: Callable[[], Snapshot], happening: Happening
) -> tuple[Commit, Snapshot]:
    """Decide and commit on the entity as ``read`` finds it, anew as long as others write first.

    Raises what the decision refuses, StaleClaim for an attempt that no longer counts, TransitionConflict.
    """
    with following(runtime):
        return commits.apply(runtime, definition, read, happening)


def attempt(
    runtime: Runtime, definition: Definition, snapshot: Snapshot, happening: Happening
) -> tuple[Commit, Snapshot] | None:
    """Decide and commit once; None where somebody else wrote first."""
    with following(runtime):
        return commits.attempt(runtime, definition, snapshot, happening)


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
