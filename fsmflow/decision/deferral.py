"""Events that come too early: kept, fired in the first state that accepts them, or discarded."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from fsmflow import clock, codec
from fsmflow.decision.commit import EventKind, Mark, Post, Posted
from fsmflow.decision.entity import Event
from fsmflow.decision.failure import clip
from fsmflow.decision.happenings import Answered, Delivered, Discarded, Dropped, Happening, KeptDue, Triggered
from fsmflow.decision.history import HistoryKind
from fsmflow.decision.messages import lost
from fsmflow.decision.mover import MAX_WHY, Mover, Refused
from fsmflow.decision.work import again_ms
from fsmflow.definition.model import Definition
from fsmflow.errors import DataError, text_of
from fsmflow.values import replace

#: How many events an entity may keep.
MAX_KEPT = 1_000
DROP: Final = "drop"
#: What is told of events alone, and is no change of the entity.
_TOLD: Final = frozenset(
    {
        HistoryKind.DEFERRED,
        HistoryKind.IGNORED,
        HistoryKind.DISCARDED,
        HistoryKind.DELIVERED,
        HistoryKind.REFUSED,
        HistoryKind.DROPPED,
        HistoryKind.UNSENT,
    }
)


def keep(mover: Mover, happening: Triggered, why: str) -> None:
    """Keep an event for later, as it was refused (``why``) now. Its roles are checked now, its guards when it fires."""
    if mover.before.kept >= MAX_KEPT:
        raise DataError(
            f"{mover.before.address} keeps {MAX_KEPT:,} events already; they wait for a state that accepts them"
        )
    _check_roles(mover, happening)
    event = mover.event(happening.trigger, happening.payload, happening.actor)
    _note(mover, HistoryKind.DEFERRED, happening, event)
    kept = {"payload": happening.payload, "reason": mover.entries[-1].reason, "sender": mover.sender}
    limit = mover.definition.states[mover.before.state].kept_for.get(happening.trigger)
    until = None if limit is None else mover.now + limit
    mover.posts.append(
        Post(
            kind=EventKind.KEPT,
            trigger=happening.trigger,
            text=codec.encode(kept, what="payload"),
            actor=event.actor,
            at=mover.now,
            seq=mover.after.seq,
            until=until,
            due_at=until,
            why=clip(mover.masked(why, happening.payload), MAX_WHY) or None,
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


def answered(mover: Mover, happening: Answered) -> None:
    """Note, with the sender, how messages ended."""
    for post, answer in happening.answers:
        mover.context = mover.context.without(post)
        mover.note(HistoryKind(answer.how), trigger=post.trigger, source=mover.after.state, reason=answer.why)
        mover.takes.append(post.id)


def dropped(mover: Mover, happening: Dropped) -> None:
    """Take away what an operator names, whether it is kept, on its way, or could not be delivered."""
    context, named = mover.context, str(happening.event)
    kept = [post for post in context.kept if named in (str(post.id), post.trigger)]
    others = [post for post in (*context.sent, *context.given_up) if str(post.id) == named]
    if not kept and not others:
        raise DataError(
            f"{mover.before.address} has no event {named}; 'fsmflow show' lists what it keeps and has sent, each with "
            f"its number"
        )
    for post in kept:
        _take(mover, post)
        _answer(mover, post, HistoryKind.DISCARDED, f"it was dropped by an operator: {happening.reason or 'no reason'}")
    mover.takes += [post.id for post in others]
    for post in (*kept, *others):
        event = _event(post) if post.kind is EventKind.KEPT else None
        mover.note(
            HistoryKind.DROPPED,
            trigger=post.trigger,
            source=mover.after.state,
            event=event,
            actor=happening.actor,
            reason=happening.reason,
        )
    mover.entries[0] = replace(mover.entries[0], key=happening.key)


def is_about_itself(mover: Mover, happening: Happening) -> bool:
    """Whether a decision only tells of events, and leaves the entity as it was."""
    if isinstance(happening, KeptDue):
        return False
    return all(entry.kind in _TOLD for entry in mover.entries) and mover.after.data_text == mover.before.data_text


def fire_kept(mover: Mover) -> None:
    """Fire what was kept and is accepted now, in order of arrival, as long as there is any; discard what was kept for
    too long. It is tried after every change of the entity."""
    waiting = [post for post in mover.context.kept if post.id not in mover.takes]
    for post in [post for post in waiting if post.until is not None and post.until <= mover.now]:
        waiting.remove(post)
        _expire(mover, post)
    while waiting:
        state = mover.definition.states[mover.after.state]
        if state.is_final:
            for post in waiting:
                _take(mover, post)
                _note_post(mover, HistoryKind.DISCARDED, post, reason="it has finished")
                _answer(mover, post, HistoryKind.DISCARDED, "it kept it, and has finished")
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
        _answer(mover, post, HistoryKind.DELIVERED, f"it ignores that in {state.name!r}")
        return True
    if not mover.definition.offers(post.trigger, state.name):
        return False
    if state.undoes is not None and not _is_the_users(mover.definition, post.trigger, state.name):
        return False  # a cancel that was kept before must not stop what takes the steps back
    trial = mover.trial()
    event = _event(post)
    try:
        trial.fire(post.trigger, data=trial.after.data, event=event, by_engine=True, reason=_reason(post))
    except Refused as refused:
        _mark(mover, post, "; ".join(refused.refusals), tries=0)
        return False
    except Exception as error:  # noqa: BLE001 - the user's; what brought the entity here must not fail of it
        _mark(mover, post, f"{type(error).__name__}: {text_of(error)}", tries=post.tries + 1)
        return False
    # Fired by the engine, but asked for by somebody.
    trial.entries[-1] = replace(trial.entries[-1], actor=post.actor)
    mover.adopt(trial)
    _take(mover, post)
    _answer(mover, post, HistoryKind.DELIVERED, f"it kept it until now, and is in {mover.after.state!r}")
    return True


def _mark(mover: Mover, post: Posted, why: str, *, tries: int) -> None:
    """Remember why it is still kept. One that raised is tried again by itself, after a while that grows."""
    due_at = post.until
    if tries:
        again = mover.now + again_ms(tries)
        due_at = again if post.until is None else min(post.until, again)
    mark = Mark(id=post.id, tries=tries, why=clip(mover.masked(why, _event(post).payload), MAX_WHY), due_at=due_at)
    mover.marks = [other for other in mover.marks if other.id != post.id]
    if tries or (mark.tries, mark.why) != (post.tries, post.why):
        mover.marks.append(mark)


def _expire(mover: Mover, post: Posted) -> None:
    _take(mover, post)
    kept_s = ((post.until or 0) - post.at) / 1000
    why = f"it was kept for {timedelta(seconds=round(kept_s, 3))}, and no state accepted it"
    last = f"; the last time: {post.why}" if post.why else ""
    _note_post(mover, HistoryKind.DISCARDED, post, reason=f"{why}{last}")
    _answer(mover, post, HistoryKind.DISCARDED, f"{why}{last}")


def _answer(mover: Mover, post: Posted, how: HistoryKind, why: str) -> None:
    """Tell who sent what was kept, where it was a message."""
    sender = codec.decode(post.text or "{}").get("sender")
    if sender is not None:
        mover.answer(how, post.trigger, why, sender)


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


def _check_roles(mover: Mover, happening: Triggered) -> None:
    found = [spec for spec in mover.definition.transitions if spec.trigger == happening.trigger]
    wanted = frozenset(role for spec in found for role in spec.roles)
    if found and all(spec.roles for spec in found):
        permits = mover.context.permits(mover.definition, mover.before, happening.actor)
        refusal = permits(happening.trigger, wanted)
        if refusal is not None:
            raise refusal
