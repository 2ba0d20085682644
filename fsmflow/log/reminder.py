"""What thousands of entities may meet at once is told at once of the first, and then now and again."""

from __future__ import annotations

import threading
from typing import Final

from fsmflow import clock

_EVERY_S: Final = 60.0
#: So many reasons are remembered; with more of them each is told as if it were new.
_MOST: Final = 1_000


class Reminder:
    """When each reason was told last, in this process. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[str, float] = {}

    def is_due(self, why: str) -> bool:
        """Whether to tell of it now: it is new, or was told a minute ago. Who is told so has told it."""
        now = clock.monotonic()
        with self._lock:
            told = self._told.get(why)
            if told is not None and now - told < _EVERY_S:
                return False
            if len(self._told) >= _MOST:
                self._told.clear()
            self._told[why] = now
            return True
