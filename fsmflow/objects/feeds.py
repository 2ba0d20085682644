"""What feeds tell, and the feeds themselves, as objects."""

from __future__ import annotations

from typing import Any

from fsmflow.feeds import FeedEntry, FeedState
from fsmflow.objects.entities import entry
from fsmflow.objects.plain import iso_of


def line_object(found: FeedEntry) -> dict[str, Any]:
    """A line that a feed tells."""
    keys = frozenset[str]()  # what is redacted is hidden by now
    return {
        "id": found.id,
        "number": found.number,
        "address": found.address,
        "machine": found.machine,
        "entity_id": found.entity_id,
        "is_branch": found.is_branch,
        "state": found.state,
        "entry": entry(found.entry, keys),
    }


def state_object(found: FeedState) -> dict[str, Any]:
    """A stored feed."""
    moments = {name: getattr(found, name) for name in ("begun_at", "read_at", "oldest_at")}
    return {**vars(found), **{name: at and iso_of(at) for name, at in moments.items()}}
