"""A feed read by requests that know nothing of each other: some entries are told, and acknowledged later.

Nobody holds the cursor in between. Who acknowledges moves it from where the entries were read, or is refused.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from fsmflow.decision.position import Cursor, Position, position_of
from fsmflow.engine.cursors import FeedInUse, Stored, check_order
from fsmflow.engine.feeds import Feed, FeedEntry, Wanted
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DataError, shown
from fsmflow.store.reach import Reach
from fsmflow.values import dataclass, replace

#: For so long others wait while one is noted as read.
_LEASE_MS = 10_000


@dataclass(frozen=True, kw_only=True)
class Batch:
    """``mark``: says that these entries, and what is not told among them, have been read; None where nothing new is
    there."""

    entries: tuple[FeedEntry, ...]
    mark: str | None


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """From where to where, and what is noted with it."""

    before: tuple[int, str | None]
    after: tuple[int, str | None]
    token: str | None
    told: int

    def to_text(self) -> str:
        text = json.dumps([self.before, self.after, self.token, self.told])
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def from_text(cls, text: str) -> _Mark:
        """Raises DataError."""
        try:
            before, after, token, told = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            positions = [_checked(*before), _checked(*after)]
            if isinstance(told, bool) or not isinstance(told, int) or not isinstance(token, str | None) or told < 0:
                raise ValueError("nothing that was told so")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DataError(f"{shown(text)} is no mark; it is what came with the entries") from error
        return cls(before=positions[0], after=positions[1], token=token, told=told)


def _checked(upto: Any, gaps: Any) -> tuple[int, str | None]:
    """Raises ValueError, TypeError, KeyError for what is no position."""
    if isinstance(upto, bool) or not isinstance(upto, int) or not 0 <= upto < 2**63:
        raise ValueError("no number of a line")
    found = position_of(upto, gaps)
    numbers = [
        *(number for gap in found.gaps for number in (gap.low, gap.high, gap.since, *gap.writers)),
        *sum(found.marks, ()),
    ]
    if not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
        raise ValueError("no numbers of lines")
    return upto, gaps


class _Glance:
    """A place that is looked at and not moved."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.told = 0

    def claimed(self) -> Cursor:
        return self.cursor

    def move(self, position: Position, token: str | None, told: int) -> None:
        self.cursor = replace(self.cursor, upto=position.upto, gaps_text=position.to_text(), token=token)
        self.told += told

    def close(self) -> None:
        """It was nobody's."""


def batch(runtime: Runtime, cursor: Cursor, wanted: Wanted, most: int, reach: Reach | None) -> Batch:
    """Up to so many entries from a cursor on. Raises ConfigurationError, DatabaseUnavailable."""
    check_order(runtime)
    place = _Glance(cursor)
    with Feed(runtime, cursor.name, place, wanted, follow=False, reach=reach).page(most) as entries:
        told = tuple(entries)
    before, after = _place(cursor), _place(place.cursor)
    mark = _Mark(before=before, after=after, token=place.cursor.token, told=place.told)
    return Batch(entries=told, mark=None if before == after else mark.to_text())


def acknowledge(runtime: Runtime, cursor: Cursor, text: str) -> None:
    """Note that what a mark stands for has been read. Said again, it changes nothing. Raises DataError, and FeedInUse
    where others have read on from there, or read now."""
    mark = _Mark.from_text(text)
    place = Stored(
        runtime, cursor.name, from_beginning=False, waits=False, lease_ms=_LEASE_MS, wanted=cursor.wanted or ""
    )
    found = place.claimed()
    try:
        if found is not None and _place(found) == mark.after:
            return
        if found is None or _place(found) != mark.before:
            raise FeedInUse(
                f"feed {cursor.name} was read on by others since these entries were told, or rewound; read it again"
            )
        place.move(position_of(*mark.after), mark.token, mark.told)
    finally:
        place.close()


def _place(cursor: Cursor) -> tuple[int, str | None]:
    return cursor.upto, cursor.gaps_text
