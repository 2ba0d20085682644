"""How the numbers of entities in each state have gone, as long as this process has looked."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable, Iterable
from typing import Final

from fsmflow import clock
from fsmflow.engine.headcount import Headcount

_EVERY_MS: Final = 10_000
_LOOKS: Final = 90

Numbers = dict[tuple[str, str], int]


class Trend:
    """Looks of the last quarter of an hour. It asks nothing by itself: what is counted for a page is noted. ``key``:
    for whom it was counted, as not everybody sees the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looks: dict[Hashable, deque[tuple[int, Numbers]]] = {}

    def note(self, key: Hashable, now: int, counts: Iterable[Headcount]) -> None:
        """Note what was counted, unless something was noted just now."""
        with self._lock:
            looks = self._looks.setdefault(key, deque(maxlen=_LOOKS))
            if not looks or now - looks[-1][0] >= _EVERY_MS:
                looks.append((now, {(each.machine, each.state): each.count for each in counts}))

    def told(self, key: Hashable, machine: str, state: str, count: int, now: int) -> str:
        """``+12 in 10 min``; empty where it is the same as before, or nothing was noted before."""
        with self._lock:
            looks = self._looks.get(key)
            first = looks[0] if looks else None
        if first is None or now - first[0] < _EVERY_MS:
            return ""
        change = count - first[1].get((machine, state), 0)
        return f"({change:+,} in {clock.short(now - first[0])})" if change else ""
