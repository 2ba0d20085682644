"""The history of all entities as one stream, by the numbers of its lines: a page at a time, and none left out.

What is read never goes by a moment: a clock may jump. It goes by numbers that are taken under the lock of the entity's
row, so of one entity the lines come in order, and by whether a number that is missing can still come.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from fsmflow import clock
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.position import Gap, Position
from fsmflow.store.columns import READ_HISTORY_COLUMNS, entry_of
from fsmflow.store.link import Link
from fsmflow.store.sequence import RANGES, within
from fsmflow.store.tables import ENTITY, HISTORY
from fsmflow.values import dataclass

#: Lines of a page.
PAGE: Final = 1_000
#: More of them are not remembered: the feed goes on once some are settled.
MAX_GAPS: Final = 10_000
#: How far back a stream that begins now looks for numbers that are still to be committed.
_BACK: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Line:
    """What is known of a line before it is read whole. ``machine`` and ``entity_id`` are None where its entity is gone,
    ``parent`` is the row of the parent of a branch or child, ``row`` its own."""

    number: int
    machine: str | None
    entity_id: str | None
    parent: int | None
    kind: str
    trigger: str | None
    dest: str
    token: str
    row: int | None


@dataclass(frozen=True, kw_only=True)
class Page:
    """Lines in order that follow on ``position``. ``is_full``: more may be there. ``is_held``: too much is missing to
    go on. What is skipped by reading is missing since ``at``, and comes from one of ``writers`` if at all; None where
    it never comes."""

    lines: tuple[Line, ...]
    position: Position
    at: int
    writers: tuple[int, ...] | None = None
    is_full: bool = False
    is_held: bool = False

    def past(self, position: Position, line: Line) -> Position:
        """Where the next line has been read too."""
        if self.writers is None:
            return Position(upto=line.number)
        return position.past(line.number, self.at, self.writers)


class Lines:
    """Reads of one database."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._numbering = link.dialect.numbering
        own = ("kind", "trigger", "dest", "token")
        columns = ", ".join(
            ["h.id", "e.machine", "e.entity_id", "e.parent", *(f"h.{link.quoted(c)}" for c in own), "e.id"]
        )
        self._found = (
            f"SELECT {columns} FROM {HISTORY} h LEFT JOIN {ENTITY} e ON e.id = h.{link.quoted('entity')} WHERE"
        )
        names = ", ".join(f"h.{link.quoted(name)}" for name in READ_HISTORY_COLUMNS)
        self._whole = f"SELECT h.id, {names} FROM {HISTORY} h WHERE h.id"

    def fault(self) -> str | None:
        """Why lines are not numbered in the order of their commits as this server is set, and what to do."""
        return self._numbering.fault(self._link.query)

    def last(self) -> int | None:
        """The highest number that was ever given out; None where the account may not know."""
        known = self._numbering.last(self._link.query)
        return None if known is None else max(self.highest(), known)

    def highest(self) -> int:
        """The highest number of a line that is there; 0 without any."""
        ((highest,),) = self._link.query(f"SELECT MAX(id) FROM {HISTORY}")
        return int(highest or 0)

    def moment_after(self, number: int) -> datetime | None:
        """When the first line above a number was written."""
        at = self._link.quoted("at")
        sql = f"SELECT {at} FROM {HISTORY} WHERE id > {self._link.mark} ORDER BY id LIMIT 1"
        rows = self._link.query(sql, (number,))
        return clock.to_datetime(rows[0][0]) if rows else None

    def token(self, number: int) -> str | None:
        """Of the commit that wrote the line of a number; None where there is no such line."""
        rows = self._link.query(f"SELECT token FROM {HISTORY} WHERE id = {self._link.mark}", (number,))
        return str(rows[0][0]) if rows else None

    def end(self, now: int) -> Position:
        """Where a stream begins that has what is committed from now on, and no line that is there already.

        Whoever has taken one of the last million numbers by now, and commits later, is among it. Two queries; one more,
        of all these numbers, where somebody may have.
        """
        upto = self.highest()
        writers = self._numbering.writers(self._link.query)
        if not writers and not self._numbering.settles_ms:
            return Position(upto=upto)
        least = max(0, upto - _BACK)
        before = f"SELECT id, COALESCE(LAG(id) OVER (ORDER BY id), {least}) AS prior FROM {HISTORY}"
        # Read as one, so that what is committed meanwhile is either below, and there, or missing.
        sql = (
            f"SELECT prior + 1, id - 1, id FROM ({before} WHERE id > {least}) f "
            f"WHERE id > prior + 1 OR id = (SELECT MAX(id) FROM {HISTORY}) ORDER BY id DESC LIMIT {MAX_GAPS + 1}"
        )
        rows = self._link.query(sql)
        writers = tuple({*writers, *self._numbering.writers(self._link.query)})
        gaps = [Gap(low=low, high=high, since=now, writers=writers) for low, high, _ in reversed(rows) if low <= high]
        return Position(upto=rows[0][2] if rows else 0, gaps=tuple(gaps[-MAX_GAPS:]))

    def page(self, position: Position, now: int) -> Page:
        """The next lines. Two queries; up to four more where something is missing.

        Who may still commit is asked before the lines are read, and the gaps are read after what follows: so what is
        missing then for good never comes, and what follows never goes before what was in a gap.
        """
        if not self._numbering.leaves_gaps:
            lines = self._read(f"h.id > {position.upto}")
            return Page(lines=tuple(lines), position=position, at=now, is_full=len(lines) == PAGE)
        dead: list[Gap] = []
        if not self._link.in_transaction:
            # Inside a transaction a look may show what was there when that began.
            position = self._marked(position, now)
            dead = self._dead(position.gaps, now)
        later = self._read(f"h.id > {position.upto}") if len(position.gaps) < MAX_GAPS else []
        late = self._late(position.gaps)
        if len(late) >= PAGE:
            return Page(lines=tuple(late[:PAGE]), position=position, at=now, writers=(), is_full=True)
        fit, skips = _fitting(position, later)
        return Page(
            lines=(*late, *later[:fit]),
            position=position.without(dead, [line.number for line in late]),
            at=now,
            writers=self._numbering.writers(self._link.query) if skips else (),
            is_full=len(later) == PAGE,
            is_held=fit < len(later) or len(position.gaps) >= MAX_GAPS,
        )

    def _dead(self, gaps: Sequence[Gap], now: int) -> list[Gap]:
        """What it meets of locks it understands itself."""
        return self._link.again(lambda: self._numbering.dead(self._link.rows, gaps, now)) if gaps else []

    def _marked(self, position: Position, now: int) -> Position:
        every = self._numbering.settles_ms
        return position.marked(self.highest(), now, every) if every and position.wants_mark(now, every) else position

    def _read(self, where: str) -> list[Line]:
        rows = self._link.query(f"{self._found} {where} ORDER BY h.id LIMIT {PAGE}")
        return [
            Line(
                number=int(number),
                machine=machine,
                entity_id=entity_id,
                parent=parent,
                kind=kind,
                trigger=trigger,
                dest=dest,
                token=token,
                row=None if row is None else int(row),
            )
            for number, machine, entity_id, parent, kind, trigger, dest, token, row in rows
        ]

    def _late(self, gaps: Sequence[Gap]) -> list[Line]:
        """What has come to be in these gaps, a page of it."""
        found: list[Line] = []
        for start in range(0, len(gaps), RANGES):
            found += self._read(within(gaps[start : start + RANGES], "h.id"))
            if len(found) >= PAGE:
                break
        return found

    def entries(self, numbers: Sequence[int]) -> dict[int, HistoryEntry]:
        """The lines of these numbers, whole, as far as they are still there."""
        if not numbers:
            return {}
        among, values = self._link.dialect.among(numbers)
        return {int(number): entry_of(row) for number, *row in self._link.query(f"{self._whole} {among}", values)}


def _fitting(position: Position, later: Sequence[Line]) -> tuple[int, bool]:
    """How many of these can be read before too much is missing, and whether anything is."""
    upto, left = position.upto, MAX_GAPS - len(position.gaps)
    for index, line in enumerate(later):
        if line.number > upto + 1:
            if not left:
                return index, True
            left -= 1
        upto = line.number
    return len(later), left < MAX_GAPS - len(position.gaps)
