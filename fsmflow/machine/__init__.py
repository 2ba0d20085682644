"""The public ``Machine``: what a user's class declares, and what a handle on an entity can do."""

from fsmflow.machine.machine import Machine
from fsmflow.machine.trigger import Trigger

__all__ = ["Machine", "Trigger"]
