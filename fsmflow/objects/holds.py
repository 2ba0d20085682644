"""Holds as objects."""

from __future__ import annotations

from typing import Any

from fsmflow.holds import Hold
from fsmflow.objects.plain import iso


def object_of(hold: Hold, waiting: int) -> dict[str, Any]:
    """A hold, and how many wait for it."""
    moments = {
        name: None if getattr(hold, name) is None else iso(getattr(hold, name))
        for name in ("at", "until", "released_at")
    }
    facts = {name: getattr(hold, name) for name in ("number", "machine", "state", "queue", "reason", "by", "rate")}
    return {**facts, "where": dict(hold.where), **moments, "waiting": waiting}
