"""Permits of limits: asked for under the claim of an attempt, passed on to who waits. Whoever does either locks the row
of the limit first, and what belongs to an entity after that; nobody else locks such a row.

A permit is good as long as the claim that it is of is the live one. So the number of those that are good is read, and
kept nowhere: a settle, a lease that runs out, a worker that dies give back a permit without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from fsmflow.decision.entity import Claim, ClaimLost
from fsmflow.decision.permit import Entrant, Stage, Starts, Wanted
from fsmflow.points import point
from fsmflow.store.columns import WORK_COLUMNS, work_of
from fsmflow.store.limitrows import LOOK_MS, PAGE, LimitRows, Line, NoLine
from fsmflow.store.limits import PERMIT as PERMIT_COLUMNS
from fsmflow.store.link import Link
from fsmflow.store.meta import Meta
from fsmflow.store.tables import PERMIT, WORK
from fsmflow.store.work import Claimed, Due, Ticket, WorkRows
from fsmflow.values import dataclass

#: Who waits in line is offered again after so long, if nobody has called: that it should be is nowhere else.
OFFERED_MS: Final = 600_000


@dataclass(kw_only=True, eq=False)
class Taker:
    """Who runs the first in line itself, where that waits in its queue: ``owner`` is the token of the claim, which
    ``tell`` is told of before it is made, with the row. It is to be heard at once."""

    queue: str | None
    owner: str
    lease_until: int
    tell: Callable[[int, str], None]
    #: What it was told of last.
    told: Ticket | None = None


class Taken(NamedTuple):
    """Who was claimed with a permit, and the limit that it is of."""

    claimed: Claimed
    permit: Wanted


class Called(NamedTuple):
    """What is to be rung for those who were called, and who was taken at once."""

    rings: list[tuple[Ticket, str]]
    taken: Taken | None


class _Room(Exception):
    """There are permits, which are to outlive the database server."""


class Permits:
    """Reads and writes of the two tables."""

    def __init__(self, link: Link, work: WorkRows, meta: Meta, exact: Callable[[], int]) -> None:
        self._link, self._work, self.rows = link, work, LimitRows(link, meta)
        self._exact = exact
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
        self._first = f"SELECT 1 FROM {PERMIT} p WHERE p.{quoted('name')} = {mark} AND {stage} = {mark} LIMIT 1"
        self._mine = f"WHERE {quoted('name')} = {mark} AND {quoted('entity')} = {mark}"

    def ask(
        self, claim: Claim, wanted: Sequence[Wanted], *, dispatch: int, now: int, hastily: bool = False
    ) -> Wanted | None:
        """Take a permit of each of these for a claim, all or none; the one that there is none of, None where all are
        taken. The attempt is then given back, and waits in the line of that; it counts as none.

        One durable transaction: what is counted outlives the database server. ``hastily``: that it is given back may be
        lost with that, as the claim may. So who only comes to the end of a long line keeps nobody waiting for a disk.
        Repeating it with the same claim does no harm, but that it may count a start twice. Raises ClaimLost where the
        claim is gone, and DatabaseUnavailable.
        """
        point("ask.before", claim.row)
        hastily = hastily and any(self._has_line(one.key) for one in wanted)
        while True:
            ask = partial(self._ask, claim, wanted, dispatch, now, hastily)
            try:
                return self._link.write(ask, hasty=hastily)
            except NoLine:
                self.rows.make(wanted, now)
            except _Room:
                hastily = False

    def _has_line(self, key: str) -> bool:
        """Whether somebody waits. One query, without a lock."""
        return bool(self._link.query(self._first, (key, Stage.WAITING.value)))

    def _ask(self, claim: Claim, wanted: Sequence[Wanted], dispatch: int, now: int, hastily: bool) -> Wanted | None:
        # All locks come before the first read: that is what a transaction sees which shows one moment.
        lines = [self.rows.locked(one.key) for one in wanted]
        now = self._moment(now, *(one.per_minute for one in wanted))
        mine = [self._entrant(one.key, claim.row) for one in wanted]
        since = min((one.since for one in mine if one is not None), default=now)
        refused = None
        for one, line, me in zip(wanted, lines, mine, strict=True):
            if not self._lets_in(one, line, me, claim, since, now):
                refused = one
                break
        if refused is None and hastily:
            raise _Room
        for one, line, me in zip(wanted, lines, mine, strict=True):
            if refused is None:
                self._let_in(one, line, me, claim, since, now)
            elif one is refused:
                self._put(me, one.key, claim, Stage.WAITING, since, now)
                self.rows.look_again(
                    line, now + LOOK_MS if one.running else line.starts.room_at(now, one.per_minute or 1)
                )
            elif me is not None:
                # Where it was called for this one, others are to be called in its place.
                self._delete(one.key, claim.row)
                self.rows.look_again(line, now)
        if refused is not None and not self._work.release(
            claim, attempt=claim.attempt, dispatch=dispatch, wake_at=now + OFFERED_MS, now=now, in_line=True
        ):
            raise ClaimLost(f"entity row {claim.row}: the claim is gone")
        point("permit.before", claim.row)
        return refused

    def _moment(self, now: int, *per_minute: int | None) -> int:
        """Where starts are counted, the moment at which the database does so: whoever waited for the lock, was stopped
        or has a clock that is wrong would count one too early, and another one would forget it too soon."""
        return now if per_minute == (None,) * len(per_minute) else self._exact()

    def _lets_in(self, one: Wanted, line: Line, me: Entrant | None, claim: Claim, since: int, now: int) -> bool:
        """Whether there is room, and nobody has waited for it for longer."""
        room = self._room(one.key, one.running, one.per_minute, line.starts, now, but=claim.row)
        if room < 1:
            return False
        if me is not None and me.stage is Stage.CALLED:
            return True
        before = [each for each in self._waiting(one.key, room + 1) if each.place < (since, claim.row)]
        if len(before) >= room:
            self.rows.look_again(line, now)
        return len(before) < room

    def _let_in(self, one: Wanted, line: Line, me: Entrant | None, claim: Claim, since: int, now: int) -> None:
        if one.running is not None:
            self._put(me, one.key, claim, Stage.HELD, since, now, most=one.running)
        elif me is not None:
            self._delete(one.key, claim.row)
        self.rows.note(line, one, now)

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
            elif each.is_gone or each.has_ended:
                self._delete(key, each.entity)
            else:
                waits = each.work is not None and each.work.is_in_line
                self._set(key, each.entity, stage=(Stage.WAITING if waits else Stage.AWAY).value)
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
                    self._set(key, each.entity, stage=Stage.AWAY.value)
        return found

    def call(self, name: str, now: int, taker: Taker | None = None) -> Called:
        """Call as many of a line as there is room for. What is lost of it with the database server is called anew.

        The first one is not called where there is a ``taker`` for it: that has its claim, and a permit of this limit.
        Nobody else comes in between then, and it is durable. Repeating it with the same taker does no harm.
        """
        try:
            return self._link.write(lambda: self._call(name, now, taker), hasty=taker is None)
        except NoLine:
            return Called([], None)

    def _call(self, name: str, now: int, taker: Taker | None) -> Called:
        line = self.rows.locked(name)
        now = self._moment(now, line.per_minute)
        taken = self._taken_before(line, taker)
        room = self._room(name, line.running, line.per_minute, line.starts, now)
        most = max(min(room, PAGE), 0)
        waiting = self._waiting(name, most + 1)
        called = waiting[:most]
        if taker is not None and taken is None and called:
            taken = self._take(line, called[0], taker, now)
            called = called[1:] if taken is not None else called
        rings = []
        for each in sorted(called, key=lambda each: each.entity):
            rung = [] if each.work is None else self._work.ring([Due(row=each.entity, work=each.work)], now)
            if rung:
                self._set(name, each.entity, stage=Stage.CALLED.value, at=now)
            rings += rung
        if len(waiting) > most or len(rings) < len(called):
            self.rows.look_soon(line, now, is_called=bool(called))
        else:
            self.rows.look_later(line, now, is_used=self._is_used(line, now))
        point("call.before", 0)
        return Called(rings, taken)

    def _taken_before(self, line: Line, taker: Taker | None) -> Taken | None:
        """Who was taken by a first try, whose COMMIT got no answer."""
        if taker is None or taker.told is None or self._work.owned_by(taker.told.row, taker.owner) is None:
            return None
        claimed = self._work.claim_here(taker.told, taker.owner, lease_until=taker.lease_until)
        return None if claimed is None else Taken(claimed, line.wanted)

    def _take(self, line: Line, first: Entrant, taker: Taker, now: int) -> Taken | None:
        """The first in line, claimed for a taker, with a permit; None where it is for others."""
        work = first.work
        if work is None or work.queue != taker.queue:
            return None
        taker.told = Due(row=first.entity, work=work).ticket
        taker.tell(first.entity, taker.owner)
        point("claim.before", first.entity)
        claimed = self._work.claim_here(taker.told, taker.owner, lease_until=taker.lease_until)
        if claimed is None or claimed.snapshot.work is None:
            return None
        claim = Due(row=first.entity, work=claimed.snapshot.work).claim
        if claim is None:
            return None
        self._let_in(line.wanted, line, first, claim, first.since, now)
        return Taken(claimed, line.wanted)

    def _is_used(self, line: Line, now: int) -> bool:
        """Whether somebody has a permit, is to come back, or has begun within the minute."""
        away = self._entrants(self._stage, (line.name, Stage.AWAY.value, PAGE))
        for each in away:
            if each.is_gone:
                self._delete(line.name, each.entity)
        return bool(
            any(not each.is_gone for each in away)
            or line.starts.count(now)
            or self._entrants(self._inside, (line.name,))
        )

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
        return Due(row=first.entity, work=work).ticket

    def of(self, entity: int) -> list[str]:
        """The limits that an entity has, or had, a permit of. One query."""
        name, mark = self._link.quoted("name"), self._link.mark
        sql = f"SELECT {name} FROM {PERMIT} WHERE {self._link.quoted('entity')} = {mark} AND stage = {mark}"
        return [str(found) for (found,) in self._link.query(sql, (entity, Stage.HELD.value))]

    def _entrant(self, key: str, entity: int) -> Entrant | None:
        """How an entity stands to a limit; what it once was in another step is forgotten."""
        found = next(self._read(self._one, (key, entity)), None)
        if found is None or not found.is_gone:
            return found
        self._delete(key, entity)
        return None

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
            self._set(key, claim.row, **values)
            return
        values = {"name": key, "entity": claim.row, **values}
        names = ", ".join(map(self._link.quoted, values))
        marks = ", ".join([self._link.mark] * len(values))
        self._link.execute(f"INSERT INTO {PERMIT} ({names}) VALUES ({marks})", tuple(values.values()))

    def _set(self, key: str, entity: int, **values: Any) -> None:
        columns = ", ".join(f"{self._link.quoted(name)} = {self._link.mark}" for name in values)
        self._link.execute(f"UPDATE {PERMIT} SET {columns} {self._mine}", (*values.values(), key, entity))

    def _delete(self, key: str, entity: int) -> None:
        self._link.execute(f"DELETE FROM {PERMIT} {self._mine}", (key, entity))
