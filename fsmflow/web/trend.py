"""How the numbers of entities in each state have gone, as long as this process has looked."""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from typing import Final

from fsmflow import clock
from fsmflow.engine.headcount import Headcount

_EVERY_MS: Final = 15_000
#: So many looks are kept, of the last quarter of an hour, for so many who see different things: with a thousand states
#: that is half a megabyte for each of them.
_LOOKS: Final = 60
_RINGS: Final = 20

#: A machine, and one of its states.
Place = tuple[str, str]


class Ring:
    """What was counted in each place, at some moments. A place in which nothing ever was has no numbers."""

    def __init__(self) -> None:
        self.moments = array("q")
        self._numbers: dict[Place, array[int]] = {}

    def note(self, now: int, counts: Iterable[Headcount]) -> None:
        """One look more; the first one is forgotten where there are enough."""
        found = {(each.machine, each.state): each.count for each in counts}
        for place in found.keys() - self._numbers.keys():
            self._numbers[place] = array("q", [0]) * len(self.moments)
        self.moments.append(now)
        cut = len(self.moments) > _LOOKS
        for place, numbers in list(self._numbers.items()):
            numbers.append(found.get(place, 0))
            if cut:
                del numbers[0]
                if not any(numbers):
                    del self._numbers[place]
        if cut:
            del self.moments[0]

    def numbers(self, place: Place) -> Sequence[int]:
        """As many as there are moments."""
        return self._numbers.get(place) or array("q", [0]) * len(self.moments)


class Trend:
    """It asks nothing by itself: what is counted for a page is noted. ``key``: for whom it was counted, as not
    everybody sees the same; of many of these the ones that were asked for last are kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rings: OrderedDict[Hashable, Ring] = OrderedDict()

    def note(self, key: Hashable, now: int, counts: Iterable[Headcount]) -> None:
        """Note what was counted, unless something was noted just now."""
        with self._lock:
            ring = self._rings.setdefault(key, Ring())
            self._rings.move_to_end(key)
            if len(self._rings) > _RINGS:
                self._rings.popitem(last=False)
            if not ring.moments or now - ring.moments[-1] >= _EVERY_MS:
                ring.note(now, counts)

    def line(self, key: Hashable, place: Place, count: int, now: int) -> list[tuple[int, int]]:
        """How many there were at which moments, and are now; nothing where that has not changed, or not been looked
        at."""
        with self._lock:
            ring = self._rings.get(key)
            found = [] if ring is None else list(zip(ring.moments, ring.numbers(place), strict=True))
        if not found or now - found[0][0] < _EVERY_MS or all(number == count for _, number in found):
            return []
        return [*found, (now, count)]


def told(line: Sequence[tuple[int, int]]) -> str:
    """``(+12 in 10 min)``; empty where it is the same as before."""
    if not line:
        return ""
    (began, first), (now, last) = line[0], line[-1]
    return f"({last - first:+,} in {clock.short(now - began)})" if last != first else ""
