"""``decide(definition, snapshot, happening, now) -> Commit``: pure. No clock, no database, no Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from fsmflow import codec
from fsmflow.decision import settling
from fsmflow.decision.events import (
    Crashed,
    Failed,
    Happening,
    Paused,
    Postponed,
    Resumed,
    Returned,
    Saved,
    Settling,
    TimerFired,
    Triggered,
)
from fsmflow.decision.moving import Mover, Refused, hold, release
from fsmflow.decision.records import TIMER, Actor, Commit, Event, Snapshot
from fsmflow.decision.view import DecisionView, subject_of
from fsmflow.definition.firing import Firing, would_fire
from fsmflow.definition.model import Definition
from fsmflow.definition.names import ENGINE_TRIGGERS, RETRY, TIMEOUT
from fsmflow.errors import (
    FsmflowError,
    TransitionConflict,
    TransitionNotAllowed,
    UnknownState,
    did_you_mean,
)


class StaleClaim(FsmflowError):
    """The attempt that wants to settle has been taken over, left or cancelled. It changes nothing."""


def decide(definition: Definition, snapshot: Snapshot, happening: Happening, now: int) -> Commit:
    """What ``happening`` leads to for an entity that is as ``snapshot`` shows.

    Raises the named errors for what is refused, and StaleClaim for an attempt that no longer counts. What guards
    and callbacks raise passes through for a trigger from outside and for timers; at the end of an attempt it
    leads to ``failed_from_X``.
    """
    if snapshot.state not in definition.states:
        raise UnknownState(definition.name, snapshot.state, definition.states, address=snapshot.address)
    claim = happening.claim if isinstance(happening, Settling) else None
    if claim is not None and not claim.holds(snapshot):
        raise StaleClaim(f"{snapshot.address}: attempt {claim.attempt} of epoch {claim.epoch} no longer counts")
    mover = Mover(definition, snapshot, now)
    _DECIDERS[type(happening)](mover, happening)
    after = replace(mover.after, revision=snapshot.revision + 1)
    key = happening.key if isinstance(happening, Triggered) else None
    return Commit(before=snapshot, after=after, entries=tuple(mover.entries), key=key, claim=claim)


def begin(
    definition: Definition, entity_id: str, data: Mapping[str, Any], actor: Actor | None, key: str | None, now: int
) -> Commit:
    """A new entity in the initial state; its job, if any, is to be dispatched. Raises DataError."""
    blank = Snapshot(
        row=0,
        machine=definition.name,
        entity_id=entity_id,
        state=definition.initial,
        phase="",
        epoch=0,
        revision=0,
        seq=0,
        data_text=codec.encode(dict(data)),
        step=0,
        event_text="",
        version=definition.version,
        created_at=now,
        entered_at=now,
        updated_at=now,
    )
    mover = Mover(definition, blank, now)
    event = mover.event("start", None, actor)
    firing = Firing(blank.address, blank.state, None, None)
    subject = subject_of(definition, DecisionView(definition, blank, firing, event, blank.data, None))
    mover.enter(definition.initial, event=event, subject=subject)
    mover.note("start", actor=actor, event=event, key=key)
    entry = replace(mover.entries[0], source=None)
    return Commit(before=None, after=replace(mover.after, revision=1), entries=(entry,), key=key)


def allowed_triggers(definition: Definition, snapshot: Snapshot, actor: Actor | None) -> list[str]:
    """The triggers that ``actor`` could fire now, as far as can be told without their payloads."""
    if snapshot.state not in definition.states:
        return []
    allowed = []
    for trigger in definition.outgoing[snapshot.state]:
        if _belongs_to_engine(definition, snapshot, trigger):
            continue
        roles = actor.roles if actor else frozenset()
        firing = Firing(snapshot.address, snapshot.state, roles, actor.name if actor else None)
        view = DecisionView(definition, snapshot, firing, snapshot.event, snapshot.data, snapshot.failure)
        if would_fire(definition, trigger, firing, subject_of(definition, view)):
            allowed.append(trigger)
    return allowed


def _triggered(mover: Mover, happening: Triggered) -> None:
    snapshot, definition, trigger = mover.before, mover.definition, happening.trigger
    if happening.epoch is not None and happening.epoch != snapshot.epoch:
        raise TransitionConflict(
            snapshot.address,
            f"it was seen at epoch {happening.epoch} and is now at epoch {snapshot.epoch}, in {snapshot.state!r}",
        )
    if _belongs_to_engine(definition, snapshot, trigger):
        raise _refused(mover, happening, why=f"{trigger!r} belongs to the engine and cannot be fired from outside")
    event = mover.event(trigger, happening.payload, happening.actor)
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
        known = any(trigger in triggers for triggers in definition.outgoing.values())
        hint = did_you_mean(trigger, [name for names in definition.outgoing.values() for name in names])
        why = None if known else f"machine {definition.name!r} has no trigger {trigger!r}{hint}"
        raise _refused(mover, happening, why=why, refusals=refused.refusals) from None
    reentered = (
        mover.after.epoch != snapshot.epoch and mover.after.state == definition.states[snapshot.state].failed_from
    )
    if trigger == RETRY and reentered and snapshot.result_text and not happening.new_key:
        last = snapshot.failure
        settling.accept_kept(mover, snapshot.result_text, set(happening.patch), last.attempts if last else None)


def _refused(
    mover: Mover, happening: Triggered, *, why: str | None, refusals: tuple[str, ...] = ()
) -> TransitionNotAllowed:
    snapshot = mover.before
    allowed = allowed_triggers(mover.definition, snapshot, happening.actor)
    return TransitionNotAllowed(
        snapshot.address, snapshot.state, happening.trigger, allowed=allowed, refusals=refusals, why=why
    )


def _belongs_to_engine(definition: Definition, snapshot: Snapshot, trigger: str) -> bool:
    if trigger != TIMEOUT:
        return trigger in ENGINE_TRIGGERS
    timer, work = definition.states[snapshot.state].timer, snapshot.work
    return timer is not None and timer.trigger == TIMEOUT and work is not None and work.kind == TIMER


def _timer_fired(mover: Mover, happening: TimerFired) -> None:
    snapshot = mover.before
    timer = mover.definition.states[snapshot.state].timer
    work = snapshot.work
    if timer is None or work is None or work.kind != TIMER or work.held is not None:
        raise StaleClaim(f"{snapshot.address}: no timer is running in {snapshot.state!r}")
    mover.after = replace(snapshot, work=None)
    event = mover.event(timer.trigger)
    mover.fire(timer.trigger, data=snapshot.data, event=event, by_engine=True)


def _paused(mover: Mover, happening: Paused) -> None:
    snapshot = mover.before
    if mover.definition.states[snapshot.state].is_final:
        raise TransitionNotAllowed(
            snapshot.address, snapshot.state, "pause", why="it has finished; nothing is left to hold"
        )
    work = hold(snapshot.work, mover.now) if snapshot.work else None
    mover.after = replace(snapshot, paused=True, work=work)
    mover.note("paused", actor=happening.actor, reason=happening.reason)


def _resumed(mover: Mover, happening: Resumed) -> None:
    snapshot = mover.before
    work = release(snapshot.work, mover.now) if snapshot.work else None
    mover.after = replace(snapshot, paused=False, work=work)
    mover.note("resumed", actor=happening.actor, reason=happening.reason)


_DECIDERS: Mapping[type, Callable[[Mover, Any], None]] = {
    Triggered: _triggered,
    Paused: _paused,
    Resumed: _resumed,
    TimerFired: _timer_fired,
    Returned: settling.returned,
    Failed: settling.failed,
    Crashed: settling.crashed,
    Postponed: settling.postponed,
    Saved: settling.saved,
}

__all__ = ["Event", "StaleClaim", "allowed_triggers", "begin", "decide"]
