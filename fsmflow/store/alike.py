"""Statements that are alike but for their parameters, as one: a row of values stands for those of each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, TypeVar

Item = TypeVar("Item")

_INSERT: Final = re.compile(r"(?s)(INSERT INTO .+ VALUES )(\([^()]+\))")
_UPDATE: Final = re.compile(r"(?s)(UPDATE \S+ SET .+?)( WHERE .+)")
_DELETE: Final = re.compile(r"(?s)(DELETE FROM \S+) WHERE ((\S+) = v\.column1\b.*)")


@lru_cache(maxsize=1024)
def together(sql: str, count: int, *, mark: str, joins_values: bool) -> str | None:
    """The statement that does what ``sql`` does ``count`` times, with other parameters each time, which follow on each
    other; None where there is none. ``joins_values``: a list of values may be joined to what is changed.

    Of two that change the same row one does, whichever that is.
    """
    if inserts := _INSERT.fullmatch(sql):
        return inserts[1] + ", ".join([inserts[2]] * count)
    if not joins_values:
        return None
    numbers = itertools.count(1)
    named = re.sub(re.escape(mark), lambda _: f"v.column{next(numbers)}", sql)
    values = _values(sql.count(mark), count, mark)
    if updates := _UPDATE.fullmatch(named):
        return f"{updates[1]} FROM {values} v{updates[2]}"
    if deletes := _DELETE.fullmatch(named):
        theirs = f"EXISTS (SELECT 1 FROM {values} v WHERE {deletes[2]})"
        return f"{deletes[1]} WHERE {deletes[3]} IN (SELECT v.column1 FROM {values} v) AND {theirs}"
    return None


def in_powers(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """All of them, in parts whose lengths are powers of two: few statements are met again and again then. One that is
    new takes a database longer to make ready than all of its rows take."""
    start = 0
    while start < len(items):
        length = 1 << (len(items) - start).bit_length() - 1
        yield items[start : start + length]
        start += length


def padded(values: Sequence[Item]) -> list[Item]:
    """So many that their number is a power of two: the last is there several times. For the same reason."""
    return [*values, *[values[-1]] * ((1 << (len(values) - 1).bit_length()) - len(values))]


def _values(width: int, count: int, mark: str) -> str:
    """Numbered, as they may be there twice."""
    numbers = itertools.count(1)
    rows = (", ".join(f"{mark}{next(numbers)}" for _ in range(width)) for _ in range(count))
    return f"(VALUES ({'), ('.join(rows)}))"
