"""What there is of an entity besides its row: its parent and branches, what it keeps, sent and could undo."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from fsmflow import clock, codec
from fsmflow.decision.commit import EventKind, Posted
from fsmflow.decision.context import Progress
from fsmflow.decision.entity import Snapshot, Standing
from fsmflow.decision.messages import envelope_of, left_ms
from fsmflow.decision.work import FAR_FUTURE_MS, Work
from fsmflow.definition.model import Definition
from fsmflow.definition.names import undoing
from fsmflow.engine.permission import proposals
from fsmflow.engine.runtime import Runtime
from fsmflow.values import dataclass

#: So many branches, messages and kept events are shown one by one; the rest is counted.
SHOWN: Final = 10
#: So many branches are named in a sentence.
NAMED: Final = 3


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message that is on its way, or could not be delivered. ``due_at`` in UTC milliseconds; ``until_left``: it ends
    with the visit of the state that the entity is in; ``why`` it was tried in vain so far. ``left_ms``: what is left of
    its time, where a pause holds it; it has no ``due_at`` then."""

    id: int
    name: str | None
    trigger: str
    to: str
    due_at: int | None
    why: str | None
    until_left: bool
    left_ms: int | None = None

    def __str__(self) -> str:
        named = f"{self.name!r}: " if self.name is not None else ""
        ends = ", until this state is left" if self.until_left else ""
        return f"{named}{self.trigger} to {self.to}{ends}" + (f": {self.why}" if self.why else "")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An event that came too early and is kept. ``at`` and ``until`` in UTC milliseconds; ``why`` it was not accepted
    when it was tried last."""

    id: int
    trigger: str
    at: int
    until: int | None
    actor: str | None
    reason: str | None
    why: str | None

    def __str__(self) -> str:
        until = "" if self.until is None else f" until {clock.to_datetime(self.until):%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.trigger} (event {self.id}){until}" + (f": {self.why}" if self.why else "")


@dataclass(frozen=True, kw_only=True)
class Stuck:
    """Something that is due and cannot go on: ``what`` it is, ``why``, after how many ``tries``, and when it is tried
    next; None where that is never. ``is_timer``: a retry or resume tries it now."""

    what: str
    why: str
    tries: int
    next_at: datetime | None
    is_timer: bool = False

    def __str__(self) -> str:
        now = "; 'resume' tries it now" if self.is_timer else ""
        tried = "tried once" if self.tries == 1 else f"tried {self.tries:,} times"
        then = "not tried again" if self.next_at is None else f"next at {self.next_at:%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.what}: {self.why} ({tried}, {then}{now})"


@dataclass(frozen=True, kw_only=True)
class Details:
    """``progress`` and the branches are those of the step that fans out, while the entity is in it or rests in its
    failure; ``failed``, ``unsettled`` and ``waiting`` (those whose job waits out an interval, the next first) hold the
    first few. ``undoable``: the steps that 'undo' would undo, the latest first. ``own_row``: what is wrong with
    the user's own row. ``asked``: what one of two people has asked for."""

    parent: Snapshot | None = None
    progress: Progress | None = None
    failed: tuple[Snapshot, ...] = ()
    unsettled: tuple[Snapshot, ...] = ()
    waiting: tuple[Snapshot, ...] = ()
    kept: tuple[Kept, ...] = ()
    sent: tuple[Message, ...] = ()
    lost: tuple[Message, ...] = ()
    undoable: tuple[str, ...] = ()
    own_row: str | None = None
    asked: tuple[str, ...] = ()
    stuck: tuple[Stuck, ...] = ()


def details_of(runtime: Runtime, own: Definition | None, snapshot: Snapshot) -> Details:
    """Look at it: two queries, and one or a few for each thing that there may be. ``own``: the definition that the
    entity goes by; None where the code does not know it."""
    store = runtime.store
    step = None if own is None else own.step_of(snapshot.state)
    fans = step is not None and step.fan is not None
    at = (snapshot.row, snapshot.step)
    kept = store.events.kept(snapshot.row) if snapshot.kept else ()
    sent, lost = store.events.sent(snapshot.row), store.events.lost(snapshot.row)
    return Details(
        parent=None if snapshot.parent is None else store.entities.load_row(snapshot.parent),
        progress=store.branches.progress(*at) if fans else None,
        failed=tuple(store.branches.failing(*at, limit=SHOWN)) if fans else (),
        unsettled=_standing(runtime, snapshot, Standing.ACTIVE, Standing.QUEUED) if fans else (),
        waiting=tuple(store.branches.waiting(*at, limit=SHOWN)) if fans else (),
        kept=tuple(map(_kept, kept)),
        sent=tuple(map(_message, sent)),
        lost=tuple(map(_message, lost)),
        stuck=stuck_of(own, snapshot, (*kept, *sent, *lost)),
        undoable=_undoable(runtime, own, snapshot) if own is not None and own.undoes else (),
        own_row=_own_row(runtime, own, snapshot),
        asked=tuple(map(str, proposals(runtime, own, snapshot))),
    )


def told_of_waiting(waiting: Sequence[Snapshot]) -> str:
    """What is told of branches whose job waits out an interval, the next first, and how they are run now."""
    first, then = waiting[0], "by its address, runs it now"
    at = "" if first.work is None else f"until {clock.to_datetime(first.work.wake_at):%Y-%m-%d %H:%M:%S} UTC"
    if len(waiting) == 1:
        return f"{first.address} waits out an interval, {at}: 'retry' of that one, {then}"
    more = " and more" if len(waiting) > NAMED else ""
    named = ", ".join(branch.address for branch in waiting[:NAMED])
    return f"{named}{more} wait out an interval, the first {at}: 'retry' of one, {then}"


def stuck_of(own: Definition | None, snapshot: Snapshot, posts: Sequence[Posted]) -> tuple[Stuck, ...]:
    """What of an entity cannot go on, by its row and its events; no query."""
    found = []
    work = snapshot.work
    if work is not None and work.tries:
        found.append(
            Stuck(
                what=_due(own, snapshot),
                why=work.why or "",
                tries=work.tries,
                next_at=_next_try(work),
                is_timer=work.is_stuck_timer and not work.waits,
            )
        )
    for post in posts:
        if post.tries:
            to = f"message {post.trigger!r} to {envelope_of(post).to}" if post.kind is not EventKind.KEPT else None
            never = post.kind is EventKind.LOST or post.due_at is None or left_ms(post) is not None
            next_at = None if never else clock.to_datetime(post.due_at or 0)
            what = to or f"kept event {post.trigger!r} (event {post.id})"
            found.append(Stuck(what=what, why=post.why or "", tries=post.tries, next_at=next_at))
    return tuple(found)


def _due(own: Definition | None, snapshot: Snapshot) -> str:
    """What is due of the work of an entity."""
    work, spec = snapshot.work, None if own is None else own.states.get(snapshot.state)
    if work is not None and not work.tells_of_timer:
        return f"branches of {snapshot.state!r}" if work.watches else f"job of {snapshot.state!r}"
    return f"timer {spec.timer.trigger!r}" if spec is not None and spec.timer is not None else "timer"


def _next_try(work: Work) -> datetime | None:
    moment = work.deadline if work.overdue and work.deadline is not None else work.wake_at
    # A hold that has no end keeps it back for ever.
    return None if work.held is not None or moment >= FAR_FUTURE_MS else clock.to_datetime(moment)


def _standing(runtime: Runtime, parent: Snapshot, *standings: Standing) -> tuple[Snapshot, ...]:
    branches = runtime.store.branches
    found = [one for wanted in standings for one in branches.standing(parent.row, parent.step, wanted, limit=SHOWN)]
    return tuple(sorted(found, key=lambda branch: branch.parent_index or 0)[:SHOWN])


def _own_row(runtime: Runtime, own: Definition | None, snapshot: Snapshot) -> str | None:
    if own is None or own.wide.status_field is None or snapshot.parent is not None:
        return None
    return runtime.store.own_rows.out_of_step(own.wide.status_field, snapshot)


def _undoable(runtime: Runtime, definition: Definition, snapshot: Snapshot) -> tuple[str, ...]:
    steps = runtime.store.events.trail(snapshot.row)
    return tuple(entered.state for entered in steps if undoing(entered.state) in definition.states)


def _kept(post: Posted) -> Kept:
    reason = codec.decode(post.text or "{}").get("reason")
    return Kept(
        id=post.id,
        trigger=post.trigger,
        at=post.at,
        until=post.until,
        actor=post.actor,
        reason=reason,
        why=post.why,
    )


def _message(post: Posted) -> Message:
    envelope, left = envelope_of(post), left_ms(post) if post.kind is EventKind.SENT else None
    return Message(
        id=post.id,
        name=post.key,
        trigger=post.trigger,
        to=envelope.to,
        due_at=post.due_at if left is None else None,
        why=post.why,
        until_left=post.seq is not None,
        left_ms=left,
    )
