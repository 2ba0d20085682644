"""Permits of limits: asked for under the claim of an attempt, passed on to who waits. Whoever does either locks the row
of the limit first, and what belongs to an entity after that; nobody else locks such a row.

A permit is good as long as the claim that it is of is the live one. So the number of those that are good is read, and
kept nowhere: a settle, a lease that runs out, a worker that dies give back a permit without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from fsmflow.decision.entity import Claim, ClaimLost
from fsmflow.decision.permit import Entrant, Stage, Starts, Wanted
from fsmflow.store.columns import WORK_COLUMNS, work_of
from fsmflow.store.limits import LIMIT as LIMIT_COLUMNS
from fsmflow.store.limits import PERMIT as PERMIT_COLUMNS
from fsmflow.store.link import Link
from fsmflow.store.meta import Meta
from fsmflow.store.tables import LIMIT, LIMITS, PERMIT, WORK
from fsmflow.store.work import Due, Ticket, WorkRows
from fsmflow.values import dataclass

#: Who waits in line is offered again after so long, if nobody has called: that it should be is nowhere else.
OFFERED_MS: Final = 600_000
#: How often a line is looked at, as a worker may have died; and a limit that nobody waits for, which is then forgotten.
LOOK_MS: Final = 1_000
FORGET_MS: Final = 3_600_000
#: So many of a line are called at once.
PAGE: Final = 100


@dataclass(frozen=True, kw_only=True)
class Line:
    """The row of a limit, locked."""

    name: str
    running: int | None
    per_minute: int | None
    starts: Starts
    look_at: int


class _NoLine(Exception):
    """A limit that nobody has met yet."""


class Permits:
    """Reads and writes of the two tables."""

    def __init__(self, link: Link, work: WorkRows, meta: Meta) -> None:
        self._link, self._work, self._meta = link, work, meta
        quoted, mark = link.quoted, link.mark
        own = ", ".join(f"p.{quoted(name)}" for name in PERMIT_COLUMNS.names)
        theirs = ", ".join(f"w.{quoted(name)}" for name in WORK_COLUMNS)
        entrants = (
            f"SELECT {own}, {theirs} FROM {PERMIT} p LEFT JOIN {WORK} w ON w.{quoted('entity')} = p.{quoted('entity')} "
            f"WHERE p.{quoted('name')} = {mark}"
        )
        stage, entity, since = (f"p.{quoted(name)}" for name in ("stage", "entity", "since"))
        self._inside = f"{entrants} AND {stage} <= {Stage.CALLED.value}"
        self._one = f"{entrants} AND {entity} = {mark}"
        self._stage = f"{entrants} AND {stage} = {mark} ORDER BY {since}, {entity} LIMIT {mark}"
        limit = ", ".join(map(quoted, LIMIT_COLUMNS.names))
        self._limit = f"SELECT {limit} FROM {LIMIT} WHERE {quoted('name')} = {mark}"
        self._mine = f"WHERE {quoted('name')} = {mark} AND {quoted('entity')} = {mark}"

    def ask(self, claim: Claim, wanted: Sequence[Wanted], *, dispatch: int, now: int) -> Wanted | None:
        """Take a permit of each of these for a claim, all or none; the one that there is none of, None where all are
        taken. The attempt is then given back, and waits in the line of that; it counts as none.

        One durable transaction: what is counted outlives the database server. Repeating it with the same claim does no
        harm, but that it may count a start twice. Raises ClaimLost where the claim is gone, and DatabaseUnavailable.
        """
        while True:
            try:
                return self._link.write(lambda: self._ask(claim, wanted, dispatch, now))
            except _NoLine:
                self._make_lines(wanted, now)

    def _ask(self, claim: Claim, wanted: Sequence[Wanted], dispatch: int, now: int) -> Wanted | None:
        # All locks come before the first read: that is what a transaction sees which shows one moment.
        lines = [self._locked(one.key) for one in wanted]
        mine = [self._entrant(one.key, claim.row) for one in wanted]
        since = min((one.since for one in mine if one is not None and not one.is_gone), default=now)
        refused = None
        for one, line, me in zip(wanted, lines, mine, strict=True):
            if not self._lets_in(one, line, me, claim, since, now):
                refused = one
                break
        for one, line, me in zip(wanted, lines, mine, strict=True):
            if refused is None:
                self._let_in(one, line, me, claim, since, now)
            elif one is refused:
                self._put(me, one.key, claim, Stage.WAITING, since, now)
                self._look_again(line, now + LOOK_MS if one.running else line.starts.room_at(now, one.per_minute or 1))
            elif me is not None:
                # Where it was called for this one, others are to be called in its place.
                self._delete(one.key, claim.row)
                self._look_again(line, now)
        if refused is not None and not self._work.release(
            claim, attempt=claim.attempt, dispatch=dispatch, wake_at=now + OFFERED_MS, now=now, in_line=True
        ):
            raise ClaimLost(f"entity row {claim.row}: the claim is gone")
        return refused

    def _lets_in(self, one: Wanted, line: Line, me: Entrant | None, claim: Claim, since: int, now: int) -> bool:
        """Whether there is room, and nobody has waited for it for longer."""
        room = self._room(one.key, one.running, one.per_minute, line.starts, now, but=claim.row)
        if room < 1:
            return False
        if me is not None and me.stage is Stage.CALLED and not me.is_gone:
            return True
        before = [each for each in self._waiting(one.key, room + 1) if each.place < (since, claim.row)]
        if len(before) >= room:
            self._look_again(line, now)
        return len(before) < room

    def _let_in(self, one: Wanted, line: Line, me: Entrant | None, claim: Claim, since: int, now: int) -> None:
        if one.running is not None:
            self._put(me, one.key, claim, Stage.HELD, since, now, most=one.running)
        elif me is not None:
            self._delete(one.key, claim.row)
        is_new = (line.running, line.per_minute) != (one.running, one.per_minute)
        if one.per_minute is not None or is_new:
            starts = line.starts.with_one(now) if one.per_minute is not None else line.starts
            self._set(LIMIT, line.name, running=one.running, per_minute=one.per_minute, starts=starts.to_text())

    def _room(
        self, key: str, running: int | None, per_minute: int | None, starts: Starts, now: int, but: int = 0
    ) -> int:
        """How many more may have a permit now, besides those who were called; ``but`` this entity."""
        held = called = 0
        for each in self._entrants(self._inside, (key,)):
            if each.entity == but:
                continue
            if each.has_permit:
                held += 1
            elif each.is_expected(now):
                called += 1
            elif each.stage is Stage.HELD or each.is_gone:
                self._delete(key, each.entity)
            else:
                waits = each.work is not None and each.work.is_in_line
                self._set(PERMIT, key, each.entity, stage=(Stage.WAITING if waits else Stage.AWAY).value)
        rooms = [] if running is None else [running - held - called]
        rooms += [] if per_minute is None else [per_minute - starts.count(now) - called]
        return min(rooms, default=0)

    def _waiting(self, key: str, most: int) -> list[Entrant]:
        """The first in line, so many; who is not to be had is taken out of it, and keeps its place."""
        found: list[Entrant] = []
        while len(found) < most:
            page = self._entrants(self._stage, (key, Stage.WAITING.value, most))
            found = [each for each in page if each.is_in_line]
            if len(found) == len(page):
                break
            for each in page:
                if each.is_gone:
                    self._delete(key, each.entity)
                elif not each.is_in_line:
                    self._set(PERMIT, key, each.entity, stage=Stage.AWAY.value)
        return found

    def call(self, name: str, now: int) -> list[tuple[Ticket, str]]:
        """Call as many of a line as there is room for; what is to be rung for them. What is lost of it with the
        database server is called anew."""
        try:
            return self._link.write(lambda: self._call(name, now), hasty=True)
        except _NoLine:
            return []

    def _call(self, name: str, now: int) -> list[tuple[Ticket, str]]:
        line = self._locked(name)
        room = self._room(name, line.running, line.per_minute, line.starts, now)
        called = self._waiting(name, min(room, PAGE)) if room > 0 else []
        rings = []
        for each in sorted(called, key=lambda each: each.entity):
            rung = [] if each.work is None else self._work.ring([Due(row=each.entity, work=each.work)], now)
            if rung:
                self._set(PERMIT, name, each.entity, stage=Stage.CALLED.value, at=now)
            rings += rung
        self._look_later(line, len(called), now)
        return rings

    def _look_later(self, line: Line, called: int, now: int) -> None:
        if self._waiting(line.name, 1):
            rate = line.running is None and line.per_minute is not None and not called
            at = line.starts.room_at(now, line.per_minute or 1) if rate else now + LOOK_MS
            self._look_again(line, max(at, now + LOOK_MS), anyway=True)
            return
        away = self._entrants(self._stage, (line.name, Stage.AWAY.value, PAGE))
        for each in away:
            if each.is_gone:
                self._delete(line.name, each.entity)
        is_used = (
            any(not each.is_gone for each in away)
            or line.starts.count(now)
            or self._entrants(self._inside, (line.name,))
        )
        if is_used or line.look_at > now:
            # Of a limit that is often used this is not written with each job.
            self._look_again(line, now + FORGET_MS, anyway=line.look_at < now + FORGET_MS / 2)
        else:
            self._link.execute(f"DELETE FROM {LIMIT} WHERE {self._equal('name')}", (line.name,))

    def called(self, name: str, queue: str | None, now: int) -> Ticket | None:
        """Who was called first and has not come yet, of those who wait in a queue. One query."""
        expected = [
            (each, each.work)
            for each in self._link.again(lambda: self._entrants(self._inside, (name,)))
            if each.is_expected(now) and each.work is not None
        ]
        free = [(each, work) for each, work in expected if work.owner is None and work.queue == queue]
        if not free:
            return None
        first, work = min(free, key=lambda pair: pair[0].place)
        return Ticket(row=first.entity, epoch=work.epoch, attempt=work.attempt, dispatch=work.dispatch)

    def due_lines(self, now: int, most: int = PAGE) -> list[str]:
        """The limits whose lines are to be looked at by now."""
        name, mark = self._link.quoted("name"), self._link.mark
        sql = f"SELECT {name} FROM {LIMIT} WHERE look_at <= {mark} ORDER BY look_at LIMIT {most}"
        return [str(found) for (found,) in self._link.query(sql, (now,))]

    def next_look_at(self) -> int | None:
        """When the first line is looked at in which somebody waits; None where nobody does."""
        name, stage = self._link.quoted("name"), self._link.quoted("stage")
        waits = f"SELECT 1 FROM {PERMIT} p WHERE p.{name} = l.{name} AND p.{stage} = {Stage.WAITING.value}"
        found = self._link.query(f"SELECT MIN(l.look_at) FROM {LIMIT} l WHERE EXISTS ({waits})")[0][0]
        return None if found is None else int(found)

    def _locked(self, name: str) -> Line:
        rows = self._link.rows(self._limit + self._link.dialect.locking, (name,))
        if not rows:
            raise _NoLine
        _, _, running, per_minute, starts, look_at = rows[0]
        return Line(
            name=name, running=running, per_minute=per_minute, starts=Starts.of_text(starts), look_at=int(look_at)
        )

    def _make_lines(self, wanted: Sequence[Wanted], now: int) -> None:
        if LIMITS not in self._meta.get([LIMITS]):
            self._meta.add(LIMITS, "1")
        names = ", ".join(map(self._link.quoted, LIMIT_COLUMNS.names))
        marks = ", ".join([self._link.mark] * len(LIMIT_COLUMNS.names))
        for one in wanted:
            if not self._link.query(self._limit, (one.key,)):
                values = (one.key, one.name, one.running, one.per_minute, "{}", now + FORGET_MS)
                self._link.add(f"INSERT INTO {LIMIT} ({names}) VALUES ({marks})", values)

    def _entrant(self, key: str, entity: int) -> Entrant | None:
        return next(self._read(self._one, (key, entity)), None)

    def _entrants(self, sql: str, params: Sequence[Any]) -> list[Entrant]:
        return list(self._read(sql, params))

    def _read(self, sql: str, params: Sequence[Any]) -> Iterator[Entrant]:
        width = len(PERMIT_COLUMNS.names)
        for row in self._link.rows(sql, params):
            found = PERMIT_COLUMNS.attributes(row)
            del found["name"]
            yield Entrant(**found, work=work_of(row[width:]))

    def _put(
        self, me: Entrant | None, key: str, claim: Claim, stage: Stage, since: int, now: int, most: int | None = None
    ) -> None:
        values = {
            "stage": stage.value,
            "epoch": claim.epoch,
            "attempt": claim.attempt,
            "fence": claim.fence,
            "owner": claim.owner if stage is Stage.HELD else None,
            "since": since,
            "at": now,
            "most": most,
        }
        if me is not None:
            self._set(PERMIT, key, claim.row, **values)
            return
        values = {"name": key, "entity": claim.row, **values}
        names = ", ".join(map(self._link.quoted, values))
        marks = ", ".join([self._link.mark] * len(values))
        self._link.execute(f"INSERT INTO {PERMIT} ({names}) VALUES ({marks})", tuple(values.values()))

    def _set(self, table: str, *key: Any, **values: Any) -> None:
        columns = ", ".join(f"{self._link.quoted(name)} = {self._link.mark}" for name in values)
        where = self._equal("name") if len(key) == 1 else f"{self._equal('name')} AND {self._equal('entity')}"
        self._link.execute(f"UPDATE {table} SET {columns} WHERE {where}", (*values.values(), *key))

    def _look_again(self, line: Line, at: int, *, anyway: bool = False) -> None:
        """Look at a line at a moment, if not before; ``anyway``: not before either."""
        if anyway or at < line.look_at:
            self._set(LIMIT, line.name, look_at=at)

    def _delete(self, key: str, entity: int) -> None:
        self._link.execute(f"DELETE FROM {PERMIT} {self._mine}", (key, entity))

    def _equal(self, name: str) -> str:
        return f"{self._link.quoted(name)} = {self._link.mark}"
