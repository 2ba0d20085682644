"""What alarms ask of a database, often: each question reads a few entries of an index, or what is under way now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from fsmflow.decision.work import FAR_FUTURE_MS, RUNS
from fsmflow.store.indexes import CHILD, ROOT
from fsmflow.store.link import Link
from fsmflow.store.listing import Since
from fsmflow.store.statements import among
from fsmflow.store.tables import ENTITY, EVENT, WORK
from fsmflow.values import dataclass

#: More than these are not counted one by one.
MANY: Final = 1_000
#: What waits for a worker, or is run by one, is looked after again within this time: a doorbell that is still queued
#: after two minutes at the latest.
_SOON_MS: Final = 125_000
#: States of one statement.
_STATES: Final = 50


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Entities that have something in common: how many (``MANY`` at most, and one), since when the first, and the row
    of one of them."""

    machine: str
    state: str
    count: int
    at: int
    row: int
    fingerprint: str | None = None


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Work of a queue that is due: how much, and since when the oldest. ``queue`` None: what is no job."""

    queue: str | None
    count: int
    since: int


@dataclass(frozen=True, kw_only=True)
class Troubled:
    """Entities in a state that have lost workers, or have something that was tried in vain: how many, how often in all
    and at most, and the row of one of them."""

    machine: str
    state: str
    count: int
    times: int
    most: int
    row: int


class Lookout:
    """Questions in one database. Nothing is written."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def overdue(self, since: Since) -> Standing | None:
        """What stands in a state since that moment or longer. One query: of what is by itself it reads as many entries
        of an index as there are such entities, of children those that were started first."""
        rows = [self._standing(since, scope) for scope in (ROOT, CHILD)]
        found = [each for each in rows if each is not None]
        if not found:
            return None
        first = min(found, key=lambda each: each.at)
        return Standing(
            machine=since.machine,
            state=since.state,
            count=sum(each.count for each in found),
            at=first.at,
            row=first.row,
        )

    def _standing(self, since: Since, scope: str) -> Standing | None:
        mark = self._link.mark
        of = f"machine = {mark} AND state = {mark} AND {scope}"
        # Only of what is by itself does an index have the time first.
        near = f"AND entered_at <= {mark} ORDER BY entered_at, id" if scope == ROOT else "ORDER BY id"
        sql = (
            f"SELECT COUNT(*), MIN(entered_at), MIN(id) FROM (SELECT id, entered_at FROM {ENTITY} WHERE {of} {near} "
            f"LIMIT {MANY + 1 if scope == ROOT else 10 * MANY}) found WHERE entered_at <= {mark}"
        )
        place = (since.machine, since.state)
        ((count, at, row),) = self._link.look(
            sql, (*place, since.at, since.at) if scope == ROOT else (*place, since.at)
        )
        if not count:
            return None
        return Standing(machine=since.machine, state=since.state, count=int(count), at=int(at), row=int(row))

    def failed_since(self, machine: str, states: Sequence[str], at: int) -> list[Standing]:
        """What has entered these states since then and rests there, by its fingerprint; branches aside, whose failure
        is their parents'. One query that reads as many rows as have done so, ``MANY`` in each state at most."""
        found = []
        places = [(state, scope) for state in states for scope in (ROOT, CHILD)]
        for first in range(0, len(places), _STATES):
            found += self._failed(machine, places[first : first + _STATES], at)
        return found

    def _failed(self, machine: str, places: Sequence[tuple[str, str]], at: int) -> list[Standing]:
        mark = self._link.mark
        parts, params = [], list[Any]()
        for number, (state, scope) in enumerate(places):
            parts.append(
                f"SELECT {number}, fingerprint, COUNT(*), MIN(entered_at), MAX(id) FROM (SELECT id, entered_at, "
                f"fingerprint FROM {ENTITY} WHERE machine = {mark} AND state = {mark} AND {scope} "
                f"AND entered_at >= {mark} LIMIT {MANY + 1}) found GROUP BY fingerprint"
            )
            params += [machine, state, at]
        rows: Iterable[Any] = self._link.look(" UNION ALL ".join(parts), params) if parts else ()
        return [
            Standing(
                machine=machine,
                state=places[number][0],
                count=int(count),
                at=int(first),
                row=int(row),
                fingerprint=fingerprint,
            )
            for number, fingerprint, count, first, row in rows
            if fingerprint is not None
        ]

    def rests(self, machine: str, state: str, fingerprints: Sequence[str]) -> bool:
        """Whether anything rests in a state with one of these fingerprints. One query that reads an entry of an
        index."""
        chosen, values = self._link.dialect.among(fingerprints)
        mark = self._link.mark
        sql = (
            f"SELECT 1 FROM {ENTITY} WHERE failure IS NOT NULL AND machine = {mark} AND state = {mark} "
            f"AND fingerprint {chosen} LIMIT 1"
        )
        return bool(self._link.look(sql, (machine, state, *values)))

    def paused(self) -> list[Standing]:
        """What is paused, by state, since it was written last; what is over aside. One query that reads ``MANY`` at
        most, those that were started first; where the database has no partial indexes, of those alone that a pause
        keeps from going on."""
        key = self._link.dialect.wakes.column
        held = f"(SELECT entity AS id FROM {WORK} WHERE {key} >= {FAR_FUTURE_MS} AND held IS NOT NULL LIMIT {MANY})"
        source = f"(SELECT id FROM {ENTITY} WHERE paused > 0 ORDER BY id LIMIT {MANY})"
        if not self._link.dialect.has_partial_indexes:
            source = held
        sql = (
            f"SELECT e.machine, e.state, COUNT(*), MIN(e.updated_at), MIN(e.id) FROM {source} found "
            f"JOIN {ENTITY} e ON e.id = found.id GROUP BY e.machine, e.state"
        )
        return [
            Standing(machine=machine, state=state, count=int(count), at=int(at), row=int(row))
            for machine, state, count, at, row in self._link.look(sql)
        ]

    def waiting(self, now: int) -> list[Waiting]:
        """What is due and nobody does, by queue. One query that reads what is due soon, and what is under way."""
        mark, owner = self._link.mark, self._link.quoted("owner")
        free = f"{owner} IS NULL AND held IS NULL AND parked IS NULL"
        runs = f"kind {among(RUNS)}"
        sql = (
            f"SELECT CASE WHEN {runs} THEN queue END, COUNT(*), "
            f"MIN(CASE WHEN {runs} THEN COALESCE(rung_at, wake_at) ELSE wake_at END) FROM {WORK} "
            f"WHERE {self._link.dialect.wakes.until(mark)} AND {free} AND tries = 0 "
            f"AND (wake_at <= {mark} OR ({runs} AND rung_at IS NOT NULL)) GROUP BY 1"
        )
        rows = self._link.look(sql, (now + _SOON_MS, now + _SOON_MS, now))
        return [Waiting(queue=queue, count=int(count), since=int(since)) for queue, count, since in rows]

    def crashes(self, now: int) -> list[Troubled]:
        """What is under way and has lost workers, by state. One query that reads what is under way."""
        due = self._link.dialect.wakes.until(self._link.mark, "w.")
        sql = (
            f"SELECT e.machine, e.state, COUNT(*), SUM(w.crashes), MAX(w.crashes), MAX(e.id) FROM {WORK} w "
            f"JOIN {ENTITY} e ON e.id = w.entity WHERE {due} AND w.crashes > 0 "
            f"GROUP BY e.machine, e.state"
        )
        return _troubled(self._link.look(sql, (now + _SOON_MS, now + _SOON_MS)))

    def stuck(self, tries: int) -> list[Troubled]:
        """What was tried so often in vain, by state. One query that reads what was tried in vain at all."""
        mark = self._link.mark
        tried = (
            f"SELECT entity, tries FROM {WORK} WHERE tries > 0 AND tries >= {mark} UNION ALL "
            f"SELECT entity, tries FROM {EVENT} WHERE due_at > 0 AND tries > 0 AND tries >= {mark}"
        )
        sql = (
            f"SELECT e.machine, e.state, COUNT(DISTINCT e.id), SUM(x.tries), MAX(x.tries), MAX(e.id) FROM ({tried}) x "
            f"JOIN {ENTITY} e ON e.id = x.entity GROUP BY e.machine, e.state"
        )
        return _troubled(self._link.look(sql, (tries, tries)))


def _troubled(rows: Iterable[Any]) -> list[Troubled]:
    return [
        Troubled(machine=machine, state=state, count=int(count), times=int(times), most=int(most), row=int(row))
        for machine, state, count, times, most, row in rows
    ]
