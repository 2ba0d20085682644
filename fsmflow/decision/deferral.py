"""Events that come too early: kept, fired in the first state that accepts them, or discarded."""

from __future__ import annotations

from dataclasses import replace

from fsmflow import clock, codec
from fsmflow.decision.commit import EventKind, Post, Posted
from fsmflow.decision.entity import Event
from fsmflow.decision.happenings import Delivered, Discarded, Triggered
from fsmflow.decision.history import HistoryKind
from fsmflow.decision.messages import lost
from fsmflow.decision.mover import Mover
from fsmflow.definition.model import Definition
from fsmflow.errors import DataError, NotPermitted

#: How many events an entity may keep.
MAX_KEPT = 1_000


def keep(mover: Mover, happening: Triggered) -> None:
    """Keep an event for later. Its roles are checked now, its guards when it fires."""
    if mover.before.kept >= MAX_KEPT:
        raise DataError(
            f"{mover.before.address} keeps {MAX_KEPT:,} events already; they wait for a state that accepts them"
        )
    _check_roles(mover.definition, mover.before.address, happening)
    event = mover.event(happening.trigger, happening.payload, happening.actor)
    _note(mover, HistoryKind.DEFERRED, happening, event)
    kept = {"payload": happening.payload, "reason": mover.entries[-1].reason}
    mover.posts.append(
        Post(
            kind=EventKind.KEPT,
            trigger=happening.trigger,
            text=codec.encode(kept, what="payload"),
            actor=event.actor,
            at=mover.now,
            seq=mover.after.seq,
        )
    )
    mover.after = replace(mover.after, kept=mover.after.kept + 1)


def ignore(mover: Mover, happening: Triggered) -> None:
    """Note that an event came, and do nothing."""
    _note(mover, HistoryKind.IGNORED, happening, mover.event(happening.trigger, happening.payload, happening.actor))


def discard(mover: Mover, happening: Delivered, why: str) -> None:
    """Note that a message came that can no longer fire."""
    event = mover.event(happening.event.trigger, happening.event.payload, happening.event.actor)
    _note(mover, HistoryKind.DISCARDED, replace(happening.event, reason=why[:2_000]), event)


def undeliverable(mover: Mover, happening: Discarded) -> None:
    """Note, with the sender, that a message found nobody; it stays to be seen in ``explain``."""
    mover.context = mover.context.without(happening.post)
    event = Event(trigger=happening.post.trigger, at=clock.to_datetime(mover.now))
    mover.note(HistoryKind.DISCARDED, trigger=event.trigger, event=event, reason=happening.why[:2_000])
    mover.takes.append(happening.post.id)
    mover.posts.append(lost(happening.post, mover.masked(happening.why)))


def fire_kept(mover: Mover) -> None:
    """Fire what was kept and the state that has been entered accepts, in order of arrival, as long as there is any."""
    waiting = list(mover.context.kept)
    while waiting:
        state = mover.definition.states[mover.after.state]
        if state.is_final:
            for post in waiting:
                _take(mover, post)
                _note_post(mover, HistoryKind.DISCARDED, post, reason="it has finished")
            return
        fired = next((post for post in waiting if _fires(mover, post)), None)
        if fired is None:
            return
        waiting.remove(fired)


def _fires(mover: Mover, post: Posted) -> bool:
    state = mover.definition.states[mover.after.state]
    if post.trigger in state.ignore:
        _take(mover, post)
        _note_post(mover, HistoryKind.IGNORED, post)
        return True
    if not mover.definition.offers(post.trigger, state.name):
        return False
    if state.undoes is not None and not _is_the_users(mover.definition, post.trigger, state.name):
        return False  # a cancel that was kept before must not stop what takes the steps back
    trial = mover.trial()
    event = _event(post)
    try:
        trial.fire(post.trigger, data=trial.after.data, event=event, by_engine=True, reason=_reason(post))
    except Exception:  # noqa: BLE001 - a guard of the user's; what brought the entity here must not fail of it
        return False
    # Fired by the engine, but asked for by somebody.
    trial.entries[-1] = replace(trial.entries[-1], actor=post.actor)
    mover.adopt(trial)
    _take(mover, post)
    return True


def _is_the_users(definition: Definition, trigger: str, state: str) -> bool:
    """Whether one of the user's own transitions takes a trigger in a state."""
    return any(
        (spec.trigger, spec.source) == (trigger, state) and not spec.generated for spec in definition.transitions
    )


def _take(mover: Mover, post: Posted) -> None:
    mover.takes.append(post.id)
    mover.after = replace(mover.after, kept=max(0, mover.after.kept - 1))


def _note_post(mover: Mover, kind: HistoryKind, post: Posted, reason: str | None = None) -> None:
    mover.note(kind, trigger=post.trigger, source=mover.after.state, event=_event(post), reason=reason)


def _event(post: Posted) -> Event:
    return Event(
        trigger=post.trigger,
        payload=codec.decode(post.text or "{}").get("payload") or {},
        actor=post.actor,
        at=clock.to_datetime(post.at),
    )


def _reason(post: Posted) -> str | None:
    reason = codec.decode(post.text or "{}").get("reason")
    return reason if isinstance(reason, str) else None


def _note(mover: Mover, kind: HistoryKind, happening: Triggered, event: Event) -> None:
    mover.note(
        kind, trigger=event.trigger, actor=happening.actor, event=event, reason=happening.reason, key=happening.key
    )


def _check_roles(definition: Definition, address: str, happening: Triggered) -> None:
    found = [spec for spec in definition.transitions if spec.trigger == happening.trigger]
    wanted = frozenset(role for spec in found for role in spec.roles)
    has = happening.actor.roles if happening.actor else frozenset()
    if found and all(spec.roles for spec in found) and not wanted & has:
        raise NotPermitted(address, happening.trigger, wanted, happening.actor.name if happening.actor else None)
