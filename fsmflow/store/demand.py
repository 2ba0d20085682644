"""How much there is for the workers of some queues: what a scaler goes by, which starts and ends workers."""

from __future__ import annotations

from collections.abc import Sequence

from fsmflow.decision.work import RUNS
from fsmflow.store.backlog import NEAR_MS
from fsmflow.store.link import Link
from fsmflow.store.statements import among
from fsmflow.store.tables import EVENT, WORK
from fsmflow.values import dataclass


@dataclass(frozen=True, kw_only=True)
class Demand:
    """``due``: jobs that wait for a worker; ``running``: attempts that run, or whose worker is gone; ``timers``: timers
    and messages that are due, and joins. Any worker looks after those."""

    due: int
    running: int
    timers: int

    @property
    def wanted(self) -> int:
        """All of it: none needs no worker."""
        return self.due + self.running + self.timers


def demand_on(link: Link, queues: Sequence[str], now: int) -> Demand:
    """What there is at the moment ``now`` for those who listen on these queues. Two queries, each by the part of an
    index that is due, or is run."""
    owner, mark = link.quoted("owner"), link.mark
    runs, named = f"kind {among(RUNS)}", ", ".join([mark] * len(queues))
    counts = (
        f"COUNT(CASE WHEN {owner} IS NULL AND {runs} THEN 1 END), COUNT({owner}), "
        f"COUNT(CASE WHEN {owner} IS NULL AND NOT {runs} THEN 1 END)"
    )
    ((due, running, timers),) = link.look(
        f"SELECT {counts} FROM {WORK} WHERE {link.dialect.wakes.until(mark)} "
        f"AND (wake_at <= {mark} OR {owner} IS NOT NULL OR rung_at IS NOT NULL) AND (NOT {runs} OR queue IN ({named}))",
        (now + NEAR_MS, now + NEAR_MS, now, *queues),
    )
    ((messages,),) = link.look(f"SELECT COUNT(*) FROM {EVENT} WHERE due_at BETWEEN 1 AND {mark}", (now,))
    return Demand(due=int(due), running=int(running), timers=int(timers) + int(messages))
