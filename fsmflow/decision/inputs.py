"""Reads what callers hand in: ids and actors."""

from __future__ import annotations

from uuid import UUID

from fsmflow.decision.entity import MAX_TEXT, Actor, checked_text
from fsmflow.errors import DataError, shown

#: Ids of branches and children are made of those above them.
MAX_GENERATED = 512


def checked_id(entity_id: object, *, generated: bool = False) -> str:
    """An entity's id as text: 1 to 200 characters, no control characters, no ``/``. Raises DataError.

    ``generated``: that of a branch or child will do too.
    """
    if isinstance(entity_id, bool) or not isinstance(entity_id, (str, int, UUID)):
        raise DataError(f"the id {shown(entity_id)} is neither text, a whole number nor a UUID")
    if isinstance(entity_id, int):
        if abs(entity_id) >= 10**MAX_TEXT:
            raise DataError(f"the id has more than {MAX_TEXT} digits; {MAX_TEXT} are allowed")
        entity_id = int(entity_id)
    limit = MAX_GENERATED if generated else MAX_TEXT
    text = checked_text(entity_id if isinstance(entity_id, str) else str(entity_id), "the id", limit=limit)
    if "/" in text and not generated:
        raise DataError(f"the id {text!r} has a '/', which only ids that fsmflow makes may have")
    return text


def as_actor(actor: Actor | str | None) -> Actor | None:
    """An actor as given; a bare name has no roles. Raises DataError."""
    if actor is None or isinstance(actor, Actor):
        return actor
    return Actor(actor)
