"""What there is to do, counted: due, waiting, running, kept back. Read from the end of an index that comes first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fsmflow.decision.work import FAR_FUTURE_MS, RUNS
from fsmflow.store.link import Link
from fsmflow.store.statements import among
from fsmflow.store.tables import ENTITY, WORK
from fsmflow.values import dataclass

#: So many work rows are read at most, those that are due first.
MOST: Final = 20_000
#: What is dispatched or running has to be looked after within this time.
NEAR_MS: Final = 150_000

#: A job that waits for a worker; one that waits for its time; one that runs; what waits for its time, and whose time
#: has come; what a hold keeps back; a job that waits for a limit; what a pause does.
DUE: Final = "due"
WAITING: Final = "waiting"
RUNNING: Final = "running"
TIMER: Final = "timer"
TIMER_DUE: Final = "timer due"
PARKED: Final = "parked"
IN_LINE: Final = "in line"
HELD: Final = "held"


@dataclass(frozen=True, kw_only=True)
class Heap:
    """Work that stands alike. ``since``: since when the oldest of it does, in milliseconds, where that is known."""

    standing: str
    queue: str | None
    count: int
    since: int | None


@dataclass(frozen=True, kw_only=True)
class Running:
    """Attempts that are being run. A branch stands in the state that fans out."""

    machine: str
    state: str
    queue: str
    count: int


class Backlog:
    """Counts work rows. Each is one query, whatever there is: it reads at most ``MOST`` rows of an index."""

    def __init__(self, link: Link) -> None:
        self._link = link
        owner, mark = link.quoted("owner"), link.mark
        key = link.dialect.wakes.column
        columns = f"kind, queue, {owner} AS holder, rung_at, parked, held, wake_at, {key} AS place"
        self._standing = (
            f"CASE WHEN holder IS NOT NULL THEN '{RUNNING}' WHEN parked < 0 THEN '{IN_LINE}' "
            f"WHEN parked IS NOT NULL THEN '{PARKED}' "
            f"WHEN held IS NOT NULL THEN '{HELD}' "
            f"WHEN kind {among(RUNS)} THEN CASE WHEN rung_at IS NOT NULL OR wake_at <= {mark} THEN '{DUE}' "
            f"ELSE '{WAITING}' END WHEN wake_at <= {mark} THEN '{TIMER_DUE}' ELSE '{TIMER}' END"
        )
        since = "MIN(CASE WHEN rung_at < wake_at THEN rung_at ELSE wake_at END)"
        numbers = f"COUNT(*), {since}, MAX(place)"
        first = f"SELECT {columns} FROM {WORK} WHERE {key} {{range}} ORDER BY {key} LIMIT {MOST}"
        self._sql = f"SELECT standing, queue, {numbers} FROM (SELECT {self._standing} AS standing, queue, rung_at, "
        self._sql += f"wake_at, place FROM ({first}) counted) found GROUP BY standing, queue"
        where = "COALESCE(e.branch_of, e.state)"
        named = f"{link.quoted('entity')} AS row_of, queue, {owner} AS holder"
        first = f"SELECT {named} FROM {WORK} WHERE {key} <= {mark} ORDER BY {key} LIMIT {MOST}"
        held = f"SELECT row_of, queue FROM ({first}) counted WHERE holder IS NOT NULL"
        self._running = (
            f"SELECT e.machine, {where}, w.queue, COUNT(*) FROM ({held}) w JOIN {ENTITY} e ON e.id = w.row_of "
            f"GROUP BY e.machine, {where}, w.queue"
        )

    def look(self, now: int) -> tuple[list[Heap], bool]:
        """All of it at the moment ``now``; and whether more is due than was read, so that the numbers are at least
        these. Two queries."""
        soon = self._look(f"< {FAR_FUTURE_MS}", now)
        later = self._look(f">= {FAR_FUTURE_MS}", now)
        is_cut = sum(row[2] for row in soon) == MOST and max(row[4] for row in soon) <= now + NEAR_MS
        return [_heap(row) for row in (*soon, *later)], is_cut

    def _look(self, range_: str, now: int) -> list[Sequence[Any]]:
        rows = self._link.look(self._sql.replace("{range}", range_), (now, now))
        return [(row[0], row[1], int(row[2]), *row[3:]) for row in rows]

    def running(self, now: int) -> list[Running]:
        """The attempts that are being run, of those that are looked after first. One query."""
        rows = self._link.look(self._running, (now + NEAR_MS,))
        return [
            Running(machine=str(machine), state=str(state), queue=str(queue or "default"), count=int(count))
            for machine, state, queue, count in rows
        ]


def _heap(row: Sequence[Any]) -> Heap:
    standing, queue, count, since, _ = row
    return Heap(
        standing=str(standing),
        queue=None if queue is None else str(queue),
        count=count,
        since=None if since is None or int(since) >= FAR_FUTURE_MS else int(since),
    )
