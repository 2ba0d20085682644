"""The cursors of feeds: rows that say how far each was read. Who reads holds a claim on the row, and moves no other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fsmflow.decision.position import Cursor, Position
from fsmflow.store import columns
from fsmflow.store.link import Link
from fsmflow.store.tables import FEED, HISTORY


class Feeds:
    """Reads and writes of cursors. Nothing is locked for longer than its own statement, but inside a transaction of
    the caller's."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._columns = [link.quoted(name) for name in columns.FEED.names]
        self._select = f"SELECT {', '.join(self._columns)} FROM {FEED}"
        self._named = f"WHERE {link.quoted('name')} = {link.mark}"
        self._owned = f"{self._named} AND {link.quoted('owner')} = {link.mark}"

    def find(self, name: str) -> Cursor | None:
        """The cursor of a feed."""
        rows = self._link.query(f"{self._select} {self._named}", (name,))
        return _cursor(rows[0]) if rows else None

    def all(self) -> list[Cursor]:
        """Every one, by name."""
        return [_cursor(row) for row in self._link.query(f"{self._select} ORDER BY {self._link.quoted('name')}")]

    def add(self, cursor: Cursor) -> None:
        """Write one that is new. Does nothing where somebody else has."""
        marks = ", ".join([self._link.mark] * len(self._columns))
        unless = self._link.dialect.notation.unless_there((self._link.quoted("name"),))
        sql = f"INSERT INTO {FEED} ({', '.join(self._columns)}) VALUES ({marks}) {unless}"
        self._link.write(lambda: self._link.execute(sql, columns.FEED.values(cursor)))

    def claim(self, name: str, owner: str, holder: str, now: int, until: int, wanted: str) -> bool:
        """Be the one who reads until a moment. False where somebody else is, or there is no such feed."""
        free = f"({self._link.quoted('owner')} IS NULL OR lease_until IS NULL OR lease_until <= {self._link.mark}"
        mine = f" OR {self._link.quoted('owner')} = {self._link.mark})"
        sql = f"{self._set('owner', 'holder', 'lease_until', 'wanted')} {self._named} AND {free}{mine}"
        return self._changed(sql, (owner, holder, until, wanted, name, now, owner), hasty=True)

    def move(
        self, name: str, position: Position, *, owner: str, token: str | None, told: int, now: int, until: int
    ) -> bool:
        """Note that what comes before a position has been read. False where the claim is somebody else's by now.

        It may be lost with the database server: what is read twice does no harm. Inside a transaction of the caller's
        it is a part of that.
        """
        values = (position.upto, position.to_text(), token, now, until, told)
        counted = f"told = told + {self._link.mark}"
        sql = f"{self._set('upto', 'gaps', 'token', 'read_at', 'lease_until')}, {counted} {self._owned}"
        return self._changed(sql, (*values, name, owner), hasty=True)

    def release(self, name: str, owner: str) -> None:
        """Read no more. Does nothing where the claim is somebody else's by now."""
        self._changed(f"{self._set('owner', 'lease_until')} {self._owned}", (None, None, name, owner), hasty=True)

    def put(self, name: str, position: Position) -> bool:
        """Read on from a position, whoever reads now: that one is refused from then on. False where there is no such
        feed."""
        sql = f"{self._set('upto', 'gaps', 'token', 'owner', 'lease_until', 'missed')} {self._named}"
        return self._changed(sql, (position.upto, position.to_text(), None, None, None, 0, name))

    def forget(self, name: str) -> bool:
        """Delete one. False where there is none."""
        return self._changed(f"DELETE FROM {FEED} {self._named}", (name,))

    def miss(self, entities: Sequence[int]) -> None:
        """In the transaction that is to delete the lines of these: count those that a feed has not read. One query,
        and one more where a feed is behind them."""
        ((least,),) = self._link.rows(f"SELECT MIN(upto) FROM {FEED}")
        if least is None:
            return
        among, values = self._link.dialect.among(entities)
        name, mark = self._link.quoted("name"), self._link.mark
        sql = (
            f"SELECT f.{name}, COUNT(*) FROM {HISTORY} h JOIN {FEED} f ON h.id > f.upto "
            f"WHERE h.{self._link.quoted('entity')} {among} AND h.id > {mark} GROUP BY f.{name} ORDER BY f.{name}"
        )
        for found, count in self._link.rows(sql, (*values, least)):
            self._link.execute(f"UPDATE {FEED} SET missed = missed + {mark} {self._named}", (count, found))

    def _set(self, *names: str) -> str:
        return f"UPDATE {FEED} SET {', '.join(f'{self._link.quoted(name)} = {self._link.mark}' for name in names)}"

    def _changed(self, sql: str, params: Iterable[Any], *, hasty: bool = False) -> bool:
        def change() -> bool:
            return bool(self._link.execute(sql, tuple(params)).rowcount == 1)

        return self._link.write(change, hasty=hasty and not self._link.in_transaction)


def _cursor(row: Sequence[Any]) -> Cursor:
    return Cursor(**columns.FEED.attributes(row))
