"""What takes as long as others take: an event loop waits for that itself, and holds no thread meanwhile."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Self

from fsmflow.machine.actions import Actions, Until
from fsmflow.machine.base import Data
from fsmflow.machine.coroutines.relay import call


class AsyncWait(Actions[Data]):
    """``wait``, awaited. With an ``a`` in front that would be a keyword of Python."""

    async def until(self, until: Until = None, timeout: float | timedelta | None = None) -> Self:
        """As ``wait``: until the entity has failed or finished, or until a state, one of several, a phase, or a
        function of the handle says so. Looks from time to time, and holds neither a thread nor a connection in between.
        Raises TimeoutError, with where it stands and why, after ``timeout`` (seconds, or a timedelta)."""
        threads = import_module("fsmflow.engine.threads")
        pauses, has_waited = self._pauses(until, timeout), False
        while (pause_s := await call(next, pauses, None)) is not None:
            if has_waited and threads.brings_about(pause_s):
                has_waited = False
                continue
            # In a sandbox other tasks go first, and then there is another look.
            await threads.pause(pause_s)
            has_waited = True
        return self
