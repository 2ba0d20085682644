"""``Arrival``: an event of somebody else's that was verified, and led to nothing; kept to look at and to try again."""

from __future__ import annotations

import hashlib

from fsmflow.values import dataclass


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """``id``: what people type. ``hook`` and ``key``: to what it came, and what it is known by there. ``event``: of
    which kind its sender calls it. ``at``, ``last_at``: when it came first, and last, in UTC milliseconds; ``tries``:
    how often. ``why``: it led to nothing the last time. ``body``: as JSON, without what the machine redacts; None where
    it is not kept."""

    id: str
    hook: str
    key: str
    machine: str
    trigger: str
    address: str | None
    event: str | None
    at: int
    last_at: int
    tries: int
    why: str
    body: str | None


def id_of(hook: str, key: str) -> str:
    """The id of what came to a hook with a key."""
    return hashlib.sha256(f"{hook}\n{key}".encode()).hexdigest()[:12]
