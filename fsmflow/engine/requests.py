"""What is asked of an entity from outside: load, decide, commit, and try again as long as others are first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from fsmflow import log
from fsmflow.decision.actions import Action
from fsmflow.decision.commit import Commit
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Asked, Erased, Proposed, Replanned, Resumed, Rewound, Triggered
from fsmflow.decision.history import HistoryEntry, HistoryKind
from fsmflow.decision.offers import allowed_triggers
from fsmflow.decision.resumption import Resumption, resumption
from fsmflow.decision.versions import lacking, names_of, unknown_state
from fsmflow.definition.model import Definition
from fsmflow.definition.names import RETRY, REWIND
from fsmflow.engine.branches import unknown_branch
from fsmflow.engine.commits import conflict, decided, until_first
from fsmflow.engine.erasure import check_idle, erase_below
from fsmflow.engine.fanout import look
from fsmflow.engine.followup import attempt, following
from fsmflow.engine.keys import first_with_key
from fsmflow.engine.lookup import Instance, instance_of, load
from fsmflow.engine.observation import TRIGGER, observed
from fsmflow.engine.permission import context_for, in_turn, permit
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.teams import check_team
from fsmflow.errors import ConfigurationError, DatabaseUnavailable, NotPermitted, TransitionNotAllowed
from fsmflow.store.work import Due
from fsmflow.values import dataclass, replace

#: Asked about an entity before something is done to it; it raises what is to stop that.
Check = Callable[[Instance], None]


def trigger(runtime: Runtime, root: Definition, entity_id: str, asked: Triggered) -> tuple[Snapshot, HistoryEntry]:
    """Fire a trigger from outside; the entity after it, and the entry that was written.

    With a key that was used before, nothing changes and the first entry comes back, marked as repeated. One query (two
    with a key), one transaction of 2 to 4 statements, one Redis round trip.
    """
    outcome = _triggered(runtime, root, entity_id, asked)
    return outcome.instance.snapshot, outcome.entries[0]


def _triggered(
    runtime: Runtime, root: Definition, entity_id: str, asked: Triggered, check: Check | None = None
) -> _Outcome:
    with observed(TRIGGER, root, entity_id, asked.trigger) as led_to:
        outcome = _ask(runtime, root, entity_id, asked, check=check)
        led_to(outcome.instance.snapshot)
    return outcome


def act(runtime: Runtime, root: Definition, entity_id: str, action: Action, asked: Asked) -> Snapshot:
    """Do what an operator asks for; the entity after it, as it was where there is nothing to do.

    Raises what the decision refuses: TransitionNotAllowed, UnknownState, NotPermitted, TransitionConflict, DataError.
    """
    return _acted(runtime, root, entity_id, action, asked).instance.snapshot


def _acted(
    runtime: Runtime, root: Definition, entity_id: str, action: Action, asked: Asked, check: Check | None = None
) -> _Outcome:
    with observed(action.name, root, entity_id) as led_to:
        if isinstance(asked, Resumed):
            outcome = _resume(runtime, root, entity_id, asked, check)
        else:
            outcome = _ask(
                runtime, root, entity_id, asked, lambda found: not action.is_idle(found.snapshot), check=check
            )
        led_to(outcome.instance.snapshot)
    return outcome


def act_once(
    runtime: Runtime,
    root: Definition,
    entity_id: str,
    action: Action | None,
    asked: Asked,
    check: Check,
) -> Once | None:
    """Do what is asked for with a key, an action or a trigger, if that was not done yet; None where there was nothing
    to do. ``check`` is asked about the entity before that, and raises what is to stop it. Raises what ``act`` and
    ``trigger`` raise."""
    if asked.key is None or (action is None and not isinstance(asked, Triggered)):
        raise ValueError(f"{root.name}:{entity_id}: {asked!r} needs an action and a key")
    try:
        if action is None:
            outcome = _triggered(runtime, root, entity_id, cast(Triggered, asked), check)
        else:
            outcome = _acted(runtime, root, entity_id, action, asked, check)
    except (DatabaseUnavailable, ConfigurationError):
        raise
    except Exception:
        # What was done already cannot be done again, as a rule: it is looked for then, and not before each.
        done = _done_with_key(runtime, root, entity_id, asked)
        if done is None:
            raise
        return done
    if outcome.repeated:
        return _once(outcome.instance.snapshot, outcome.entries[0])
    if not outcome.entries and not outcome.rings:
        return _done_with_key(runtime, root, entity_id, asked)
    after = outcome.instance.snapshot
    is_noted = any(entry.kind is HistoryKind.ASKED for entry in outcome.entries)
    return Once(before=outcome.before, after=after, state=after.state, epoch=after.epoch, is_noted=is_noted)


def _done_with_key(runtime: Runtime, root: Definition, entity_id: str, asked: Asked) -> Once | None:
    """What was done with the key of a request; None where nothing was. Two queries at most. Raises KeyConflict."""
    snapshot = runtime.store.entities.load(root.name, entity_id)
    first = None if snapshot is None else first_with_key(runtime, instance_of(root, snapshot), asked)
    return None if snapshot is None or first is None else _once(snapshot, first)


def _once(after: Snapshot, first: HistoryEntry) -> Once:
    return Once(after=after, state=first.dest, epoch=first.epoch, is_noted=first.kind is HistoryKind.ASKED)


@dataclass(frozen=True, kw_only=True)
class Once:
    """What was done to an entity, by ``act_once`` now or by an earlier one with the same key: it led to ``state`` and
    ``epoch``. ``before``: the entity before that, where it was done now; ``after``: as it is by now. ``is_noted``: it
    takes a second person, and was noted."""

    before: Snapshot | None = None
    after: Snapshot
    state: str
    epoch: int
    is_noted: bool


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """The entity after a request, and the entries that it led to: none where there was nothing to do, those of the
    first time where it is ``repeated``. ``before``: the entity that was decided on, where something was done to it;
    ``rings``: it was dispatched again, which has no entry."""

    instance: Instance
    entries: tuple[HistoryEntry, ...] = ()
    repeated: bool = False
    before: Snapshot | None = None
    rings: bool = False


def _ask(
    runtime: Runtime,
    root: Definition,
    entity_id: str,
    asked: Asked,
    applies: Callable[[Instance], bool] = lambda instance: True,
    *,
    whole: Asked | None = None,
    check: Check | None = None,
) -> _Outcome:
    """Decide and commit, anew as long as others write first; nothing where the key has been used, which is told by the
    commit too, or ``applies`` finds nothing to do. ``whole``: the request that this is a part of. Raises what the
    decision and ``check`` refuse, TransitionConflict, and KeyConflict where the key was used for another request. With
    a ``check``, that the key has been used is told by the commit alone."""
    runtime.store.link.check_joined()
    asked = asked.checked()

    def ask_once(turn: int) -> _Outcome | None:
        instance = load(runtime, root, entity_id, asked.actor)
        if check is None or turn > 0:
            repeated = _repeated(runtime, instance, whole or asked, known=turn > 0)
            if repeated is not None:
                return repeated
        if check is not None:
            check(instance)
        permit(runtime, instance, asked)
        if not applies(instance):
            return _Outcome(instance=instance)
        return _do(runtime, instance, asked)

    try:
        outcome = until_first(ask_once)
    except NotPermitted as error:
        log.permission_refused(error)
        raise
    if outcome is None:
        raise conflict(f"{root.name}:{entity_id}")
    return outcome


def _do(runtime: Runtime, instance: Instance, asked: Asked) -> _Outcome | None:
    """What a request comes to, where nothing of it was done before; None where somebody else wrote first."""
    _check(runtime, instance, asked)
    turn_of = in_turn(runtime, instance, asked)
    if isinstance(turn_of, Proposed):
        decided(runtime, instance, asked)  # it is refused now, and not when the second one asks
    if isinstance(turn_of, Erased):
        erase_below(runtime, instance, turn_of)
    applied = attempt(runtime, instance, turn_of)
    if applied is None:
        return None
    commit, after = applied
    return _Outcome(instance=replace(instance, snapshot=after), entries=commit.entries, before=instance.snapshot)


def _repeated(runtime: Runtime, instance: Instance, asked: Asked, *, known: bool) -> _Outcome | None:
    """What a request came to when its key was used; None where it was not yet. Raises KeyConflict."""
    snapshot = instance.snapshot
    first = first_with_key(runtime, instance, asked, known=known)
    if first is None:
        return None
    # It may have been used after the entity was loaded.
    now = instance if first.seq <= snapshot.seq else load(runtime, instance.root, snapshot.entity_id)
    return _Outcome(instance=now, entries=(replace(first, repeated=True),), repeated=True)


def _check(runtime: Runtime, instance: Instance, asked: Asked) -> None:
    """Raises what has to be looked up before an action is decided."""
    if isinstance(asked, Rewound):
        _check_rewind(runtime, instance, asked)
    if isinstance(asked, Erased):
        check_idle(runtime, instance)
    if isinstance(asked, Triggered) and asked.trigger == RETRY:
        _check_branches(runtime, instance)


def _check_branches(runtime: Runtime, instance: Instance) -> None:
    """Raises UnknownBranch where a step is retried of which a branch failed that the code lacks: the others would run,
    and the step could not end. Two queries where its branches have names and run jobs."""
    step = instance.step
    if step is None or step.name == instance.snapshot.state:
        return
    found = unknown_branch(runtime.store, instance.root, step, instance.snapshot)
    if found is not None:
        raise lacking(*found)


def _check_rewind(runtime: Runtime, instance: Instance, asked: Rewound) -> None:
    """Raises UnknownState, and TransitionNotAllowed for a state that the entity has not been in. One query."""
    own, snapshot = instance.own, instance.snapshot
    if asked.state not in own.states:
        raise unknown_state(instance.root, asked.state)
    names = names_of(instance.root, asked.state)
    if all(runtime.store.entities.last_source(snapshot.row, name) is None for name in names):
        why = f"it has not been in {asked.state!r}; 'force' enters any state"
        context = context_for(runtime, instance)
        allowed = allowed_triggers(own, snapshot, asked.actor, runtime.now(), context)
        raise TransitionNotAllowed(snapshot.address, snapshot.state, REWIND, allowed=allowed, why=why)


def _resume(runtime: Runtime, root: Definition, entity_id: str, asked: Resumed, check: Check | None = None) -> _Outcome:
    """Do what ``resumption`` says. The key is used up by what is committed first."""
    outcome = _ask(runtime, root, entity_id, asked, lambda found: _next(found) is Resumption.LET_GO, check=check)
    instance, was_paused = outcome.instance, bool(outcome.entries)
    snapshot = instance.snapshot
    if outcome.repeated:
        return outcome
    then, later = _next(instance), _after_pause(asked) if was_paused else asked
    if then in (Resumption.RETRY, Resumption.STRANDED) or (then is Resumption.HURRY and not was_paused):
        return _then(outcome, _ask(runtime, root, entity_id, _retry(later), whole=later))
    if then is Resumption.START:
        # One that was paused meanwhile stays so.
        start = _ask(runtime, root, entity_id, _start(later), lambda found: _next(found) is Resumption.START)
        return _then(outcome, start)
    if then is Resumption.LOOK:
        with following(runtime):
            look(runtime, snapshot.row)
        return replace(outcome, before=outcome.before or snapshot, rings=True)
    if then is Resumption.RING and not was_paused and snapshot.work is not None:
        # A fresh doorbell: RQ remembers ids, and the one that it was given may be lost or still on its way.
        rings = runtime.store.work.ring([Due(row=snapshot.row, work=snapshot.work)], runtime.now())
        runtime.store.link.after_commit(lambda: runtime.ring_for(rings))
        return replace(outcome, instance=load(runtime, root, entity_id), before=snapshot, rings=True)
    return outcome


def _then(first: _Outcome, second: _Outcome) -> _Outcome:
    """Two parts of one request."""
    return replace(second, entries=(*first.entries, *second.entries), before=first.before or second.before)


def _next(instance: Instance) -> Resumption:
    return resumption(instance.own, instance.snapshot)


def _after_pause(asked: Resumed) -> Resumed:
    return replace(asked, key=None)


def _retry(asked: Resumed) -> Triggered:
    return Triggered(trigger=RETRY, **_same(asked))


def _start(asked: Resumed) -> Replanned:
    return Replanned(**_same(asked))


def _same(asked: Resumed) -> dict[str, Any]:
    """What another request takes over from this one."""
    return {name: getattr(asked, name) for name in ("actor", "reason", "key", "form", "epoch")}


def plan(runtime: Runtime, instance: Instance, action: Action | None, asked: Asked) -> Snapshot:
    """The entity as it would be after an action, or after a trigger where there is none: decided, and not committed.
    Raises what the action would raise; others may move it meanwhile."""
    asked = asked.checked()
    snapshot = instance.snapshot
    check_team(runtime, snapshot, asked.actor)
    if first_with_key(runtime, instance, asked) is not None:
        return snapshot
    permit(runtime, instance, asked)
    if action is not None and action.is_idle(snapshot):
        return snapshot
    if isinstance(asked, Resumed):
        return _plan_resume(runtime, instance, asked)
    return _planned(runtime, instance, asked).snapshot


def _plan_resume(runtime: Runtime, instance: Instance, asked: Resumed) -> Snapshot:
    then = _next(instance)
    was_paused = then is Resumption.LET_GO
    if was_paused:
        instance = _planned(runtime, instance, asked)
        then, asked = _next(instance), _after_pause(asked)
    if then in (Resumption.RETRY, Resumption.STRANDED) or (then is Resumption.HURRY and not was_paused):
        instance = _planned(runtime, instance, _retry(asked))
    elif then is Resumption.START:
        instance = _planned(runtime, instance, _start(asked))
    return instance.snapshot


def planned(runtime: Runtime, instance: Instance, asked: Asked) -> Commit:
    """The decision on a request, which is not committed. Raises what it refuses."""
    permit(runtime, instance.checked(), asked)
    _check(runtime, instance, asked)
    commit = decided(runtime, instance, asked)
    turn_of = in_turn(runtime, instance, asked)
    return decided(runtime, instance, turn_of) if isinstance(turn_of, Proposed) else commit


def _planned(runtime: Runtime, instance: Instance, asked: Asked) -> Instance:
    return replace(instance, snapshot=planned(runtime, instance, asked).after)
