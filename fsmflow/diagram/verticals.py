"""Which lines of a picture in rows run straight down, and where the columns stand that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Final

#: From something in a row to something in the next one, and how much it is worth that this is straight.
Link = tuple[int, int, float]

_SWEEPS: Final = 16


def upright(
    rows: Sequence[Sequence[int]], links: Sequence[Link], gap: Callable[[int, int], float], near: Sequence[float]
) -> list[float]:
    """Where each stands, at least ``gap`` beside its neighbour in the row and ``near`` to where it was: exactly below
    the other end of those lines that are worth most."""
    columns = _Columns(rows, _straight(rows, links), gap, near)
    columns.settle([link for link in links if columns.of[link[0]] != columns.of[link[1]]])
    return [columns.x[column] for column in columns.of]


def _straight(rows: Sequence[Sequence[int]], links: Sequence[Link]) -> dict[int, int]:
    """The lines that can all be straight, the worthiest first: they do not cross, and no two share an end."""
    place = {node: (rank, at) for rank, row in enumerate(rows) for at, node in enumerate(row)}
    chosen: dict[int, int] = {}
    ends: set[int] = set()
    by_row: list[list[tuple[int, int]]] = [[] for _ in rows]
    for upper, lower, _ in sorted(links, key=lambda link: -link[2]):
        (rank, above), (_, below) = place[upper], place[lower]
        crosses = any((one - above) * (two - below) < 0 for one, two in by_row[rank])
        if not crosses and upper not in chosen and lower not in ends:
            chosen[upper] = lower
            ends.add(lower)
            by_row[rank].append((above, below))
    return chosen


class _Columns:
    """What stands exactly below each other, from left to right."""

    def __init__(
        self,
        rows: Sequence[Sequence[int]],
        straight: dict[int, int],
        gap: Callable[[int, int], float],
        near: Sequence[float],
    ) -> None:
        self.of = [-1] * len(near)
        count = 0
        for node in (node for row in rows for node in row):
            if self.of[node] < 0:
                self.of[node] = count
                count += 1
            if node in straight:
                self.of[straight[node]] = self.of[node]
        self._left: list[dict[int, float]] = [{} for _ in range(count)]
        self._right: list[dict[int, float]] = [{} for _ in range(count)]
        for row in rows:
            for one, two in pairwise(row):
                left, right = self.of[one], self.of[two]
                apart = max(gap(one, two), self._left[right].get(left, 0.0))
                self._left[right][left] = self._right[left][right] = apart
        self._order = self._from_the_left()
        self.x = self._first(near)

    def _from_the_left(self) -> list[int]:
        missing = [len(left) for left in self._left]
        ready = [column for column, count in enumerate(missing) if not count]
        for column in ready:
            for right in self._right[column]:
                missing[right] -= 1
                if not missing[right]:
                    ready.append(right)
        return ready

    def _first(self, near: Sequence[float]) -> list[float]:
        """Far enough from each other: half-way between what comes of moving all to the right, and all to the left."""
        members: list[list[float]] = [[] for _ in self._order]
        for column, x in zip(self.of, near, strict=True):
            members[column].append(x)
        wanted = [fmean(xs) for xs in members]
        right, left = list(wanted), list(wanted)
        for column in self._order:
            right[column] = max([wanted[column], *(right[other] + gap for other, gap in self._left[column].items())])
        for column in reversed(self._order):
            left[column] = min([wanted[column], *(left[other] - gap for other, gap in self._right[column].items())])
        return [(one + two) / 2 for one, two in zip(left, right, strict=True)]

    def settle(self, links: Sequence[Link]) -> None:
        """Move each column to where the lines that lead to it from others are shortest."""
        pulls: list[list[tuple[int, float]]] = [[] for _ in self._order]
        for upper, lower, pull in links:
            one, two = self.of[upper], self.of[lower]
            pulls[one].append((two, pull))
            pulls[two].append((one, pull))
        for sweep in range(_SWEEPS):
            for column in self._order if sweep % 2 else reversed(self._order):
                if pulls[column]:
                    self._move(column, _median([(self.x[other], pull) for other, pull in pulls[column]]))

    def _move(self, column: int, wanted: float) -> None:
        least = max((self.x[other] + gap for other, gap in self._left[column].items()), default=wanted)
        most = min((self.x[other] - gap for other, gap in self._right[column].items()), default=wanted)
        self.x[column] = max(least, min(wanted, most))


def _median(wants: list[tuple[float, float]]) -> float:
    """Weighted; half-way between two where both are."""
    wants.sort()
    half, below = sum(weight for _, weight in wants) / 2, 0.0
    for at, (want, weight) in enumerate(wants):
        below += weight
        if below == half:
            return (want + wants[at + 1][0]) / 2
        if below > half:
            break
    return want
