"""Decides what triggers lead to: from outside, of a timer, of a message.

Guards are evaluated where a trigger is fired: in ``definition.guards``.
"""

from __future__ import annotations

from fsmflow import codec
from fsmflow.decision import settlement
from fsmflow.decision.deferral import discard, ignore, keep
from fsmflow.decision.entity import StaleClaim, Standing
from fsmflow.decision.fit import fitting_payload
from fsmflow.decision.happenings import Delivered, TimerFired, Triggered
from fsmflow.decision.history import HistoryKind
from fsmflow.decision.inputs import MAX_PAYLOAD_BYTES, Actor
from fsmflow.decision.mover import Mover, Refused
from fsmflow.decision.offers import (
    WAITS_FOR_ITS_TURN,
    allowed_triggers,
    belongs_to_engine,
    is_stuck,
    kept_from_running,
    waits,
)
from fsmflow.decision.work import WorkKind, dispatched, hurried
from fsmflow.definition.model import Timer
from fsmflow.definition.names import CANCEL, RETRY
from fsmflow.errors import (
    DatabaseRefused,
    DataError,
    NotPermitted,
    TransitionNotAllowed,
    did_you_mean,
    text_of,
)
from fsmflow.values import replace


def _checked(mover: Mover, happening: Triggered) -> Triggered:
    """The same with the payload as it is stored. Raises what a trigger from outside is refused for wherever it would
    lead."""
    snapshot, definition, trigger = mover.before, mover.definition, happening.trigger
    if snapshot.standing == Standing.QUEUED and trigger != CANCEL:
        raise _refused(mover, happening, why=WAITS_FOR_ITS_TURN)
    is_own = happening.internal and trigger in definition.wide.internal
    if belongs_to_engine(definition, snapshot, trigger) and not is_own:
        raise _refused(mover, happening, why=f"{trigger!r} belongs to the engine and cannot be fired from outside")
    if happening.patch and snapshot.branch_of is not None:
        raise DataError(
            f"{snapshot.address} is a branch, which sees the data of its parent and has none of its own; edit that: "
            f"retry the parent with data="
        )
    given = happening.payload
    payload = fitting_payload(definition, trigger, given, lambda text: mover.masked(text, given))
    if payload:
        codec.encode(payload, what="payload", limit=MAX_PAYLOAD_BYTES)
    return happening if payload is given else replace(happening, payload=payload)


def triggered(mover: Mover, happening: Triggered) -> None:
    """A trigger from outside: fired, kept for later, ignored, or refused with the reason."""
    happening = _checked(mover, happening)
    snapshot, definition, trigger = mover.before, mover.definition, happening.trigger
    if trigger == RETRY and not definition.offers(RETRY, snapshot.state) and waits(snapshot):
        hurry(mover, happening)
        return
    if trigger == RETRY and not definition.offers(RETRY, snapshot.state) and is_stuck(snapshot):
        try_timer(mover, happening)
        return
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
            keep(mover, happening, "; ".join(refused.refusals))
            return
        if trigger in spec.ignore:
            ignore(mover, happening)
            return
        raise _refused(mover, happening, why=_unknown(mover, trigger), refused=refused) from None
    reentered = (
        mover.after.epoch != snapshot.epoch and mover.after.state == definition.states[snapshot.state].failed_from
    )
    if trigger == RETRY and reentered and snapshot.result_text and not happening.new_key:
        last = snapshot.failure
        settlement.accept_withheld(mover, snapshot.result_text, set(happening.patch), last.attempts if last else None)


def _unknown(mover: Mover, trigger: str) -> str | None:
    """What stands against a trigger besides guards: that the machine lacks it, or that a pause holds what it would
    run now."""
    definition = mover.definition
    held = kept_from_running(mover.before) if trigger == RETRY else None
    if held is not None and not definition.offers(RETRY, mover.before.state):
        return held
    every = [name for names in definition.outgoing.values() for name in names]
    hint = did_you_mean(trigger, every)
    return None if trigger in every else f"machine {definition.name!r} has no trigger {trigger!r}{hint}"


def hurry(mover: Mover, happening: Triggered) -> None:
    """A retry of what waits out its interval: its next attempt runs now, and counts as what it would have been."""
    snapshot, work = mover.before, mover.before.work
    _keeps_its_key(mover, happening)
    if work is not None:
        work = hurried(replace(dispatched(work, mover.now), dispatch=work.dispatch + 1))
    data_text = mover.stored({**snapshot.data, **happening.patch})
    mover.after = replace(snapshot, work=work, data_text=data_text)
    mover.note(HistoryKind.HURRIED, trigger=RETRY, actor=happening.actor, reason=happening.reason, key=happening.key)


def try_timer(mover: Mover, happening: Triggered) -> None:
    """A retry of a timer or deadline that was due and could not fire: it is tried now, and not as late as it would be
    by itself."""
    snapshot, spec = mover.before, mover.definition.states[mover.before.state]
    _keeps_its_key(mover, happening)
    mover.after = replace(snapshot, data_text=mover.stored({**snapshot.data, **happening.patch}))
    mover.note(HistoryKind.HURRIED, trigger=RETRY, actor=happening.actor, reason=happening.reason, key=happening.key)
    if spec.timer is None:
        raise StaleClaim(f"{snapshot.address}: no timer is running in {snapshot.state!r}")
    try:
        _fire_timer(mover, spec.timer)
    except Refused as refused:
        why = f"its timer {spec.timer.trigger!r} was tried now, and is refused still: {'; '.join(refused.refusals)}"
        raise _refused(mover, happening, why=why, refused=refused) from None


def _keeps_its_key(mover: Mover, happening: Triggered) -> None:
    if happening.new_key:
        raise _refused(mover, happening, why="its step goes on with the key that it has, as it has not failed for good")


def _refused(
    mover: Mover, happening: Triggered, *, why: str | None, refused: Refused | None = None
) -> TransitionNotAllowed:
    snapshot = mover.before
    allowed = allowed_triggers(mover.definition, snapshot, happening.actor, mover.now, mover.context)
    refusals, words = (refused.refusals, refused.words) if refused is not None else ((), ())
    return TransitionNotAllowed(
        snapshot.address, snapshot.state, happening.trigger, allowed=allowed, refusals=refusals, words=words, why=why
    )


def timer_fired(mover: Mover, happening: TimerFired) -> None:
    """The deadline or delay of the state is over. Raises StaleClaim where none is running, Refused by guards; a step
    that has used up its time fails instead."""
    snapshot = mover.before
    timer = mover.definition.states[snapshot.state].timer
    work = snapshot.work
    runs = work is not None and work.held is None and (work.kind == WorkKind.TIMER or work.is_over(mover.now))
    if timer is None or not runs or snapshot.paused:
        raise StaleClaim(f"{snapshot.address}: no timer is running in {snapshot.state!r}")
    _fire_timer(mover, timer, next(iter(happening.refusals), None))


def _fire_timer(mover: Mover, timer: Timer, refused: DatabaseRefused | None = None) -> None:
    snapshot, work = mover.before, mover.before.work
    _fire(mover, timer, refused)
    if mover.after.epoch == snapshot.epoch and work is not None and work.kind != WorkKind.TIMER:
        # Internal: the job, or the branches, go on; the deadline is over.
        wake_at = work.lease_until if work.owner is not None and work.lease_until is not None else work.wake_at
        left = replace(work, deadline=None, overdue=False, wake_at=wake_at, tries=0, why=None)
        mover.after = replace(mover.after, work=left)


def _fire(mover: Mover, timer: Timer, refused: DatabaseRefused | None) -> None:
    if timer.bounds:
        settlement.overdue(mover, past=refused)
    elif refused is not None:
        raise refused
    else:
        settlement.fire_timer(mover, timer.trigger)


def roles_missing(error: NotPermitted, sender: Actor | None) -> str:
    """Why a message is not permitted: what its sender's machine has to declare, as nobody hands a role over."""
    if error.words:
        return text_of(error)
    has = ", ".join(sorted(sender.roles)) if sender and sender.roles else "none"
    machine = (sender.name if sender else error.address).partition(":")[0]
    return (
        f"{error.address}: {error.trigger!r} takes one of the roles {', '.join(error.roles)}, and this message "
        f"acts with {has}; say with sends_as = [...] in machine {machine!r} which its messages act with"
    )


def _answer(mover: Mover, trigger: str) -> None:
    """That a message has been taken; nothing yet of one that is kept."""
    kind = mover.entries[0].kind
    if kind is HistoryKind.IGNORED:
        mover.answer(HistoryKind.DELIVERED, trigger, f"it ignores that in {mover.after.state!r}")
    elif kind is not HistoryKind.DEFERRED:
        mover.answer(HistoryKind.DELIVERED, trigger, f"it is in {mover.after.state!r} now")


def delivered(mover: Mover, happening: Delivered) -> None:
    """A message that is refused is discarded; its sender is told how it ended, once it has."""
    mover.context = mover.context.without(happening.post)
    mover.sender = None if happening.quiet else happening.post.entity
    trial = mover.trial()
    try:
        if happening.refused is not None:
            raise DataError(happening.refused)
        triggered(trial, happening.event)
        mover.adopt(trial)
        _answer(mover, happening.event.trigger)
    except (TransitionNotAllowed, NotPermitted, DataError) as error:
        why = text_of(error)
        if isinstance(error, NotPermitted):
            why = roles_missing(error, happening.event.actor)
        discard(mover, happening, why)
        mover.answer(HistoryKind.REFUSED, happening.event.trigger, mover.entries[-1].reason or "")
    mover.takes.append(happening.post.id)
