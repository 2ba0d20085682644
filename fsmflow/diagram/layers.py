"""A plain layered layout: boxes in rows, each arrow from a row to one below, few crossings, straight lines.

An arrow that passes rows has a place in each of them, so that it runs through no box. What it gives for the same
graph is always the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from typing import Final

Point = tuple[float, float]
Path = list[Point]
Size = tuple[float, float]
#: From a box to another, by their numbers; together they lead nowhere back.
Edge = tuple[int, int]

_GAP_X: Final = 26.0
_PASSING_X: Final = 12.0
_GAP_Y: Final = 26.0
_MOST_GAP_Y: Final = 64.0
_PORT_X: Final = 16.0
_SWEEPS: Final = 24


def layered(sizes: Sequence[Size], edges: Sequence[Edge]) -> tuple[list[Point], list[Path]]:
    """The centre of each box, and the line of each edge."""
    rows = _Rows(sizes, edges)
    rows.sort()
    rows.align()
    return rows.centres(), rows.lines()


class _Rows:
    """Boxes and, with numbers above theirs, the places of edges that pass a row."""

    def __init__(self, sizes: Sequence[Size], edges: Sequence[Edge]) -> None:
        self._count = len(sizes)
        self._sizes = list(sizes)
        self._rank = _ranks(len(sizes), edges)
        self._chains = [self._chain(edge) for edge in edges]
        self._above: list[list[int]] = [[] for _ in self._sizes]
        self._below: list[list[int]] = [[] for _ in self._sizes]
        for chain in self._chains:
            for upper, lower in pairwise(chain):
                self._below[upper].append(lower)
                self._above[lower].append(upper)
        self._rows = self._first_order()
        self._x = [0.0] * len(self._sizes)

    def _chain(self, edge: Edge) -> list[int]:
        source, dest = edge
        passed = range(self._rank[source] + 1, self._rank[dest])
        first = len(self._sizes)
        self._sizes += [(0.0, 0.0)] * len(passed)
        self._rank += passed
        return [source, *range(first, len(self._sizes)), dest]

    def _first_order(self) -> list[list[int]]:
        """As somebody meets them who follows the first ways first."""
        rows: list[list[int]] = [[] for _ in range(max(self._rank, default=-1) + 1)]
        seen: set[int] = set()
        left = [node for node in reversed(range(self._count)) if not self._above[node]]
        while left:
            node = left.pop()
            if node not in seen:
                seen.add(node)
                rows[self._rank[node]].append(node)
                left += reversed(self._below[node])
        return rows

    def sort(self) -> None:
        """Order each row so that few lines cross, and keep the best order that was met."""
        best, fewest = [list(row) for row in self._rows], self._crossings()
        for sweep in range(_SWEEPS):
            down = sweep % 2 == 0
            for row in self._rows[1:] if down else self._rows[-2::-1]:
                self._sort_row(row, self._above if down else self._below)
            found = self._crossings()
            if found < fewest:
                best, fewest = [list(row) for row in self._rows], found
        self._rows = best

    def _sort_row(self, row: list[int], beside: list[list[int]]) -> None:
        places = self._places()
        middle = {node: fmean(places[other] for other in beside[node]) if beside[node] else None for node in row}
        # Who has nobody there keeps the place beside who came before it.
        last, keys = 0.0, {}
        for node in row:
            found = middle[node]
            last = last if found is None else found
            keys[node] = last
        row.sort(key=keys.__getitem__)

    def _places(self) -> dict[int, float]:
        return {node: (place + 0.5) / len(row) for row in self._rows for place, node in enumerate(row)}

    def _crossings(self) -> int:
        places, found = self._places(), 0
        for row in self._rows[:-1]:
            ends = [end for node in row for end in sorted(self._below[node], key=places.__getitem__)]
            found += sum(places[end] > places[other] for at, end in enumerate(ends) for other in ends[at + 1 :])
        return found

    def align(self) -> None:
        """Move what stands in a row, without changing its order, to where its lines are straight. The last sweep goes
        down, so that what follows in a chain stands upright below each other."""
        for sweep in range(_SWEEPS + 1):
            down = sweep % 2 == 0
            beside = self._above if down else self._below
            for row in self._rows if down else reversed(self._rows):
                self._align_row(row, beside)

    def _both(self, node: int) -> list[int]:
        return self._above[node] + self._below[node]

    def _align_row(self, row: list[int], beside: list[list[int]]) -> None:
        wanted = [fmean(self._x[other] for other in beside[node]) if beside[node] else self._x[node] for node in row]
        # A line that only passes is worth more when it is straight.
        weights = [8.0 if node >= self._count else 4.0 if len(self._both(node)) == 2 else 1.0 for node in row]
        gaps = [self._gap(left, right) for left, right in pairwise(row)]
        for node, x in zip(row, spread(wanted, gaps, weights), strict=True):
            self._x[node] = x

    def _gap(self, left: int, right: int) -> float:
        between = _GAP_X if max(left, right) < self._count else _PASSING_X if min(left, right) >= self._count else 18.0
        return (self._sizes[left][0] + self._sizes[right][0]) / 2 + between

    def centres(self) -> list[Point]:
        """The centres of the boxes."""
        tops = self._tops()
        return [(self._x[node], sum(tops[self._rank[node]]) / 2) for node in range(self._count)]

    def _tops(self) -> list[tuple[float, float]]:
        """Top and bottom of each row. There is more room above one to which lines come from far away."""
        found, top = [], 0.0
        for row in self._rows:
            bottom = top + max(self._sizes[node][1] for node in row)
            found.append((top, bottom))
            far = max((abs(self._x[node] - self._x[to]) for node in row for to in self._below[node]), default=0.0)
            top = bottom + min(_MOST_GAP_Y, _GAP_Y + far / 6)
        return found

    def lines(self) -> list[Path]:
        """The line of each edge: upright in the rows, and aslant between them."""
        tops, found = self._tops(), []
        leaving, coming = self._ports(self._below, 0), self._ports(self._above, 1)
        for chain in self._chains:
            line: Path = []
            for place, node in enumerate(chain):
                top, bottom = tops[self._rank[node]]
                middle, half = (top + bottom) / 2, self._sizes[node][1] / 2
                if place:
                    x = coming[chain[place - 1], node]
                    line += [(x, top), (x, middle - half)]
                if place < len(chain) - 1:
                    x = leaving[node, chain[place + 1]]
                    line += [(x, middle + half), (x, bottom)]
            found.append([point for at, point in enumerate(line) if not at or _are_apart(point, line[at - 1])])
        return found

    def _ports(self, beside: list[list[int]], end: int) -> dict[tuple[int, int], float]:
        """Where each line leaves its box (``end`` 0), or comes to it: below or above the other end, if it can be."""
        found = {}
        for node, others in enumerate(beside):
            ends = sorted(dict.fromkeys(others), key=self._x.__getitem__)
            room = max(0.0, self._sizes[node][0] / 2 - 14.0)
            step = min(_PORT_X, 2 * room / max(1, len(ends) - 1))
            wanted = [min(max(self._x[other], self._x[node] - room), self._x[node] + room) for other in ends]
            for other, x in zip(ends, spread(wanted, [step] * (len(ends) - 1), [1.0] * len(ends)), strict=True):
                x = min(max(x, self._x[node] - room), self._x[node] + room)
                found[(other, node) if end else (node, other)] = x
        return found


def _are_apart(one: Point, two: Point) -> bool:
    return abs(one[0] - two[0]) + abs(one[1] - two[1]) > 0.5


def _ranks(count: int, edges: Sequence[Edge]) -> list[int]:
    """In which row each box stands: below all from which an edge leads to it."""
    ranks, missing = [0] * count, [0] * count
    for _, dest in edges:
        missing[dest] += 1
    ready = [node for node in range(count) if not missing[node]]
    for node in ready:
        for _, dest in (edge for edge in edges if edge[0] == node):
            ranks[dest] = max(ranks[dest], ranks[node] + 1)
            missing[dest] -= 1
            if not missing[dest]:
                ready.append(dest)
    return ranks


def spread(wanted: Sequence[float], gaps: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Numbers in their order, each at least its gap after the one before, as near to what is wanted as that allows:
    those that would come too close move together, to their weighted mean."""
    offsets = [sum(gaps[:place]) for place in range(len(wanted))]
    blocks: list[tuple[float, float, int]] = []  # weighted mean, weight, how many
    for want, offset, weight in zip(wanted, offsets, weights, strict=True):
        mean, size = want - offset, 1
        while blocks and blocks[-1][0] >= mean:
            other, its_weight, its_size = blocks.pop()
            mean = (mean * weight + other * its_weight) / (weight + its_weight)
            weight, size = weight + its_weight, size + its_size
        blocks.append((mean, weight, size))
    means = [mean for mean, _, size in blocks for _ in range(size)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
