"""What ``machine.send`` sends: checked, and as a row that is committed with the transition."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from fsmflow import clock, codec
from fsmflow.decision.commit import EventKind, Post, Posted
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.inputs import MAX_PAYLOAD_BYTES, checked_text
from fsmflow.decision.work import FAR_FUTURE_MS
from fsmflow.definition.names import name_fault
from fsmflow.definition.retry import is_duration
from fsmflow.errors import DataError, shown
from fsmflow.observers import carried
from fsmflow.values import dataclass, replace

MAX_ADDRESS = 600


def message(
    trigger: str,
    *,
    to: Any,
    after: float | timedelta | None,
    key: str | None,
    start: Mapping[str, Any] | bool | None,
    payload: Mapping[str, Any],
    name: str | None,
    until_left: bool,
) -> Message:
    """A message as asked for. ``to``: an address, or anything that has one. Raises DataError."""
    fault = name_fault(trigger)
    if fault:
        raise DataError(f"send: the trigger {fault}")
    if to is not None:
        to = to if isinstance(to, str) else getattr(to, "address", to)
        checked_text(to, "send: the address", limit=MAX_ADDRESS)
        if ":" not in to:
            raise DataError(f"send: {to!r} is no address; write machine:id")
    if after is not None and not is_duration(after):
        raise DataError(f"send: after={shown(after)}; it is seconds or a timedelta")
    _check_options(to, key, start, name, until_left)
    data = dict(start) if isinstance(start, Mapping) else {} if start else None
    found = Message(
        trigger=trigger,
        to=to,
        after_ms=clock.to_ms(after or 0),
        key=key,
        start=data,
        payload=dict(payload),
        name=name,
        until_left=until_left,
    )
    codec.encode(found.payload, what="send: the payload", limit=MAX_PAYLOAD_BYTES)
    codec.encode(data, what="send: the data to start it with")
    return found


def _check_options(to: str | None, key: str | None, start: Any, name: str | None, until_left: bool) -> None:
    if key is not None:
        checked_text(key, "send: the key")
    if start is not None and not isinstance(start, (bool, Mapping)):
        raise DataError(f"send: start={shown(start)}; it is True, or the data to start it with")
    if start and to is None:
        raise DataError("send: start= goes with to=; the sender is there already")
    if name is not None:
        checked_text(name, "send: the name")
    if not isinstance(until_left, bool):
        raise DataError(f"send: until_left={shown(until_left)}; it is True or False")


def recall(name: str) -> Recall:
    """What takes back the message of a name. Raises DataError."""
    return Recall(name=checked_text(name, "unsend: the name"))


def mail_of(asked: Message | Recall, sender: Snapshot, now: int, roles: Collection[str]) -> Post | Recall:
    """What a decision does about something that was sent or taken back by ``sender``, as that is by then. ``roles``:
    those that it acts with."""
    return asked if isinstance(asked, Recall) else post_of(asked, sender, now, roles)


def post_of(sent: Message, sender: Snapshot, now: int, roles: Collection[str]) -> Post:
    """The row that holds a message until it is delivered: by its name, and with the visit that it ends with."""
    envelope = {
        "to": sent.to or sender.address,
        "payload": sent.payload,
        "key": sent.key,
        "start": sent.start,
        "roles": sorted(roles),
    }
    trace = carried()
    if trace is not None:
        envelope["trace"] = trace
    return Post(
        kind=EventKind.SENT,
        trigger=sent.trigger,
        text=codec.encode(envelope, what="message", limit=2**20),
        actor=sender.address[:200],
        at=now,
        due_at=now + sent.after_ms,
        key=sent.name,
        seq=sender.epoch if sent.until_left else None,
    )


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A message as it is to be delivered. ``trace``: what it was sent by, where somebody traces that."""

    to: str
    payload: Mapping[str, Any]
    key: str | None
    start: Mapping[str, Any] | None
    roles: Collection[str] = ()
    #: How it ends is the addressee's alone to tell.
    quiet: bool = False
    trace: str | None = None


def envelope_of(post: Post) -> Envelope:
    """What the row of a message holds."""
    return Envelope(**codec.decode(post.text or "{}"))


def left_ms(post: Post) -> int | None:
    """The time that is left to a message that a pause holds; None for one that is on its way."""
    due_at = post.due_at or 0
    return due_at - FAR_FUTURE_MS if due_at >= FAR_FUTURE_MS else None


def stopped(post: Post, now: int) -> int:
    """``due_at`` of a message that a pause holds, with the time that it has left."""
    due_at = post.due_at or now
    return due_at if left_ms(post) is not None else FAR_FUTURE_MS + max(0, due_at - now)


def due_again(post: Post, now: int) -> int:
    """``due_at`` of a message whose pause is over."""
    left = left_ms(post)
    return post.due_at or now if left is None else now + left


def when_due(post: Post) -> str:
    """When a message is delivered, in words."""
    left = left_ms(post)
    if left is not None:
        return f"held by the pause with {clock.span(left)} left"
    return f"due {clock.to_datetime(post.due_at or 0):%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How a message ended. ``how`` is what the history of its sender calls it."""

    how: str
    why: str


def answer_to(sender: int, trigger: str, answer: Answer, now: int) -> Post:
    """The row that waits until the sender has been told."""
    text = codec.encode(vars(answer), what="answer")
    return Post(kind=EventKind.ANSWER, trigger=trigger, text=text, at=now, due_at=now, entity=sender)


def answer_of(post: Post) -> Answer:
    """What such a row says."""
    return Answer(**codec.decode(post.text or "{}"))


def lost(post: Posted, why: str) -> Post:
    """The row that tells of a message that could not be delivered: it stays, and is never tried again."""
    fields = {name: getattr(post, name) for name in Post.__dataclass_fields__}
    told = {"tries": post.tries + 1, "why": why[:2_000], "due_at": FAR_FUTURE_MS}
    return replace(Post(**{**fields, **told}), kind=EventKind.LOST, key=None, seq=None)


@dataclass(frozen=True, kw_only=True)
class Message:
    """An event that a job or callback sends. ``to`` None is the sender; ``start`` holds the data to start the addressee
    with where it is not there yet. ``name``: what it can be taken back by; ``until_left``: it ends with the visit."""

    trigger: str
    to: str | None
    after_ms: int
    key: str | None
    start: Mapping[str, Any] | None
    payload: Mapping[str, Any]
    name: str | None = None
    until_left: bool = False


@dataclass(frozen=True, kw_only=True)
class Recall:
    """A message of this sender that is to be taken back, if it is still on its way."""

    name: str


def as_kept(asked: Message | Recall) -> dict[str, Any]:
    """What a withheld result keeps of something that was sent or taken back."""
    return vars(asked)


def from_kept(kept: Mapping[str, Any]) -> Message | Recall:
    """What ``as_kept`` was made of."""
    return Message(**kept) if "trigger" in kept else Recall(**kept)
