"""What is told to people and other systems, as the delivery that brings it to a channel."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from fsmflow import clock, codec
from fsmflow.decision.commit import EventKind, Post
from fsmflow.decision.entity import Failure, Snapshot
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.messages import envelope_of
from fsmflow.decision.terms import MISSING, value_at
from fsmflow.definition.model import Definition
from fsmflow.redaction import hide

#: The machine that comes with fsmflow for this, and what it is started with.
NOTICE: Final = "notice"
DELIVER: Final = "deliver"
#: Of the fields that go with a message, so much: a transition is never refused for what is told of it.
MAX_FIELDS_BYTES: Final = 64 * 1024


def message_id(*parts: object) -> str:
    """The id of a message, which is that of its delivery: the same for the same parts, and for nothing else."""
    text = "\0".join(map(str, parts))
    return f"msg_{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:32]}"


def delivery_of(channel: str, type_: str, at: datetime, data: Mapping[str, Any], *, about: str) -> dict[str, Any]:
    """What a delivery is started with. ``data``: what the message says, with ``text``, a sentence for people;
    ``about``: the address of what it is about, by which deliveries are found. Secrets do not belong there."""
    message = {"timestamp": clock.iso(at), "data": dict(data)}
    return {"channel": channel, "type": type_, "about": about, "message": message}


def notices(definition: Definition, after: Snapshot, entries: Sequence[HistoryEntry], now: int) -> Iterable[Post]:
    """The messages that tell of a decision, each to be committed with it: one for each line of history and each
    channel that is told of it. ``after`` is the entity as it is committed; its data are those that are told."""
    return _notices(definition, after, entries, now) if definition.wide.tell else ()


def _notices(definition: Definition, after: Snapshot, entries: Sequence[HistoryEntry], now: int) -> Iterator[Post]:
    for entry in entries:
        for channel, fields in _told_of(definition, entry).items():
            said = _said(definition, after, entry, fields)
            id_ = message_id(after.address, after.created_at, entry.seq, clock.iso(entry.at), channel)
            # Whoever acts on what is entered must not be called where nothing was.
            type_ = f"{after.machine}.{entry.dest if entry.kind.enters else entry.trigger}"
            given = delivery_of(channel, type_, entry.at, said, about=after.address)
            envelope = {"to": f"{NOTICE}:{id_}", "payload": {}, "key": None, "start": given, "quiet": True}
            yield Post(
                kind=EventKind.SENT,
                trigger=DELIVER,
                text=codec.encode(envelope, what="message", limit=2**20),
                actor=after.address[:200],
                at=now,
                due_at=now,
            )


def _told_of(definition: Definition, entry: HistoryEntry) -> dict[str, list[str]]:
    """The channels that are told of a line of history, each once, with the fields that go with it."""
    found: dict[str, list[str]] = {}
    for told in definition.wide.tell.get(entry.dest, ()) if entry.kind.is_hooked else ():
        if told.means(entry.trigger, entry.source, enters=entry.kind.enters):
            found.setdefault(told.channel, []).extend(told.fields)
    return found


def told_in(post: Post) -> str | None:
    """What a row tells which channel, in words; None for any other message."""
    envelope = envelope_of(post)
    if not envelope.quiet or envelope.start is None:
        return None
    return f"{envelope.start['type']} to channel {envelope.start['channel']!r}"


def _said(definition: Definition, after: Snapshot, entry: HistoryEntry, fields: Iterable[str]) -> dict[str, Any]:
    way = f"went from {entry.source!r} to {entry.dest!r}" if entry.source else f"began in {entry.dest!r}"
    way = way if entry.kind.enters else f"took {entry.trigger!r} in {entry.dest!r}"
    spec = definition.states.get(entry.dest)
    failure = (entry.failure or after.failure) if spec is not None and spec.is_failed else None
    why = f": {failure.error_type}: {failure.message}" if failure is not None else ""
    return {
        "text": f"{after.address} {way}{why}",
        "address": after.address,
        "machine": after.machine,
        "entity_id": after.entity_id,
        "state": entry.dest,
        "source": entry.source,
        "trigger": entry.trigger,
        "kind": entry.kind.value,
        "seq": entry.seq,
        "at": clock.iso(entry.at),
        "epoch": entry.epoch,
        "actor": entry.actor,
        "reason": entry.reason,
        "failure": None if failure is None else _of_failure(failure),
        **_fields(definition, after, fields),
    }


def _of_failure(failure: Failure) -> dict[str, Any]:
    """What is told of a failure: no traceback, which shows code and values."""
    return {
        "error_type": failure.error_type,
        "message": failure.message,
        "state": failure.state,
        "attempts": failure.attempts,
        "at": clock.iso(failure.at),
        "fingerprint": failure.fingerprint,
    }


def _fields(definition: Definition, after: Snapshot, names: Iterable[str]) -> dict[str, Any]:
    """The chosen values of data; what is missing is left out, and so are all of them where they are too large."""
    data = hide(after.data, definition.wide.redact)
    found = {name: value for name in names if (value := value_at(data, name)) is not MISSING}
    size = len(codec.encode(found).encode()) if found else 0
    if size > MAX_FIELDS_BYTES:
        return {"fields": {}, "left_out": f"the fields have {size:,} bytes, and {MAX_FIELDS_BYTES:,} are told"}
    return {"fields": found}
