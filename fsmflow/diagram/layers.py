"""A plain layered layout: boxes in rows, each arrow from a row to one below, few crossings, straight lines.

An arrow that passes rows has a place in each of them, so that it runs through no box. What it gives for the same
graph is always the same.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Final

from fsmflow.diagram.verticals import upright

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
#: Of so many ways out of a box the first is its main way.
_FEW: Final = 4


def layered(sizes: Sequence[Size], edges: Sequence[Edge], labels: int = 0) -> tuple[list[Point], list[Path]]:
    """The centre of each box, and the line of each edge. The last boxes are ``labels``, through whose middle the line
    runs that they are written at."""
    rows = _Rows(sizes, edges, labels)
    rows.sort()
    rows.align()
    return rows.centres(), rows.lines()


class _Rows:
    """Boxes and, with numbers above theirs, the places of edges that pass a row."""

    def __init__(self, sizes: Sequence[Size], edges: Sequence[Edge], labels: int) -> None:
        self._count = len(sizes)
        self._labels = range(len(sizes) - labels, len(sizes))
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
            for done, row in pairwise(self._rows if down else self._rows[::-1]):
                self._sort_row(row, done, self._above if down else self._below)
            found = self._crossings()
            if found < fewest:
                best, fewest = [list(row) for row in self._rows], found
        self._rows = best
        self._swap()
        self._bypass()

    def _sort_row(self, row: list[int], done: list[int], beside: list[list[int]]) -> None:
        places = {node: (place + 0.5) / len(done) for place, node in enumerate(done)}
        # Who has nobody there keeps the place beside who came before it.
        last, keys = 0.0, {}
        for node in row:
            if others := beside[node]:
                last = sum(places[other] for other in others) / len(others)
            keys[node] = last
        row.sort(key=keys.__getitem__)

    def _crossings(self, ranks: Iterable[int] | None = None) -> int:
        """How many lines cross each other, of all or of those that leave these rows."""
        found = 0
        for rank in range(len(self._rows) - 1) if ranks is None else ranks:
            places = {node: place for place, node in enumerate(self._rows[rank + 1])}
            passed: list[int] = []
            for node in self._rows[rank]:
                for end in sorted(places[end] for end in self._below[node]):
                    found += len(passed) - bisect_right(passed, end)
                    insort(passed, end)
        return found

    def _swap(self) -> None:
        """Change places of neighbours as long as that makes fewer lines cross."""
        for _ in range(_SWEEPS):
            if not sum(map(self._swap_in, range(len(self._rows)))):
                return

    def _swap_in(self, rank: int) -> int:
        row, swaps = self._rows[rank], 0
        near = self._rows[max(0, rank - 1) : rank + 2]
        places = {node: at for other in near for at, node in enumerate(other)}
        for at in range(len(row) - 1):
            left, right = row[at : at + 2]
            if self._cross(left, right, places) > self._cross(right, left, places):
                row[at : at + 2] = right, left
                swaps += 1
        return swaps

    def _cross(self, left: int, right: int, places: dict[int, int]) -> int:
        """How many lines of two in a row cross each other where they stand in this order."""
        return sum(
            places[one] > places[two]
            for beside in (self._above, self._below)
            for one in beside[left]
            for two in beside[right]
        )

    def _bypass(self) -> None:
        """Lead what passes rows around all others, where that makes fewer lines cross."""
        for strand in map(self._strand, self._labels):
            for at_the_end in (False, True) if len(strand) > 1 else ():
                self._lead(strand, at_the_end)

    def _lead(self, strand: list[int], at_the_end: bool) -> None:
        rows = [self._rows[self._rank[node]] for node in strand]
        ranks = {self._rank[node] for node in strand}
        ranks |= {rank - 1 for rank in ranks}
        crossings, before = self._crossings(ranks), [list(row) for row in rows]
        for node, row in zip(strand, rows, strict=True):
            row.remove(node)
            row.insert(len(row) if at_the_end else 0, node)
        if self._crossings(ranks) >= crossings:
            for row, order in zip(rows, before, strict=True):
                row[:] = order

    def _strand(self, label: int) -> list[int]:
        """What is written at an arrow, with all places in which that passes a row."""
        found = [label]
        for beside in (self._above, self._below):
            node = beside[label][0]
            while node >= self._count:
                found.append(node)
                node = beside[node][0]
        return found

    def align(self) -> None:
        """Move what stands in a row, without changing its order, to where its lines are straight: first near to all
        that they lead to, then exactly below or above some of it. The last sweep goes down, so that what follows in a
        chain stands upright below each other."""
        for sweep in range(_SWEEPS + 1):
            down = sweep % 2 == 0
            beside = self._above if down else self._below
            for row in self._rows if down else reversed(self._rows):
                self._align_row(row, beside)
        links = [(*link, self._pull(*link)) for chain in self._chains for link in pairwise(chain)]
        self._x = upright(self._rows, links, self._gap, self._x)

    def _pull(self, upper: int, lower: int) -> float:
        """How much it is worth that the line between two rows is straight: most where it only passes, and more where
        it belongs to the main way out of its box."""
        if min(upper, lower) >= self._count:
            return 8.0
        if max(upper, lower) >= self._count:
            return 1.0
        source, label = (self._above[upper][0], upper) if upper in self._labels else (upper, lower)
        return 4.0 if self._main_way(source) == label else 2.0

    def _main_way(self, source: int) -> int | None:
        """The first way out of a box that passes no row. A box with many of them stands above their middle."""
        ways = [way for way in self._below[source] if all(end < self._count for end in (way, *self._below[way]))]
        if len(ways) <= _FEW:
            return next(iter(ways), None)
        return sorted(ways, key=self._x.__getitem__)[len(ways) // 2]

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
            room = 0.0 if node in self._labels else max(0.0, self._sizes[node][0] / 2 - 14.0)
            step = min(_PORT_X, 2 * room / max(1, len(ends) - 1))
            left, right = self._x[node] - room, self._x[node] + room
            wanted = [min(max(self._x[other], left), right) for other in ends]
            apart = spread(wanted, [step] * (len(ends) - 1), [1.0] * len(ends))
            for at, (other, x) in enumerate(zip(ends, apart, strict=True)):
                x = min(max(x, left + at * step), right - (len(ends) - 1 - at) * step)
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
