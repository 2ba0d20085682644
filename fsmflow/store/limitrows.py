"""The rows of limits: locked by who asks for a permit or calls somebody, looked at as long as somebody waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fsmflow.decision.permit import Stage, Starts, Wanted
from fsmflow.store.limits import LIMIT as COLUMNS
from fsmflow.store.link import Link
from fsmflow.store.meta import Meta
from fsmflow.store.tables import LIMIT, LIMITS, PERMIT
from fsmflow.values import dataclass

#: How often a line is looked at, as a worker may have died; and a limit that nobody waits for, which is then forgotten.
LOOK_MS: Final = 1_000
FORGET_MS: Final = 3_600_000
#: So many are looked at, or called, at once.
PAGE: Final = 100


class NoLine(Exception):
    """A limit that nobody has met yet."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """The row of a limit, locked."""

    name: str
    template: str
    running: int | None
    per_minute: int | None
    starts: Starts
    look_at: int

    @property
    def wanted(self) -> Wanted:
        """What those want who have a permit of it."""
        return Wanted(key=self.name, name=self.template, running=self.running, per_minute=self.per_minute)


class LimitRows:
    """Reads and writes of them. What is written is part of the transaction that has locked the row."""

    def __init__(self, link: Link, meta: Meta) -> None:
        self._link, self._meta = link, meta
        columns = ", ".join(map(link.quoted, COLUMNS.names))
        self._where = f"WHERE {link.quoted('name')} = {link.mark}"
        self._one = f"SELECT {columns} FROM {LIMIT} {self._where}"

    def locked(self, name: str) -> Line:
        """The row of a limit, until the end of the transaction. Raises NoLine."""
        rows = self._link.rows(self._one + self._link.dialect.locking, (name,))
        if not rows:
            raise NoLine
        _, template, running, per_minute, starts, look_at = rows[0]
        return Line(
            name=name,
            template=template,
            running=running,
            per_minute=per_minute,
            starts=Starts.of_text(starts),
            look_at=int(look_at),
        )

    def make(self, wanted: Sequence[Wanted], now: int) -> None:
        """Make the rows that are not there yet."""
        if LIMITS not in self._meta.get([LIMITS]):
            self._meta.add(LIMITS, "1")
        names = ", ".join(map(self._link.quoted, COLUMNS.names))
        marks = ", ".join([self._link.mark] * len(COLUMNS.names))
        for one in wanted:
            if not self._link.query(self._one, (one.key,)):
                values = (one.key, one.name, one.running, one.per_minute, "{}", now + FORGET_MS)
                self._link.add(f"INSERT INTO {LIMIT} ({names}) VALUES ({marks})", values)

    def note(self, line: Line, one: Wanted, now: int) -> None:
        """Note a permit that was given: its start, where these are counted, and its numbers, where they are others."""
        is_new = (line.running, line.per_minute) != (one.running, one.per_minute)
        if one.per_minute is not None or is_new:
            starts = line.starts.with_one(now) if one.per_minute is not None else line.starts
            self._set(line, running=one.running, per_minute=one.per_minute, starts=starts.to_text())

    def look_again(self, line: Line, at: int, *, anyway: bool = False) -> None:
        """Look at a line at a moment, if not before; ``anyway``: not before either."""
        if anyway or at < line.look_at:
            self._set(line, look_at=at)

    def look_soon(self, line: Line, now: int, *, is_called: bool) -> None:
        """Look again at a line in which somebody waits; ``is_called``: others have just been called."""
        rate = line.running is None and line.per_minute is not None and not is_called
        at = line.starts.room_at(now, line.per_minute or 1) if rate else now + LOOK_MS
        # Of a line that moves on all the time this is not written with each job.
        is_soon = now < line.look_at <= now + LOOK_MS
        self.look_again(line, max(at, now + LOOK_MS), anyway=rate or not is_soon)

    def look_later(self, line: Line, now: int, *, is_used: bool) -> None:
        """Look again at a limit that nobody waits for; or forget it, where it is not used either."""
        if is_used or line.look_at > now:
            # Of a limit that is often used this is not written with each job.
            self.look_again(line, now + FORGET_MS, anyway=line.look_at < now + FORGET_MS / 2)
        else:
            self._link.execute(f"DELETE FROM {LIMIT} {self._where}", (line.name,))

    def due(self, now: int, most: int = PAGE) -> list[str]:
        """The limits that are to be looked at by now."""
        name, mark = self._link.quoted("name"), self._link.mark
        sql = f"SELECT {name} FROM {LIMIT} WHERE look_at <= {mark} ORDER BY look_at LIMIT {most}"
        return [str(found) for (found,) in self._link.query(sql, (now,))]

    def next_look_at(self) -> int | None:
        """When the first line is looked at in which somebody waits; None where nobody does."""
        name, stage = self._link.quoted("name"), self._link.quoted("stage")
        waits = f"SELECT 1 FROM {PERMIT} p WHERE p.{name} = l.{name} AND p.{stage} = {Stage.WAITING.value}"
        found = self._link.query(f"SELECT MIN(l.look_at) FROM {LIMIT} l WHERE EXISTS ({waits})")[0][0]
        return None if found is None else int(found)

    def _set(self, line: Line, **values: Any) -> None:
        columns = ", ".join(f"{self._link.quoted(name)} = {self._link.mark}" for name in values)
        self._link.execute(f"UPDATE {LIMIT} SET {columns} {self._where}", (*values.values(), line.name))
