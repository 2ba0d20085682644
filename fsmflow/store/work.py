"""The work rows: claims, leases, and what is due. Each write is a compare-and-set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fsmflow.decision.records import GRACE_MS, Claim, Snapshot, Work
from fsmflow.store.entities import guard_values
from fsmflow.store.link import Link
from fsmflow.store.schema import WORK
from fsmflow.store.statements import Statements, snapshot_of, work_of

MAX_GRACE_MS = 60_000


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
    def ticket(self) -> Ticket:
        return Ticket(row=self.row, epoch=self.work.epoch, attempt=self.work.attempt, dispatch=self.work.dispatch)

    @property
    def claim(self) -> Claim | None:
        work = self.work
        if work.owner is None:
            return None
        return Claim(row=self.row, epoch=work.epoch, attempt=work.attempt, fence=work.fence, owner=work.owner)


class WorkRows:
    """Reads and writes of work rows."""

    def __init__(self, link: Link, statements: Statements) -> None:
        self._link = link
        self._sql = statements

    def claim(self, ticket: Ticket, owner: str, *, lease_until: int) -> Snapshot | None:
        """Claim an attempt for ``owner``, a token used for this claim alone; the entity as it is then.

        None where the attempt is done, taken, held or left. One update, one select; the commit need not be durable.
        Repeating it with the same token after an error finds out whether it had been claimed.
        """
        with self._link.understandable(), self._link.hasty_transaction():
            self._link.execute(
                self._sql.claim, (owner, lease_until, lease_until, ticket.row, ticket.epoch, ticket.attempt)
            )
            rows = self._link.rows(self._sql.load_row, (ticket.row,))
        snapshot = snapshot_of(rows[0]) if rows else None
        mine = snapshot is not None and snapshot.work is not None and snapshot.work.owner == owner
        return snapshot if mine else None

    def heartbeat(self, claim: Claim, *, lease_until: int, progress: float | None) -> bool:
        """Renew one lease and note the progress. False where the claim is gone."""
        with self._link.understandable(), self._link.hasty_transaction():
            cursor = self._link.execute(self._sql.heartbeat, (lease_until, lease_until, progress, *guard_values(claim)))
            return bool(cursor.rowcount == 1)

    def renew(self, owners: Sequence[tuple[int, str]], *, lease_until: int) -> None:
        """Renew the leases of all (entity row, owner) in one statement."""
        if not owners:
            return
        owner = self._link.quoted("owner")
        match = " OR ".join([f"(entity = {self._link.mark} AND {owner} = {self._link.mark})"] * len(owners))
        sql = f"UPDATE {WORK} SET lease_until = {self._link.mark}, wake_at = {self._link.mark} WHERE {match}"
        params = [lease_until, lease_until, *(value for pair in owners for value in pair)]
        with self._link.understandable(), self._link.hasty_transaction():
            self._link.execute(sql, params)

    def let_go(self, claim: Claim, *, attempt: int, dispatch: int, wake_at: int) -> bool:
        """Give an attempt back without counting it as failed or crashed. False where the claim is gone."""
        with self._link.understandable(), self._link.transaction():
            cursor = self._link.execute(self._sql.let_go, (attempt, dispatch, wake_at, *guard_values(claim)))
            return bool(cursor.rowcount == 1)

    def due(self, now: int, limit: int) -> list[Due]:
        """What is due, the longest waiting first."""
        rows = self._link.query(self._sql.due, (now, limit))
        found = ((row[0], work_of(row[1:])) for row in rows)
        return [Due(row=row, work=work) for row, work in found if work is not None]

    def ring(self, due: Iterable[Due], now: int) -> list[tuple[Ticket, str]]:
        """Note that these are dispatched (again), with growing grace; the tickets and queues to ring."""
        rung = []
        with self._link.understandable(), self._link.transaction():
            for item in due:
                work = item.work
                params = (now, now + grace(work.dispatch + 1), item.row, work.epoch, work.attempt, work.dispatch)
                if self._link.execute(self._sql.ring, params).rowcount == 1:
                    ticket = Ticket(row=item.row, epoch=work.epoch, attempt=work.attempt, dispatch=work.dispatch + 1)
                    rung.append((ticket, work.queue or "default"))
        return rung

    def postpone(self, due: Iterable[Due], wake_at: int) -> None:
        """Look at these again at ``wake_at``, where nobody has touched them since."""
        with self._link.understandable(), self._link.transaction():
            for item in due:
                self._link.execute(self._sql.postpone, (wake_at, item.row, item.work.epoch, item.work.wake_at))

    def wake_rung(self, now: int) -> int:
        """Make every job due whose doorbell Redis should have: it has lost them. How many."""
        with self._link.understandable(), self._link.transaction():
            return int(self._link.execute(self._sql.wake_rung, (now, now)).rowcount)

    def active(self, now: int) -> int:
        """How many rows are being run, are dispatched, or are due."""
        owner, mark = self._link.quoted("owner"), self._link.mark
        sql = (
            f"SELECT COUNT(*) FROM {WORK} WHERE {owner} IS NOT NULL OR wake_at <= {mark} "
            f"OR (rung_at IS NOT NULL AND held IS NULL)"
        )
        return int(self._link.query(sql, (now,))[0][0])

    def owned_by(self, row: int, owner: str) -> Claim | None:
        """The live claim of a token on an entity, if it is still there."""
        rows = self._link.query(self._sql.load_row, (row,))
        work = snapshot_of(rows[0]).work if rows else None
        if work is None or work.owner != owner:
            return None
        return Claim(row=row, epoch=work.epoch, attempt=work.attempt, fence=work.fence, owner=owner)


def grace(dispatch: int) -> int:
    """How long the ``dispatch``-th doorbell may take to be answered, in milliseconds."""
    return int(min(GRACE_MS * 2 ** min(dispatch, 10), MAX_GRACE_MS))
