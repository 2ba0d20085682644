"""The public ``Machine``: what a user's class declares, and what a handle on an entity can do."""

from fsmflow.machine.machine import Machine

__all__ = ["Machine"]
