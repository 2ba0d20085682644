"""How far a feed has read, as a value: up to which line, and which numbers below are not settled yet.

A line gets its number before its transaction commits. So whoever has read line 7 may find line 5 later, or never, where
the transaction that took the number was rolled back. Numbers that are missing are remembered until that is known.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable

from fsmflow.values import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Numbers from ``low`` to ``high`` of which no line was there. All of them had been given out at ``since``, in
    milliseconds; ``writers``: the transactions of which one may yet commit a line under one of them."""

    low: int
    high: int
    since: int
    writers: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Position:
    """Every line up to ``upto`` was read, but for the ``gaps``, which are in order and do not overlap.

    ``marks``: pairs of a number and a moment in milliseconds; up to that number all had been given out by then.
    """

    upto: int = 0
    gaps: tuple[Gap, ...] = ()
    marks: tuple[tuple[int, int], ...] = ()

    @property
    def unread(self) -> int:
        """The lowest number that may still be read."""
        return self.gaps[0].low if self.gaps else self.upto + 1

    def past(self, number: int, since: int, writers: tuple[int, ...] = ()) -> Position:
        """Where the line of a number has been read; what is skipped by that is a gap from then on."""
        if number > self.upto:
            low, high = self.upto + 1, number - 1
            at = min([since, *(at for last, at in self.marks if last >= high)])
            new = (Gap(low=low, high=high, since=at, writers=writers),) if low <= high else ()
            return replace(self, upto=number, gaps=(*self.gaps, *new))
        place = bisect_right(self.gaps, number, key=lambda gap: gap.low) - 1
        if place < 0 or self.gaps[place].high < number:
            return self
        gap = self.gaps[place]
        parts = (replace(gap, high=number - 1), replace(gap, low=number + 1))
        left = tuple(part for part in parts if part.low <= part.high)
        return replace(self, gaps=(*self.gaps[:place], *left, *self.gaps[place + 1 :]))

    def without(self, dead: Collection[Gap], numbers: Iterable[int] = ()) -> Position:
        """The same where nobody can commit a line of these gaps any more; under ``numbers`` lines are still unread."""
        if not dead:
            return self
        left, unread = [], sorted(numbers)
        for gap in self.gaps:
            if gap not in dead:
                left.append(gap)
                continue
            there = unread[bisect_left(unread, gap.low) : bisect_right(unread, gap.high)]
            left += [replace(gap, low=number, high=number) for number in there]
        return replace(self, gaps=tuple(left))

    def marked(self, last: int, now: int, every_ms: int) -> Position:
        """The same, knowing that ``last`` is given out; one mark is kept that is older than ``every_ms``."""
        return replace(self, marks=(*self.marks[-1:], (last, now))) if self.wants_mark(now, every_ms) else self

    def wants_mark(self, now: int, every_ms: int) -> bool:
        """Whether the newest mark is old, or there is none."""
        return not self.marks or not 0 <= now - self.marks[-1][1] < every_ms

    def to_text(self) -> str | None:
        """All but ``upto``; None where that says everything."""
        if not self.gaps and not self.marks:
            return None
        groups: list[tuple[int, tuple[int, ...], list[list[int]]]] = []
        for gap in self.gaps:
            if not groups or groups[-1][:2] != (gap.since, gap.writers):
                groups.append((gap.since, gap.writers, []))
            groups[-1][2].append([gap.low, gap.high])
        return json.dumps({"gaps": groups, "marks": self.marks}, separators=(",", ":"))


def position_of(upto: int, text: str | None) -> Position:
    """What ``to_text`` has written."""
    if text is None:
        return Position(upto=upto)
    stored = json.loads(text)
    gaps = (
        Gap(low=low, high=high, since=since, writers=tuple(writers))
        for since, writers, ranges in stored["gaps"]
        for low, high in ranges
    )
    return Position(upto=upto, gaps=tuple(gaps), marks=tuple((last, at) for last, at in stored["marks"]))


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """What is stored of a feed: how far its consumer has read, and who reads now. Moments are UTC milliseconds.

    ``token``: that of the commit whose line was read last. ``told``: so many entries were. ``missed``: so many lines
    were deleted before they were read. ``wanted``: what its reader asks for, as a text. ``owner``: the token of who
    reads, ``holder`` what that is called, until ``lease_until`` if it does not go on.
    """

    name: str
    upto: int
    gaps_text: str | None
    begun_at: int
    token: str | None = None
    owner: str | None = None
    holder: str | None = None
    lease_until: int | None = None
    wanted: str | None = None
    read_at: int | None = None
    told: int = 0
    missed: int = 0

    @property
    def position(self) -> Position:
        """Every line that has been read."""
        return position_of(self.upto, self.gaps_text)

    def is_free(self, now: int) -> bool:
        """Whether nobody reads it."""
        return self.owner is None or self.lease_until is None or self.lease_until <= now
