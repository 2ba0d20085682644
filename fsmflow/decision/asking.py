"""Reads what callers hand in: ids and actors."""

from __future__ import annotations

from uuid import UUID

from fsmflow.decision.records import Actor, checked_text
from fsmflow.errors import DataError


def checked_id(entity_id: object) -> str:
    """An entity's id as text: 1 to 200 characters, no control characters, no ``/``. Raises DataError."""
    if isinstance(entity_id, bool) or not isinstance(entity_id, (str, int, UUID)):
        raise DataError(f"the id {entity_id!r:.80} is neither text, a whole number nor a UUID")
    text = checked_text(str(entity_id), "the id")
    if "/" in text:
        raise DataError(f"the id {text!r} has a '/', which only ids that fsmflow makes may have")
    return text


def as_actor(actor: Actor | str | None) -> Actor | None:
    """An actor as given; a bare name has no roles. Raises DataError."""
    if actor is None or isinstance(actor, Actor):
        return actor
    return Actor(actor)
