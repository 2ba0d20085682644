"""Whose turn it is to look after what is due: a hint in Redis, so that many sweepers cost no more than one."""

from __future__ import annotations

import random
from typing import Final

from fsmflow import clock
from fsmflow.dispatch.client import REDIS_ERRORS
from fsmflow.engine.runtime import Runtime

#: How long it goes on being somebody's turn who tells nothing any more.
HELD_S: Final = 2.0
#: How long after a turn has begun the next one begins at the earliest, where sweepers come again by themselves.
PACE_S: Final = 0.95
_JITTER_S: Final = 0.04
_SWEEP_S: Final = 1.0


class Turn:
    """The turns of one sweeper.

    Nothing is right because of it: each row is a compare-and-set, and where two take it to be their turn, or Redis
    cannot be asked, both do the same work and one of them in vain. Whoever dies in its turn keeps the others waiting
    for two seconds.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._doorbell = runtime.doorbell
        self._told_at = float("-inf")
        self._began_at = float("-inf")
        #: When to ask again, in seconds from the end of the last turn, or from when there was none to be had.
        self.again_s = _SWEEP_S

    def take(self) -> bool:
        """Whether it is this sweeper's turn, now and as long as it goes on with ``keep``. One round trip.

        True where Redis cannot tell.
        """
        self.again_s = _SWEEP_S
        try:
            left_ms = self._doorbell.take_turn(round(HELD_S * 1000))
        except REDIS_ERRORS:
            return True
        if left_ms:
            # Whoever had the last turn comes a little later than those who waited for it: they take turns.
            self.again_s = min(left_ms / 1000 + random.uniform(0, _JITTER_S), _SWEEP_S)
            return False
        self._told_at = self._began_at = clock.monotonic()
        return True

    def keep(self) -> None:
        """Tell once in a while that it goes on."""
        silent_s = clock.monotonic() - self._told_at
        if HELD_S / 4 < silent_s < HELD_S:
            self._tell(HELD_S)

    def leave(self, *, paced: bool) -> None:
        """It is over. ``paced``: the next one begins only ``PACE_S`` after this one began, whoever has it."""
        now = clock.monotonic()
        if now - self._told_at < HELD_S:
            self._tell(max(self._began_at + PACE_S - now, 0) if paced else 0)
        self._told_at = float("-inf")

    def _tell(self, left_s: float) -> None:
        try:
            self._doorbell.keep_turn(round(left_s * 1000))
        except REDIS_ERRORS:
            return  # it then ends by itself
        self._told_at = clock.monotonic()
