"""Whose turn it is to look after what is due: a hint in Redis, so that many sweepers cost no more than one."""

from __future__ import annotations

import random
from collections.abc import Callable
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
#: So many times a second all supervisors together ask what each asks for itself, and so long one waits at most.
_ASKED_PER_S: Final = 20
_LONGEST_S: Final = 10.0


class Share:
    """When one of many supervisors asks the database what each of them has to ask for itself: with each sweep where
    they are few, and the less often the more there are, so that a hundred do not ask more often than twenty.

    ``count``: how many there are.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._due_s = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether to ask now."""
        return clock.monotonic() >= self._due_s

    def taken(self) -> None:
        """It has asked, and been answered."""
        self._due_s = clock.monotonic() + self.pause_s()

    def pause_s(self) -> float:
        """How long until it asks again; with a jitter, or all of them would go on to ask at once."""
        seconds = min(self._count() / _ASKED_PER_S, _LONGEST_S)
        return seconds * random.uniform(0.9, 1.0) if seconds > _SWEEP_S else 0.0


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
