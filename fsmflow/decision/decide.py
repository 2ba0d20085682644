"""``decide(definition, snapshot, happening, now) -> Commit``: pure. No clock, no database, no Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from fsmflow import codec
from fsmflow.decision import actions, fanout, settlement
from fsmflow.decision.actions import subject_at
from fsmflow.decision.context import NOTHING, Around
from fsmflow.decision.deferral import discard, fire_kept, ignore, keep, undeliverable
from fsmflow.decision.entity import (
    ALIGN,
    MAX_PAYLOAD_BYTES,
    QUEUED,
    TIMER,
    Actor,
    Claim,
    Commit,
    Event,
    Place,
    Post,
    Snapshot,
    Work,
)
from fsmflow.decision.happenings import (
    Admitted,
    Asked,
    BranchSettled,
    Crashed,
    Delivered,
    Discarded,
    Failed,
    Forced,
    Happening,
    Joined,
    MoreWanted,
    Paused,
    Postponed,
    Reopened,
    Replanned,
    Resumed,
    Returned,
    Revived,
    Rewound,
    Saved,
    Settling,
    Skipped,
    Spread,
    TimerFired,
    Triggered,
    Unacceptable,
)
from fsmflow.decision.mover import Mover, Refused
from fsmflow.decision.redaction import carried, encoded, without_values
from fsmflow.decision.stale import StaleClaim
from fsmflow.decision.versions import unknown_state
from fsmflow.decision.view import DecisionView, subject_of
from fsmflow.decision.working import hold, release
from fsmflow.definition.firing import Firing, would_fire
from fsmflow.definition.model import Definition
from fsmflow.definition.names import CANCEL, ENGINE_TRIGGERS, RETRY, TIMEOUT, WAITING
from fsmflow.errors import (
    DataError,
    NotPermitted,
    TransitionConflict,
    TransitionNotAllowed,
    did_you_mean,
    told,
)


def decide(
    definition: Definition, snapshot: Snapshot, happening: Happening, now: int, around: Around = NOTHING
) -> Commit:
    """What ``happening`` leads to for an entity that is as ``snapshot`` shows. ``around``: what else it may look at.

    Raises the named errors for what is refused, and StaleClaim for an attempt that no longer counts. What guards
    and callbacks raise passes through for a trigger from outside and for timers; at the end of an attempt it
    leads to ``failed_from_X``.
    """
    if snapshot.state not in definition.states and not isinstance(happening, (Forced, Rewound)):
        raise unknown_state(definition, snapshot.state, address=snapshot.address)
    claim = happening.claim if isinstance(happening, Settling) else None
    if claim is not None and not claim.holds(snapshot):
        raise StaleClaim(f"{snapshot.address}: attempt {claim.attempt} of epoch {claim.epoch} no longer counts")
    mover = Mover(definition, snapshot, now, around)
    try:
        _DECIDERS[type(happening)](mover, happening)
    except TransitionNotAllowed as error:
        raise _with_allowed(mover, happening, error) from error.__cause__
    except DataError as error:
        raise without_values(definition, error, snapshot, *carried(happening)) from error.__cause__
    if around.kept and mover.after.epoch != snapshot.epoch:
        fire_kept(mover)
    return _commit(mover, snapshot, key=_key_of(mover, happening), claim=claim, lenient=_ends_badly(happening))


def _ends_badly(happening: Happening) -> bool:
    """Whether it has to be written, though the user's own row be gone."""
    if isinstance(happening, Joined):
        return happening.error is not None
    return isinstance(happening, (Failed, Crashed, Postponed, Unacceptable))


def _with_allowed(mover: Mover, happening: Happening, error: TransitionNotAllowed) -> TransitionNotAllowed:
    """The refusal, with what could be asked instead."""
    if error.allowed or not isinstance(happening, Asked) or mover.before.address != error.address:
        return error
    allowed = allowed_triggers(mover.definition, mover.before, happening.actor, mover.around)
    return TransitionNotAllowed(
        error.address, error.state, error.trigger, allowed=allowed, refusals=error.refusals, why=error.why
    )


def _key_of(mover: Mover, happening: Happening) -> str | None:
    """The key that the event uses up; a message that is refused uses up none."""
    asked = happening.event if isinstance(happening, Delivered) else happening
    if not isinstance(asked, Asked) or asked.key is None or mover.entries[0].kind == "discarded":
        return None
    return asked.key


def _commit(
    mover: Mover, before: Snapshot | None, *, key: str | None, claim: Claim | None = None, lenient: bool = False
) -> Commit:
    after = mover.after
    moved = before is None or (before.state, before.epoch) != (after.state, after.epoch) or before.stored_as is not None
    return Commit(
        before=before,
        after=replace(after, revision=mover.before.revision + 1, stored_as=None),
        entries=tuple(mover.entries),
        key=key,
        claim=claim,
        posts=tuple(mover.posts),
        takes=tuple(mover.takes),
        told=tuple(mover.told),
        status_field=mover.definition.wide.status_field if moved and after.parent is None else None,
        lenient=lenient,
    )


def begin(
    definition: Definition,
    entity_id: str,
    data: Mapping[str, Any],
    actor: Actor | None,
    key: str | None,
    now: int,
    *,
    state: str | None = None,
    place: Place | None = None,
) -> Commit:
    """A new entity in the initial state; its job, if any, is to be dispatched. ``state`` adopts one in mid-life, and
    runs no job: ``resume`` does. ``place`` makes it a branch or child. Raises DataError, UnknownState."""
    entered = state or definition.initial
    if entered not in definition.states:
        raise unknown_state(definition, entered)
    blank = Snapshot(
        row=0,
        machine=definition.name,
        entity_id=entity_id,
        state=entered,
        phase="",
        epoch=0,
        revision=0,
        seq=0,
        data_text=encoded(definition, data),
        step=0,
        event_text="",
        version=definition.version,
        created_at=now,
        entered_at=now,
        updated_at=now,
        **vars(place or Place()),
    )
    mover = Mover(definition, blank, now)
    event = mover.event("start", None, actor)
    mover.enter(entered, event=event, subject=subject_at(mover, event))
    if state is not None and mover.after.work is not None and mover.after.work.runs:
        mover.after = replace(mover.after, phase=WAITING, work=_left_of(definition, mover.after))
    elif place is not None and place.standing == QUEUED and not mover.after.has_settled:
        mover.after = replace(mover.after, standing=QUEUED, phase=WAITING, work=None)
    mover.note("start", actor=actor, event=event, key=key)
    mover.entries[0] = replace(mover.entries[0], source=None)
    return _commit(mover, None, key=key)


def _left_of(definition: Definition, adopted: Snapshot) -> Work | None:
    """Of the work of an adopted entity: the deadline, where its job counts as having asked."""
    work = adopted.work
    if work is None or work.deadline is None or not definition.states[adopted.state].waits:
        return None
    return Work(epoch=work.epoch, kind=TIMER, wake_at=work.deadline)


def begin_and_fire(
    begun: Commit, definition: Definition, happening: Delivered | Triggered | Paused, now: int
) -> Commit:
    """A new entity, and the first event that it gets, in one commit."""
    fired = decide(definition, begun.after, happening, now)
    return replace(
        fired,
        before=None,
        after=replace(fired.after, revision=begun.after.revision),
        entries=(*begun.entries, *fired.entries),
        posts=(*begun.posts, *fired.posts),
        key=fired.key or begun.key,
        key_entry=len(begun.entries) if fired.key else 0,
        status_field=begun.status_field,
    )


def allowed_triggers(
    definition: Definition, snapshot: Snapshot, actor: Actor | None, around: Around = NOTHING
) -> list[str]:
    """The triggers that ``actor`` could fire now, as far as can be told without their payloads."""
    if snapshot.state not in definition.states or snapshot.version != definition.version:
        return []
    allowed = []
    for trigger in definition.outgoing[snapshot.state]:
        if _belongs_to_engine(definition, snapshot, trigger):
            continue
        roles = actor.roles if actor else frozenset()
        firing = Firing(snapshot.address, snapshot.state, roles, actor.name if actor else None)
        view = DecisionView(definition, snapshot, firing, snapshot.event, snapshot.data, snapshot.failure, around)
        if would_fire(definition, trigger, firing, subject_of(definition, view)):
            allowed.append(trigger)
    return allowed


def _check_trigger(mover: Mover, happening: Triggered) -> None:
    """Raises what a trigger from outside is refused for wherever it would lead."""
    snapshot, definition, trigger = mover.before, mover.definition, happening.trigger
    if happening.epoch is not None and happening.epoch != snapshot.epoch:
        raise TransitionConflict(
            snapshot.address,
            f"it was seen at epoch {happening.epoch} and is now at epoch {snapshot.epoch}, in {snapshot.state!r}",
        )
    if snapshot.standing == QUEUED and trigger != CANCEL:
        raise _refused(mover, happening, why="it waits for its turn, as its parent has a limit")
    if _belongs_to_engine(definition, snapshot, trigger):
        raise _refused(mover, happening, why=f"{trigger!r} belongs to the engine and cannot be fired from outside")
    if happening.patch and snapshot.branch_of is not None:
        raise DataError(
            f"{snapshot.address} is a branch, which sees the data of its parent and has none of its own; edit that: "
            f"retry the parent with data="
        )
    if happening.payload:
        codec.encode(happening.payload, what="payload", limit=MAX_PAYLOAD_BYTES)


def _triggered(mover: Mover, happening: Triggered) -> None:
    _check_trigger(mover, happening)
    snapshot, definition, trigger = mover.before, mover.definition, happening.trigger
    event = mover.event(trigger, happening.payload, happening.actor)
    spec = definition.states[snapshot.state]
    try:
        mover.fire(
            trigger,
            data={**snapshot.data, **happening.patch},
            event=event,
            actor=happening.actor,
            new_key=happening.new_key,
            reason=happening.reason,
            key=happening.key,
        )
    except Refused as refused:
        if trigger in spec.defer:
            keep(mover, happening)
            return
        if trigger in spec.ignore:
            ignore(mover, happening)
            return
        known = any(trigger in triggers for triggers in definition.outgoing.values())
        hint = did_you_mean(trigger, [name for names in definition.outgoing.values() for name in names])
        why = None if known else f"machine {definition.name!r} has no trigger {trigger!r}{hint}"
        raise _refused(mover, happening, why=why, refusals=refused.refusals) from None
    reentered = (
        mover.after.epoch != snapshot.epoch and mover.after.state == definition.states[snapshot.state].failed_from
    )
    if trigger == RETRY and reentered and snapshot.result_text and not happening.new_key:
        last = snapshot.failure
        settlement.accept_kept(mover, snapshot.result_text, set(happening.patch), last.attempts if last else None)


def _refused(
    mover: Mover, happening: Triggered, *, why: str | None, refusals: tuple[str, ...] = ()
) -> TransitionNotAllowed:
    snapshot = mover.before
    allowed = allowed_triggers(mover.definition, snapshot, happening.actor, mover.around)
    return TransitionNotAllowed(
        snapshot.address, snapshot.state, happening.trigger, allowed=allowed, refusals=refusals, why=why
    )


def _belongs_to_engine(definition: Definition, snapshot: Snapshot, trigger: str) -> bool:
    if trigger != TIMEOUT:
        return trigger in ENGINE_TRIGGERS
    timer, work = definition.states[snapshot.state].timer, snapshot.work
    if timer is None or timer.trigger != TIMEOUT or work is None:
        return False
    return work.kind == TIMER or work.deadline is not None


def _timer_fired(mover: Mover, happening: TimerFired) -> None:
    snapshot = mover.before
    timer = mover.definition.states[snapshot.state].timer
    work = snapshot.work
    runs = work is not None and work.held is None and (work.kind == TIMER or _is_over(work, mover.now))
    if timer is None or not runs or snapshot.paused:
        raise StaleClaim(f"{snapshot.address}: no timer is running in {snapshot.state!r}")
    mover.after = replace(snapshot, work=None)
    event = mover.event(timer.trigger)
    mover.fire(timer.trigger, data=snapshot.data, event=event, by_engine=True)
    if mover.after.epoch == snapshot.epoch and work is not None and work.kind != TIMER:
        # Internal: the job, or the branches, go on; the deadline is over.
        wake_at = work.lease_until if work.owner is not None and work.lease_until is not None else work.wake_at
        mover.after = replace(mover.after, work=replace(work, deadline=None, wake_at=wake_at))


def _is_over(work: Work, now: int) -> bool:
    return work.deadline is not None and work.deadline <= now


def _delivered(mover: Mover, happening: Delivered) -> None:
    """A message that is refused is discarded, and that is all: nobody is there to be told."""
    trial = mover.trial()
    try:
        if happening.refused is not None:
            raise DataError(happening.refused)
        _triggered(trial, happening.event)
        mover.adopt(trial)
    except (TransitionNotAllowed, NotPermitted, DataError) as error:
        discard(mover, happening, told(error))
    mover.takes.append(happening.post.id)


def _paused(mover: Mover, happening: Paused) -> None:
    snapshot = mover.before
    if mover.definition.states[snapshot.state].is_final:
        raise TransitionNotAllowed(
            snapshot.address, snapshot.state, "pause", why="it has finished; nothing is left to hold"
        )
    work = hold(snapshot.work, mover.now) if snapshot.work else None
    mover.after = replace(snapshot, paused=True, work=work)
    mover.note("paused", actor=happening.actor, reason=happening.reason, key=happening.key)
    _pass_down(mover)


def _resumed(mover: Mover, happening: Resumed) -> None:
    snapshot = mover.before
    work = release(snapshot.work, mover.now) if snapshot.work else None
    mover.after = replace(snapshot, paused=False, work=work)
    mover.note("resumed", actor=happening.actor, reason=happening.reason, key=happening.key)
    _pass_down(mover)


def _replanned(mover: Mover, happening: Replanned) -> None:
    """Give an adopted entity, or one whose state has got a job since, the work of its state."""
    if mover.before.work is None:
        mover.plan_work(subject_at(mover, mover.before.event))
    mover.note("resumed", actor=happening.actor, reason=happening.reason, key=happening.key)


def _pass_down(mover: Mover) -> None:
    if mover.definition.states[mover.after.state].fan is not None or mover.definition.has_children:
        mover.posts.append(Post(kind=ALIGN, trigger=ALIGN, at=mover.now, due_at=mover.now))


_DECIDERS: Mapping[type, Callable[[Mover, Any], None]] = {
    Triggered: _triggered,
    Paused: _paused,
    Resumed: _resumed,
    Replanned: _replanned,
    TimerFired: _timer_fired,
    Returned: settlement.returned,
    Unacceptable: lambda mover, happening: settlement.rejected(mover, happening.returned, happening.error),
    Failed: settlement.failed,
    Crashed: settlement.crashed,
    Postponed: settlement.postponed,
    Saved: settlement.saved,
    Spread: fanout.spread,
    MoreWanted: fanout.more_wanted,
    Admitted: fanout.admitted,
    Joined: fanout.joined,
    BranchSettled: fanout.branch_settled,
    Revived: fanout.revived,
    Reopened: fanout.reopened,
    Delivered: _delivered,
    Discarded: undeliverable,
    Skipped: actions.skipped,
    Rewound: actions.rewound,
    Forced: actions.forced,
}

__all__ = ["Event", "StaleClaim", "allowed_triggers", "begin", "decide"]
