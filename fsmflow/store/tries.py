"""How often something was tried of late: one number for each who tries, shared by all processes, and few of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fsmflow.store.link import Link
from fsmflow.store.tables import TRY

#: So many are remembered at once; beyond that those go first that would be forgotten first.
MOST: Final = 10_000
#: Somebody else may make or forget the row between two statements.
_TURNS: Final = 5
_PAGE: Final = 500


class Tries:
    """Each try moves the moment ``until`` by its cost. Who has moved it too far from now has to wait: a bucket that
    leaks. All processes move the same row, and none loses a try."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._name, self._until = link.quoted("name"), link.quoted("until")

    def take(self, name: str, now: int, *, cost: int, most: int) -> int:
        """Count a try before it is made. How many milliseconds it has to wait; 0 where it may be made, and only then it
        is counted. All numbers are milliseconds."""
        mark = self._link.mark
        later = f"(CASE WHEN {self._until} > {mark} THEN {self._until} ELSE {mark} END) + {mark}"
        where = f"{self._name} = {mark} AND {self._until} <= {mark}"
        sql = f"UPDATE {TRY} SET {self._until} = {later} WHERE {where}"
        values = (now, now, cost, name, now + most - cost)
        for _ in range(_TURNS):
            if self._changed(sql, values):
                return 0
            rows = self._link.query(f"SELECT {self._until} FROM {TRY} WHERE {self._name} = {mark}", (name,))
            if rows and int(rows[0][0]) + cost - most > now:
                return int(rows[0][0]) + cost - most - now
            if not rows:
                self._make(name, now)
        return cost

    def give_back(self, name: str, cost: int) -> None:
        """A try that was right counts no more."""
        mark = self._link.mark
        sql = f"UPDATE {TRY} SET {self._until} = {self._until} - {mark} WHERE {self._name} = {mark}"
        self._changed(sql, (cost, name))

    def _make(self, name: str, now: int) -> None:
        mark = self._link.mark
        self._forget(f"WHERE {self._until} < {mark} ORDER BY {self._name} LIMIT {_PAGE}", (now,))
        ((count,),) = self._link.query(f"SELECT COUNT(*) FROM {TRY}")
        if int(count) >= MOST:
            self._forget(f"ORDER BY {self._until} LIMIT {min(int(count) - MOST + 1, _PAGE)}", ())
        unless = self._link.dialect.notation.unless_there((self._name,))
        self._changed(f"INSERT INTO {TRY} ({self._name}, {self._until}) VALUES ({mark}, {mark}) {unless}", (name, now))

    def _forget(self, which: str, values: Sequence[object]) -> None:
        """By name, row by row in one order: a range would lock what others are about to write beside it. Who has tried
        again meanwhile is not forgotten."""
        mark = self._link.mark
        found = sorted(self._link.query(f"SELECT {self._name}, {self._until} FROM {TRY} {which}", values))
        if found:
            names = ", ".join([mark] * len(found))
            last = max(until for _, until in found)
            sql = f"DELETE FROM {TRY} WHERE {self._name} IN ({names}) AND {self._until} <= {mark}"
            self._changed(sql, (*(name for name, _ in found), last))

    def _changed(self, sql: str, values: Sequence[object]) -> bool:
        return self._link.write(lambda: bool(self._link.execute(sql, values).rowcount == 1), hasty=True)
