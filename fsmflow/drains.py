"""Drains: have the workers of a host take nothing new and end what they run, as before a new release.

from fsmflow import drains

drains.drain("web1", reason="release 2.4.1")
drains.undo("web1")
"""

from __future__ import annotations

from fsmflow.decision.inputs import Actor, as_actor
from fsmflow.engine import drains as engine
from fsmflow.engine.drains import Drain
from fsmflow.engine.runtime import current

__all__ = ["Drain", "current_drains", "drain", "undo"]


def drain(host: str, *, reason: str | None = None, actor: Actor | str | None = None) -> Drain:
    """Have the workers of a host take nothing new and end what they run. One that drains already stays as it is.

    It is one fact in the database, which supervisors read once a second: it holds for workers that are started there
    meanwhile too, until ``undo``. Who may is said by the installation's permission ``drain``. Raises NotPermitted,
    DataError, and TransitionConflict where others kept changing it.
    """
    return engine.drain(current(), host, actor=as_actor(actor), reason=reason)


def undo(host: str, *, actor: Actor | str | None = None) -> Drain:
    """Have the workers of a host work again; the drain that it was. Raises NotPermitted, DataError where the host does
    not drain, and TransitionConflict as ``drain`` does."""
    return engine.undo(current(), host, actor=as_actor(actor))


def current_drains() -> list[Drain]:
    """All that there are, the latest first. One query."""
    return list(engine.drains(current()).values())
