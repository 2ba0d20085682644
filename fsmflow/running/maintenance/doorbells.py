"""Doorbells in Redis, brought back in line with SQL: what Redis has lost is rung again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from fsmflow import log
from fsmflow.decision.work import GRACE_MS
from fsmflow.dispatch.client import REDIS_ERRORS
from fsmflow.dispatch.listeners import supervisors
from fsmflow.engine.runtime import Runtime
from fsmflow.points import point
from fsmflow.running.maintenance.row import LOCKED_MS
from fsmflow.running.outage import REDIS, Outage
from fsmflow.store.work import Due

#: How far the clocks of hosts may be apart before a doorbell that is only queued is taken for lost.
_SKEW_MS: Final = 1_000
_MAX_LEFT_ALONE_MS: Final = 120_000
#: Rows that are rung in one transaction: few, as each is locked until it ends.
_BATCH: Final = 20
#: So many of each queue are looked at for one that a dead worker has left behind: it is among the first ones.
_SEARCHED: Final = 100


class Doorbells:
    """The doorbells of some queues, as one sweeper sees them. ``name``: of the supervisor that it belongs to."""

    def __init__(self, runtime: Runtime, queues: Iterable[str], name: str = "") -> None:
        self._runtime = runtime
        self._name = name
        self._queues = tuple(queues)
        self._redis_is_there = True
        self._outage = Outage(REDIS)
        self._has_looked = False
        self._listens = True
        self._neighbours = 1

    def look_at_redis(self) -> bool:
        """Whether Redis is there; it is then told who listens."""
        return self._answers(self._announce)

    def listen(self, *, listens: bool) -> None:
        """Whether workers here take jobs: where they take none any more, that is told at once."""
        before, self._listens = self._listens, listens
        if before and not listens:
            self._answers(lambda: self._runtime.doorbell.withdraw(self._queues))

    def _announce(self) -> None:
        if self._listens:
            self._runtime.doorbell.announce(self._queues)
        if self._name:
            self._runtime.doorbell.appear(self._name)

    def neighbours(self) -> int:
        """How many supervisors there are, as was known last where Redis does not tell."""

        def count() -> None:
            self._neighbours = supervisors(self._runtime.doorbell.client(), self._runtime.doorbell.installation)

        self._answers(count)
        return self._neighbours

    def bring_back(self) -> bool:
        """Where Redis has lost what it had, make all jobs due that it should have. Whether it is there."""
        return self._answers(self._bring_back)

    def _bring_back(self) -> None:
        doorbell = self._runtime.doorbell
        is_first, self._has_looked = not self._has_looked, True
        if doorbell.has_marker():
            return
        point("flush.before", 0)
        count = self._runtime.store.work.wake_rung(self._runtime.now())
        if count:
            # Whoever starts finds it empty as a rule: it is new, or the embedded one has ended since.
            log.redis_was_empty(count, logging.DEBUG if is_first else logging.WARNING)
        point("flush.after", 0)
        doorbell.set_marker()

    def _answers(self, ask: Callable[[], None]) -> bool:
        try:
            ask()
        except REDIS_ERRORS as error:
            self._outage.met(error)
            self._redis_is_there = False
            self._runtime.doorbell.forget()
            return False
        self._outage.over()
        self._redis_is_there = True
        return True

    def withdraw(self) -> None:
        """Tell that nobody here listens any more; Redis may be gone itself."""
        try:
            self._runtime.doorbell.withdraw(self._queues)
            if self._name:
                self._runtime.doorbell.disappear(self._name)
        except REDIS_ERRORS as error:
            self._outage.met(error)

    def ring(self, due: list[Due], now: int) -> bool:
        """Ring for what is not queued any more. Whether Redis was there."""
        if not due:
            return True
        try:
            heads = self._runtime.doorbell.oldest({item.work.queue or "default" for item in due})
        except REDIS_ERRORS as error:
            self._outage.met(error)
            return False
        queued = [item for item in due if _is_queued(item, heads)]
        if queued:
            left_alone_ms = min(_left_alone_ms(item, now) for item in queued)
            self._runtime.store.work.leave([item.row for item in queued], now=now, wake_at=now + left_alone_ms)
        waiting = {item.row for item in queued}
        return self._ring_all([item for item in due if item.row not in waiting], now)

    def ring_for_dead(self, dead: Sequence[str]) -> None:
        """Ring anew for what workers have left behind that are gone: doorbells that they had taken and not answered,
        and those that they had to ring. ``dead``: how their names begin.

        What is not found here, as Redis is away or far too much waits, is rung once its grace is over.
        """
        unanswered = self._runtime.store.work.unanswered(_SEARCHED)
        try:
            rows = self._runtime.doorbell.astray([item.last_ring for item in unanswered], dead)
        except REDIS_ERRORS as error:
            self._outage.met(error)
            return
        self._ring_all([item for item in unanswered if item.row in rows], self._runtime.now())

    def absent(self, process: str) -> None:
        """Tell that a worker process has ended; what is told of it ends by itself where Redis is away."""
        self._answers(lambda: self._runtime.doorbell.absent(process))

    def ring_for_gone(self) -> bool:
        """The same for supervisors of which nothing was heard for some seconds. Whether Redis is there."""
        gone: list[str] = []
        if self._answers(lambda: gone.extend(self._runtime.doorbell.gone())) and gone:
            self.ring_for_dead([f"{name}." for name in gone])
        return self._redis_is_there

    def _ring_all(self, lost: list[Due], now: int) -> bool:
        batches = [lost[start : start + _BATCH] for start in range(0, len(lost), _BATCH)]
        rung = [self._ring_now(batch, now) for batch in batches]
        return all(rung)

    def ring_again(self, row: int) -> None:
        """Ring anew for a job whose doorbell was taken by somebody who has not claimed it, and is gone."""
        snapshot = self._runtime.store.entities.load_row(row)
        work = snapshot.work if snapshot else None
        if work is not None and work.runs and work.owner is None and work.rung_at is not None:
            self._ring_now([Due(row=row, work=work)], self._runtime.now())

    def _ring_now(self, due: list[Due], now: int) -> bool:
        rings = self._runtime.store.work.ring(due, now)
        point("ring.noted", due[0].row)
        again = {item.row for item in due if item.work.rung_at is not None or item.work.dispatch}
        for ticket, queue in rings:
            if ticket.row in again:
                self._runtime.counting.rung_again(queue)
        if self._runtime.doorbell.ring(rings, insist=True):
            return True
        rung = {ticket.row for ticket, _ in rings}
        left = [item.after_ring(now) for item in due if item.row in rung]
        self._runtime.store.work.postpone([(item, now + LOCKED_MS) for item in left], now)
        return False


def _left_alone_ms(item: Due, now: int) -> int:
    """How long a doorbell that is still queued is left alone: the longer, the longer it has been."""
    return min(max(now - (item.work.rung_at or now), GRACE_MS), _MAX_LEFT_ALONE_MS)


def _is_queued(item: Due, heads: dict[str, int | None]) -> bool:
    """Whether the doorbell is still in its queue: first in, first out, so nothing younger stands at its head."""
    rung_at, head = item.work.rung_at, heads.get(item.work.queue or "default")
    return rung_at is not None and head is not None and head <= rung_at + _SKEW_MS
