"""How limits are used, to be shown: who has permits, who waits in line. Nothing is locked, nothing follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fsmflow.decision.permit import Stage, Starts
from fsmflow.store.link import Link
from fsmflow.store.reach import Reach, within
from fsmflow.store.tables import ENTITY, LIMIT, PERMIT, WORK
from fsmflow.values import dataclass

#: So many limits are read at most.
MOST: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class Used:
    """A limit as it is used: ``held`` permits, ``waiting`` in line since ``since``, ``started`` within a minute; with
    room again at ``room_at``, where that follows from the starts alone. ``template``: its name in the code."""

    name: str
    template: str
    running: int | None
    per_minute: int | None
    held: int
    waiting: int
    since: int | None
    started: int
    room_at: int | None


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who has a permit of a limit, and since when."""

    name: str
    address: str
    at: int


@dataclass(frozen=True, kw_only=True)
class Waiter:
    """Who waits in line for a limit, since when, and behind how many."""

    name: str
    since: int
    before: int


class Usage:
    """Reads of the tables of limits. ``reach``: of those entities alone."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._name = f"p.{link.quoted('name')}"
        same = " AND ".join(
            f"w.{link.quoted(each)} = p.{link.quoted(each)}" for each in ("owner", "epoch", "attempt", "fence")
        )
        self._holds = f"p.stage = {Stage.HELD.value} AND {same}"
        waits = f"{Stage.CALLED.value}, {Stage.WAITING.value}"
        self._waits = f"p.stage IN ({waits}) AND w.epoch = p.epoch AND w.held IS NULL"

    def used(self, now: int, *, name: str | None = None, reach: Reach | None = None) -> list[Used]:
        """The limits that were met of late, those first in which most wait. Two queries. Of whoever is not within reach
        nobody is told: neither who it is nor that a value of its data has a limit."""
        where, params = (
            ("", []) if name is None else (f" WHERE {self._link.quoted('name')} = {self._link.mark}", [name])
        )
        limit = ", ".join(map(self._link.quoted, ("name", "template", "running", "per_minute", "starts")))
        rows = self._link.query(f"SELECT {limit} FROM {LIMIT}{where} LIMIT {MOST}", params)
        counts = self._counts(name, reach)
        found = [
            _used(row, counts.get(str(row[0]), (0, 0, None)), now)
            for row in rows
            if reach is None or row[0] in counts or row[0] == row[1]
        ]
        return sorted(found, key=lambda used: (-used.waiting, -used.held, used.name))

    def _counts(self, name: str | None, reach: Reach | None) -> dict[str, tuple[int, int, int | None]]:
        source, where, params = self._source(name, reach)
        held = f"SUM(CASE WHEN {self._holds} THEN 1 ELSE 0 END)"
        waiting = f"SUM(CASE WHEN {self._waits} THEN 1 ELSE 0 END)"
        since = f"MIN(CASE WHEN {self._waits} THEN p.since END)"
        sql = f"SELECT {self._name}, {held}, {waiting}, {since} FROM {source} WHERE {where} GROUP BY {self._name}"
        return {
            str(key): (int(holders), int(waiters), None if oldest is None else int(oldest))
            for key, holders, waiters, oldest in self._link.query(sql, params)
        }

    def holders(self, most: int, *, name: str | None = None, reach: Reach | None = None) -> list[Holder]:
        """Who has permits, the longest first. One query."""
        source, where, params = self._source(name, reach)
        sql = (
            f"SELECT {self._name}, e.machine, e.entity_id, p.at FROM {source} JOIN {ENTITY} x ON x.id = p.entity "
            f"WHERE {where} AND {self._holds} ORDER BY p.at, p.entity LIMIT {most}"
        ).replace("e.machine, e.entity_id", "x.machine, x.entity_id")
        return [
            Holder(name=str(key), address=f"{machine}:{entity_id}", at=int(at))
            for key, machine, entity_id, at in self._link.query(sql, params)
        ]

    def waiter(self, row: int) -> Waiter | None:
        """Where an entity waits; None where it does not. Two queries."""
        mark = self._link.mark
        sql = f"SELECT {self._name}, p.since FROM {PERMIT} p WHERE p.entity = {mark} AND p.stage <> {Stage.HELD.value}"
        rows = self._link.query(sql, (row,))
        if not rows:
            return None
        name, since = rows[0]
        before = f"(p.since < {mark} OR (p.since = {mark} AND p.entity < {mark}))"
        source, where, params = self._source(name, None)
        sql = f"SELECT COUNT(*) FROM {source} WHERE {where} AND {self._waits} AND {before}"
        ((count,),) = self._link.query(sql, (*params, since, since, row))
        return Waiter(name=str(name), since=int(since), before=int(count))

    def _source(self, name: str | None, reach: Reach | None) -> tuple[str, str, list[Any]]:
        quoted, mark = self._link.quoted, self._link.mark
        source = f"{PERMIT} p JOIN {WORK} w ON w.{quoted('entity')} = p.{quoted('entity')}"
        where, params = ("1 = 1", list[Any]()) if name is None else (f"{self._name} = {mark}", [name])
        if reach is not None:
            term, values = within(self._link, reach)
            source, where = f"{source} JOIN {ENTITY} e ON e.id = p.entity", f"{where} AND {term}"
            params = [*params, *values]
        return source, where, params


def _used(row: Sequence[Any], counts: tuple[int, int, int | None], now: int) -> Used:
    name, template, running, per_minute, text = row
    starts = Starts.of_text(text)
    is_full = per_minute is not None and starts.count(now) >= per_minute
    return Used(
        name=str(name),
        template=str(template),
        running=running,
        per_minute=per_minute,
        held=counts[0],
        waiting=counts[1],
        since=counts[2],
        started=starts.count(now),
        room_at=starts.room_at(now, per_minute) if is_full else None,
    )
