"""The work rows: claims, leases, and what is due. Each write is a compare-and-set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from fsmflow.decision.entity import Claim, ClaimLost, Snapshot
from fsmflow.decision.work import GRACE_MS, IN_LINE, RUNS, Work, grace, hold, hurried
from fsmflow.store.alike import padded
from fsmflow.store.columns import guard_values, snapshot_of, work_of
from fsmflow.store.link import Link
from fsmflow.store.reach import Reach, within
from fsmflow.store.statements import WAKE, Statements, among
from fsmflow.store.tables import ENTITY, WORK
from fsmflow.store.writes import Gathered
from fsmflow.values import dataclass, replace

#: Of what is being run, the lease ends within this, or has ended so long ago at most.
_SOON_MS = 600_000
_LATE_MS = 60_000

_ROW: Final = 4  # where the entity's row is among the values of a claim

#: What the text of the holds says of one row: by which it is kept back, and until when; None where by none.
Parks = Callable[[str | None], tuple[int, int] | None]


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """What a doorbell in Redis says: which attempt of which entity wants to be run."""

    row: int
    epoch: int
    attempt: int
    dispatch: int


@dataclass(frozen=True, kw_only=True)
class Due:
    """A work row whose ``wake_at`` has come."""

    row: int
    work: Work

    @property
    def last_ring(self) -> tuple[Ticket, str]:
        """The ticket and the queue of the doorbell that was rung for it last."""
        return self.ticket, self.work.queue or "default"

    @property
    def ticket(self) -> Ticket:
        """What claims it, as it is now."""
        work = self.work
        return Ticket(row=self.row, epoch=work.epoch, attempt=work.attempt, dispatch=work.dispatch)

    @property
    def next_ring(self) -> tuple[Ticket, str]:
        """The ticket and the queue of its next doorbell."""
        return replace(self.ticket, dispatch=self.work.dispatch + 1), self.work.queue or "default"

    @property
    def is_doorbell(self) -> bool:
        """A job that nobody runs: what is due is to ring for it."""
        return self.work.runs and self.work.owner is None

    def at(self, wake_at: int, now: int) -> Due:
        """The same row, to be looked at at another moment, but not after a deadline that is still to come."""
        deadline = self.work.deadline
        if deadline is not None and deadline > now:
            wake_at = min(wake_at, deadline)
        return replace(self, work=replace(self.work, wake_at=wake_at))

    def after_ring(self, now: int) -> Due:
        """The same row after ``ring`` at ``now``."""
        dispatch = self.work.dispatch + 1
        return replace(self, work=replace(self.work, dispatch=dispatch, rung_at=now, wake_at=now + grace(dispatch)))

    @property
    def claim(self) -> Claim | None:
        work = self.work
        if work.owner is None:
            return None
        return Claim(row=self.row, epoch=work.epoch, attempt=work.attempt, fence=work.fence, owner=work.owner)


class Claimed(NamedTuple):
    """An entity as it was claimed, and the text of the holds in force, None where there never were any."""

    snapshot: Snapshot
    holds: str | None


class WorkRows:
    """Reads and writes of work rows. What writes several goes by row, so that two that do so cannot dead-lock."""

    def __init__(self, link: Link, statements: Statements) -> None:
        self._link, self._sql = link, statements

    def claim(self, ticket: Ticket, owner: str, *, lease_until: int) -> Claimed | None:
        """Claim an attempt for ``owner``, a token used for this claim alone; the entity as it is then, and the holds.

        None where it is done, taken, held or left. One update and one select, in one round trip where the database can;
        the commit need not be durable. Repeating it with the same token finds out whether it had been claimed.
        """
        claimed = claim_values(ticket, owner, lease_until)
        at_once = self._sql.claim_at_once
        if at_once is None:
            return claimed_of(self._link.write(lambda: self._claim([claimed])[0], hasty=True), owner)
        # A claim that is there already is found by looking, and not by claiming again.
        rows = self._link.query(at_once, claimed) or self._link.query(self._sql.load_claimed, (ticket.row,))
        return claimed_of(rows, owner)

    def claim_here(self, ticket: Ticket, owner: str, *, lease_until: int) -> Claimed | None:
        """The same in the transaction that is open."""
        return claimed_of(self._claim([claim_values(ticket, owner, lease_until)])[0], owner)

    def claim_together(self, claims: Sequence[tuple[Ticket, str]], *, lease_until: int) -> list[Claimed | None]:
        """The same for several entities, in one commit, and in one round trip where the database can. As each claim,
        it may be repeated with the same tokens after an error."""
        values = [claim_values(ticket, owner, lease_until) for ticket, owner in claims]
        in_order = sorted(range(len(claims)), key=lambda number: claims[number][0].row)
        made, at_once = [values[number] for number in in_order], self._sql.claim_at_once

        def claim() -> list[Sequence[Any]]:
            return self._claim(made) if at_once is None else self._link.send_together([(at_once, one) for one in made])

        done = self._link.again(claim) if at_once is not None else self._link.write(claim, hasty=True)
        rows = dict(zip(in_order, done, strict=True))
        if at_once is not None and (missing := [number for number in in_order if not rows[number]]):
            # A claim that is there already is found by looking, and not by claiming again.
            rows |= zip(missing, self._link.again(lambda: self._there([values[each] for each in missing])), strict=True)
        return [claimed_of(rows[number], owner) for number, (_, owner) in enumerate(claims)]

    def _claim(self, claimed: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        """A few updates, where the database can, and one select."""
        gathered = Gathered(self._link)
        for each in claimed:
            gathered.run(self._sql.claim, each)
        gathered.send()
        return self._there(claimed)

    def _there(self, claimed: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        """What there is of each, whoever has claimed it. One query."""
        among, params = self._link.dialect.among(padded([each[_ROW] for each in claimed]))
        found = {row[0]: row for row in self._link.rows(self._sql.load_all_claimed.format(among=among), params)}
        return [[found[each[_ROW]]] if each[_ROW] in found else [] for each in claimed]

    def holds(self) -> str | None:
        """The text of the holds in force; None where there never were any."""
        return next((text for (text,) in self._link.query(self._sql.holds)), None)

    def heartbeat(
        self, claim: Claim, *, lease_until: int, progress: float | None = None, durable: bool = False
    ) -> bool:
        """Renew one lease and note the progress; ``durable`` makes the claim outlive a crash of the database, too.
        False where the claim is gone."""
        params = (lease_until, lease_until, lease_until, progress, *guard_values(claim))
        return self._link.write(
            lambda: bool(self._link.execute(self._sql.heartbeat, params).rowcount == 1), hasty=not durable
        )

    def renew(self, owners: Sequence[tuple[int, str]], *, lease_until: int) -> None:
        """Renew the leases of all (entity row, owner) in one statement; one that lasts longer is left as it is."""
        if not owners:
            return
        owner = self._link.quoted("owner")
        match = " OR ".join([f"(entity = {self._link.mark} AND {owner} = {self._link.mark})"] * len(owners))
        wake = WAKE.replace("?", self._link.mark)
        mark = self._link.mark
        sql = f"UPDATE {WORK} SET lease_until = {mark}, {wake} WHERE ({match}) AND lease_until < {mark}"
        params = [lease_until, lease_until, lease_until, *(value for pair in owners for value in pair), lease_until]
        self._link.write(lambda: self._link.execute(sql, params), hasty=True)

    def release(
        self,
        claim: Claim,
        *,
        attempt: int,
        dispatch: int,
        wake_at: int,
        now: int,
        parks: Parks | None = None,
        in_line: bool = False,
    ) -> bool:
        """Give an attempt back without counting it as failed or crashed. False where the claim is gone. ``parks`` says
        what keeps it back; where nothing does any more, it is due at once. ``in_line``: it waits for a limit, and not
        beyond its deadline."""

        def release() -> None:
            # A pause leaves claimed work alone. Where one is being committed it must see that this is claimed no more,
            # so the revision grows; where one has been, the work is held now.
            self._link.execute(self._sql.touch_entity, (claim.row,))
            rows = self._link.rows(self._sql.load_row_locked, (claim.row,))
            found = snapshot_of(rows[0]) if rows else None
            if found is None or found.work is None or not claim.holds(found):
                raise ClaimLost
            parked, until = (None, wake_at) if parks is None else self._parked(parks) or (None, now)
            left = replace(found.work, owner=None, lease_until=None, rung_at=None, wake_at=until, parked=parked)
            left = replace(left, parked=IN_LINE) if in_line else left
            left = replace(hold(left, now), held=0) if found.paused else left if parked else hurried(left)
            params = (attempt, dispatch, left.wake_at, left.held, left.deadline, left.parked, *guard_values(claim))
            if self._link.execute(self._sql.release, params).rowcount != 1:
                raise ClaimLost

        try:
            self._link.write(release)
        except ClaimLost:
            return False
        return True

    def park(self, item: Due, parks: Parks) -> bool:
        """Keep back a timer that is due, where nobody has touched it since. False where nothing does so any more."""
        work = item.work

        def park() -> bool:
            found = self._parked(parks)
            if found is None:
                return False
            return bool(self._link.execute(self._sql.park, (*found, item.row, work.epoch, work.wake_at)).rowcount == 1)

        return self._link.write(park)

    def _parked(self, parks: Parks) -> tuple[int, int] | None:
        """By which hold, and until when, by the holds as they are and stay until this transaction has ended."""
        rows = self._link.rows(self._sql.holds_locked, ())
        return parks(rows[0][0] if rows else None)

    def parked_by(self, number: int, limit: int) -> list[int]:
        """Rows that a hold keeps back, by index."""
        return [int(row) for (row,) in self._link.query(self._sql.parked_by, (number, limit))]

    def let_go(self, number: int, now: int, limit: int) -> int:
        """Make due what a hold keeps back, up to so many; how many."""
        rows = self.parked_by(number, limit)

        def go() -> int:
            return sum(self._link.execute(self._sql.let_go, (now, row, number)).rowcount for row in rows)

        return int(self._link.write(go)) if rows else 0

    def parked(self, reach: Reach | None = None) -> dict[int, int]:
        """How many each hold keeps back, of those within reach. Reads as many entries of an index."""
        source, where, params = f"{WORK} w", "w.parked > 0", list[Any]()
        if reach is not None:
            term, params = within(self._link, reach)
            source, where = f"{source} JOIN {ENTITY} e ON e.id = w.entity", f"{where} AND {term}"
        sql = f"SELECT w.parked, COUNT(*) FROM {source} WHERE {where} GROUP BY w.parked"
        return {int(number): int(count) for number, count in self._link.query(sql, params)}

    def due(self, now: int, limit: int, *, doorbells: bool = True, but: Sequence[str] = ()) -> list[Due]:
        """What is due, the longest waiting first; without jobs that are only to be dispatched, if not ``doorbells``, or
        without those of the queues ``but``. Where there is more than ``limit``, what is left out may be due by
        ``Wakes.off_ms`` before the last of it."""
        if doorbells and but:
            rows = self._link.query(self._sql.due_but(len(but)), (now, now, *but, limit))
        else:
            rows = self._link.query(self._sql.due if doorbells else self._sql.due_but_doorbells, (now, now, limit))
        return sorted(_due(rows), key=lambda item: item.work.wake_at)

    def unanswered(self, limit: int) -> list[Due]:
        """The jobs that are dispatched and not claimed: of each queue the first ones, which should be claimed first. A
        query for each queue, and one more, over all work rows."""
        rows = [row for queue in self.rung_queues() for row in self._link.query(self._sql.unanswered, (queue, limit))]
        return _due(rows)

    def rung_queues(self) -> list[str]:
        """The queues of jobs that are dispatched and not claimed. One query over all work rows."""
        return [queue for (queue,) in self._link.query(self._sql.unanswered_queues)]

    def next_due_at(self, now: int) -> int | None:
        """The first moment after ``now`` at which something becomes due; the ends of leases aside."""
        off_ms = self._link.dialect.wakes.off_ms
        moment = self._link.query(self._sql.next_due, (now - off_ms, now, now, now))[0][0]
        return None if moment is None else int(moment)

    def ring(self, due: Iterable[Due], now: int) -> list[tuple[Ticket, str]]:
        """Note that these are dispatched (again), with growing grace; the tickets and queues to ring."""
        due = list(due)

        def ring() -> set[int]:
            return {item.row for item in sorted(due, key=lambda item: item.row) if self._ring(item, now)}

        rung = self._link.write(ring)
        return [item.next_ring for item in due if item.row in rung]

    def _ring(self, item: Due, now: int) -> bool:
        work = item.work
        wake_at = now + grace(work.dispatch + 1)
        params = (now, wake_at, wake_at, item.row, work.epoch, work.attempt, work.dispatch)
        return bool(self._link.execute(self._sql.ring, params).rowcount == 1)

    def postpone(self, due: Iterable[tuple[Due, int]], now: int) -> list[Due]:
        """Look at each of these again at its new ``wake_at``, or at a deadline that comes before, where nobody has
        touched it since; as they are then."""
        in_order = sorted(due, key=lambda pair: pair[0].row)
        later = [item.at(wake_at, now) for item, wake_at in in_order]

        def postpone() -> None:
            for (item, _), after in zip(in_order, later, strict=True):
                moments = (after.work.wake_at, item.row, item.work.epoch, item.work.wake_at)
                self._link.execute(self._sql.postpone, moments)

        self._link.write(postpone)
        return later

    def stick(self, item: Due, *, now: int, again_at: int, why: str) -> None:
        """What is due cannot go on: note why, and how often that was so, and try it again later. A deadline that was
        refused comes again then; what the work is due for besides is looked after now. One statement."""
        work, told = item.work, (item.work.tries + 1, why)
        params: tuple[Any, ...] = (again_at, *told, item.row, work.epoch, work.tries)
        sql = self._sql.stick
        if work.is_over(now):
            wake_at = work.lease_until if work.owner is not None else now + GRACE_MS if work.watches else now
            sql, params = self._sql.put_off, (again_at, wake_at or now, *told, item.row, work.epoch, work.deadline)
        self._link.write(lambda: self._link.execute(sql, params))

    def unstick(self, item: Due) -> None:
        """What could not go on does, and its row stays: nothing is told of it any more."""
        work = item.work
        params = (work.wake_at, 0, None, item.row, work.epoch, work.tries)
        self._link.write(lambda: self._link.execute(self._sql.stick, params))

    def leave(self, rows: Sequence[int], *, now: int, wake_at: int) -> None:
        """Look at these again at ``wake_at``, where they are due still and nobody runs them: in one statement."""
        owner, mark = self._link.quoted("owner"), self._link.mark
        wake = WAKE.replace("?", mark)
        sql = (
            f"UPDATE {WORK} SET {wake} WHERE entity IN ({', '.join([mark] * len(rows))}) AND {owner} IS NULL "
            f"AND wake_at <= {mark}"
        )
        self._link.write(lambda: self._link.execute(sql, (wake_at, wake_at, *sorted(rows), now)), hasty=True)

    def wake_rung(self, now: int, queues: Sequence[str] | None = None) -> int:
        """Make every job due, of these queues (None: of all), whose doorbell Redis should have: it has lost them. How
        many."""
        sql, params = self._sql.wake_rung, tuple[Any, ...]((now,))
        if queues is not None:
            sql += f" AND COALESCE(queue, 'default') IN ({', '.join([self._link.mark] * len(queues)) or 'NULL'})"
            params = (now, *queues)
        return self._link.write(lambda: int(self._link.execute(sql, params).rowcount))

    def active(self, now: int, queues: Sequence[str] | None = None) -> int:
        """How many rows are being run, are dispatched, or are due; of jobs, those on ``queues`` (None: on any)."""
        owner, mark = self._link.quoted("owner"), self._link.mark
        sql = (
            f"SELECT COUNT(*) FROM {WORK} WHERE ({owner} IS NOT NULL OR wake_at <= {mark} "
            f"OR (rung_at IS NOT NULL AND held IS NULL))"
        )
        if queues is not None:
            sql += f" AND (kind NOT {among(RUNS)} OR queue IN ({', '.join([mark] * len(queues)) or 'NULL'}))"
        return int(self._link.query(sql, (now, *(queues or ())))[0][0])

    def running(self, now: int, most: int) -> list[int]:
        """The rows of entities whose attempts are being run, those whose lease ends first at the head. One query, by
        index; those that hold their lease for longer than ten minutes, as a transactional job may, are left out."""
        since, until, off_ms = now - _LATE_MS, now + _SOON_MS, self._link.dialect.wakes.off_ms
        rows = self._link.look(self._sql.claimed_between, (since - off_ms - 1, until, until, since, most))
        return [int(row) for _, row in sorted(rows)]

    def live(self, owners: Sequence[tuple[int, str]]) -> set[tuple[int, str]]:
        """Those of (entity row, owner) whose claims have not been taken away. One query."""
        if not owners:
            return set()
        owner, mark = self._link.quoted("owner"), self._link.mark
        sql = f"SELECT entity, {owner} FROM {WORK} WHERE entity IN ({', '.join([mark] * len(owners))})"
        found = {(int(row), str(held)) for row, held in self._link.query(sql, [row for row, _ in owners])}
        return found & set(owners)

    def owned_by(self, row: int, owner: str) -> Claim | None:
        """The live claim of a token on an entity, if it is still there."""
        rows = self._link.query(self._sql.load_row, (row,))
        work = snapshot_of(rows[0]).work if rows else None
        return None if work is None or work.owner != owner else Due(row=row, work=work).claim


def claim_values(ticket: Ticket, owner: str, lease_until: int) -> Sequence[Any]:
    """What the statement of a claim asks for."""
    return owner, lease_until, lease_until, lease_until, ticket.row, ticket.epoch, ticket.attempt


def claimed_of(rows: Sequence[Any], owner: str) -> Claimed | None:
    """What a claim has found; None where another one has the attempt, or it is over."""
    snapshot = snapshot_of(rows[0]) if rows else None
    if snapshot is None or snapshot.work is None or snapshot.work.owner != owner:
        return None
    return Claimed(snapshot, rows[0][-1])


def _due(rows: Iterable[Any]) -> list[Due]:
    found = ((row[0], work_of(row[1:])) for row in rows)
    return [Due(row=row, work=work) for row, work in found if work is not None]


def ticket_of(snapshot: Snapshot) -> tuple[Ticket, str] | None:
    """The ticket and the queue of the job that an entity waits to be dispatched for; None where it has none."""
    work = snapshot.work
    if work is None or work.queue is None or work.rung_at is None or work.owner is not None:
        return None
    return Due(row=snapshot.row, work=work).ticket, work.queue
