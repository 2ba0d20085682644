"""What a decision writes and tells, without the values that the machine's ``redact`` hides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsmflow import codec
from fsmflow.decision.entity import Event, Snapshot
from fsmflow.decision.happenings import Delivered, Happening, Returned, Triggered, Unacceptable
from fsmflow.definition.model import Definition
from fsmflow.errors import DataError
from fsmflow.redaction import hide_in_text


def masked(definition: Definition, text: str, snapshot: Snapshot, *more: Any) -> str:
    """A text without the redacted values of an entity: those of its data, of the event that entered its step, of its
    item, and of ``more``. Nothing is decoded where the machine redacts nothing."""
    keys = definition.wide.redact
    if not keys or not text:
        return text
    item = codec.decode(snapshot.item_text) if snapshot.item_text else None
    payload = Event.from_text(snapshot.event_text).payload if snapshot.event_text else None
    return hide_in_text(text, keys, snapshot.data, payload, item, *more)


def carried(happening: Happening) -> tuple[Any, ...]:
    """What comes with a happening and is not in the entity yet."""
    if isinstance(happening, Delivered):
        return carried(happening.event)
    if isinstance(happening, Unacceptable):
        return carried(happening.returned)
    if isinstance(happening, Triggered):
        return (happening.payload, happening.patch)
    if isinstance(happening, Returned):
        return (happening.changes.changed, happening.result)
    return ()


def without_values(definition: Definition, error: DataError, snapshot: Snapshot, *more: Any) -> DataError:
    """The error for its caller: where it quotes what is redacted, another one that does not."""
    text = masked(definition, str(error), snapshot, *more)
    return error if text == str(error) else DataError(text)


def encoded(definition: Definition, data: Mapping[str, Any]) -> str:
    """The stored form of the data of a new entity. Raises DataError."""
    try:
        return codec.encode(dict(data))
    except DataError as error:
        text = hide_in_text(str(error), definition.wide.redact, data)
        raise DataError(text) from (error.__cause__ if text == str(error) else None)
