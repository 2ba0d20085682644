"""Doorbells in Redis, brought back in line with SQL: what Redis has lost is rung again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeVar

from fsmflow import clock, log
from fsmflow.decision.work import GRACE_MS
from fsmflow.dispatch.client import REDIS_ERRORS
from fsmflow.dispatch.doorbell import Doorbell
from fsmflow.dispatch.listeners import supervisors
from fsmflow.dispatch.servers import LEFT, LEFT_S
from fsmflow.engine.runtime import Runtime
from fsmflow.points import point
from fsmflow.running.maintenance.row import LOCKED_MS
from fsmflow.running.outage import REDIS, Outage
from fsmflow.store.tables import MARKED
from fsmflow.store.work import Due

#: How far the clocks of hosts may be apart before a doorbell that is only queued is taken for lost.
_SKEW_MS: Final = 1_000
_MAX_LEFT_ALONE_MS: Final = 120_000
#: Rows that are rung in one transaction: few, as each is locked until it ends.
_BATCH: Final = 20
#: So many of each queue are looked at for one that a dead worker has left behind: it is among the first ones.
_SEARCHED: Final = 100

Told = TypeVar("Told")


class _Server:
    """A Redis server, as one sweeper sees it. ``queues``: those on it that this one's workers listen on."""

    def __init__(self, doorbell: Doorbell, queues: Sequence[str], *, is_alone: bool) -> None:
        self.doorbell = doorbell
        self.queues = queues
        self.is_there = True
        self.has_looked = False
        #: Those that were met as it was away.
        self.met: set[str] = set()
        self._is_alone = is_alone
        self._outage = Outage(REDIS)
        self._again_at = float("-inf")

    def told(self, ask: Callable[[], Told], otherwise: Told) -> Told:
        """What it has answered; its connection is dropped where it has not. One of several that takes its time to fail
        is left alone for a while: the others have their turn."""
        began_s = clock.monotonic()
        if began_s < self._again_at:
            return otherwise
        try:
            told = ask()
        except REDIS_ERRORS as error:
            self._outage.met(error)
            self.is_there = False
            self.doorbell.forget()
            if not self._is_alone:
                self._again_at = began_s + min((clock.monotonic() - began_s) * LEFT, LEFT_S)
            return otherwise
        self._outage.over()
        self.is_there = True
        self.met.clear()
        return told

    def answers(self, ask: Callable[[], None]) -> bool:
        """Whether it has answered."""

        def asked() -> bool:
            ask()
            return True

        return self.told(asked, otherwise=False)

    def announce(self, name: str, *, listens: bool) -> None:
        """Tell who is there, or only that it is to answer. Raises REDIS_ERRORS."""
        self.doorbell.announce(self.queues if listens else ())
        if name:
            self.doorbell.appear(name)

    def withdraw(self, name: str) -> None:
        """Tell that nobody here listens any more; the server may be gone itself."""
        try:
            if self.queues:
                self.doorbell.withdraw(self.queues)
            if name:
                self.doorbell.disappear(name)
        except REDIS_ERRORS as error:
            self._outage.met(error)


class Doorbells:
    """The doorbells of some queues, as one sweeper sees them. ``name``: of the supervisor that it belongs to.

    They are on one Redis server, or on several. One that is away keeps nothing back but what is on it.
    """

    def __init__(self, runtime: Runtime, queues: Iterable[str], name: str = "") -> None:
        self._runtime = runtime
        self._name = name
        names = tuple(queues)
        servers = runtime.doorbell.servers
        self._servers = [
            _Server(each, [queue for queue in names if runtime.doorbell.at(queue) is each], is_alone=len(servers) == 1)
            for each in servers
        ]
        self._listens = True
        self._neighbours = 1

    def _at(self, queue: str | None) -> _Server:
        doorbell = self._runtime.doorbell.at(queue or "default")
        return next(server for server in self._servers if server.doorbell is doorbell)

    @property
    def away(self) -> list[str]:
        """Queues of which jobs are due, and that are on servers which do not answer."""
        return sorted(queue for server in self._servers if not server.is_there for queue in server.met)

    def look_at_redis(self) -> bool:
        """Whether Redis is there, one server of it at least; each is then told who listens."""
        for server in self._servers:
            name = self._name if self._is_met_at(server) else ""
            server.answers(partial(server.announce, name, listens=self._listens))
        return self._is_there

    def _is_met_at(self, server: _Server) -> bool:
        """Whether others find this one there: at the first server they all do."""
        return bool(server.queues) or server is self._servers[0]

    def listen(self, *, listens: bool) -> None:
        """Whether workers here take jobs: where they take none any more, that is told at once."""
        before, self._listens = self._listens, listens
        if before and not listens:
            for server in self._servers:
                if server.queues:
                    server.answers(partial(server.doorbell.withdraw, server.queues))

    def neighbours(self) -> int:
        """How many supervisors there are, as was known last where Redis does not tell."""
        first = self._servers[0].doorbell

        def count() -> None:
            self._neighbours = supervisors(first.client(), first.installation)

        self._servers[0].answers(count)
        return self._neighbours

    def bring_back(self) -> bool:
        """Where Redis has lost what it had, make all jobs due that it should have. Whether any of it is there."""
        for server in self._servers:
            if server.is_there:
                server.answers(partial(self._bring_back, server))
        return self._is_there

    def _bring_back(self, server: _Server) -> None:
        is_first, server.has_looked = not server.has_looked, True
        if server.doorbell.has_marker():
            return
        point("flush.before", 0)
        meta = self._runtime.store.meta
        is_new = not meta.get([MARKED])
        queues = self._empty_on(server) if is_new else self._those_on(server)
        count = self._runtime.store.work.wake_rung(self._runtime.now(), queues)
        if count:
            # Whoever starts finds it empty as a rule: it is new, or the embedded one has ended since.
            log.redis_was_empty(count, logging.DEBUG if is_first else logging.WARNING)
        if is_new:
            meta.add(MARKED, "1")  # a crash before the marker is set has all rung for anew, which does no harm
        point("flush.after", 0)
        server.doorbell.set_marker()

    def _empty_on(self, server: _Server) -> list[str]:
        """The queues with dispatched jobs that hold none. No worker has ever begun where this is asked: what is queued
        was put there by clients, and nobody has taken any."""
        queues = self._those_on(server)
        if queues is None:
            queues = sorted({*self._runtime.store.work.rung_queues(), "default"})
        return [queue for queue, oldest in server.doorbell.oldest(queues).items() if oldest is None]

    def _those_on(self, server: _Server) -> list[str] | None:
        """The queues with dispatched jobs that are on a server; None for all, where there is no other."""
        if len(self._servers) == 1:
            return None
        rung = {*self._runtime.store.work.rung_queues(), "default"}
        return sorted(queue for queue in rung if self._at(queue) is server)

    def withdraw(self) -> None:
        """Tell that nobody here listens any more; Redis may be gone itself."""
        for server in self._servers:
            server.withdraw(self._name)

    def ring(self, due: list[Due], now: int) -> bool:
        """Ring for what is not queued any more. Whether Redis is there, one server of it at least."""
        for server, items in self._by_server(due):
            self._ring_on(server, items, now)
        return self._is_there

    @property
    def _is_there(self) -> bool:
        return any(server.is_there for server in self._servers)

    def _by_server(self, due: Iterable[Due]) -> list[tuple[_Server, list[Due]]]:
        split: dict[_Server, list[Due]] = {}
        for item in due:
            split.setdefault(self._at(item.work.queue), []).append(item)
        return list(split.items())

    def _ring_on(self, server: _Server, due: list[Due], now: int) -> None:
        queues = {item.work.queue or "default" for item in due}
        heads = server.told(partial(server.doorbell.oldest, queues), otherwise=None)
        if heads is None:
            server.met |= queues
            return
        queued = [item for item in due if _is_queued(item, heads)]
        if queued:
            left_alone_ms = min(_left_alone_ms(item, now) for item in queued)
            self._runtime.store.work.leave([item.row for item in queued], now=now, wake_at=now + left_alone_ms)
        waiting = {item.row for item in queued}
        self._ring_all(server, [item for item in due if item.row not in waiting], now)

    def ring_for_dead(self, dead: Sequence[str]) -> None:
        """Ring anew for what workers have left behind that are gone: doorbells that they had taken and not answered,
        and those that they had to ring. ``dead``: how their names begin.

        What is not found here, as Redis is away or far too much waits, is rung once its grace is over.
        """
        for server, unanswered in self._by_server(self._runtime.store.work.unanswered(_SEARCHED)):
            rings = [item.last_ring for item in unanswered]
            rows = server.told(partial(server.doorbell.astray, rings, dead), otherwise=set[int]())
            self._ring_all(server, [item for item in unanswered if item.row in rows], self._runtime.now())

    def absent(self, process: str) -> None:
        """Tell that a worker process has ended; what is told of it ends by itself where Redis is away."""
        for server in self._servers:
            server.answers(partial(server.doorbell.absent, process))

    def ring_for_gone(self) -> bool:
        """The same for supervisors of which nothing was heard for some seconds. Whether Redis is there."""
        there = [server for server in self._servers if server.is_there]
        gone = {name for server in there for name in server.told(server.doorbell.gone, otherwise=list[str]())}
        if gone:
            self.ring_for_dead([f"{name}." for name in sorted(gone)])
        return self._is_there

    def _ring_all(self, server: _Server, lost: list[Due], now: int) -> None:
        for start in range(0, len(lost), _BATCH):
            batch = lost[start : start + _BATCH]
            if not server.is_there:
                server.met |= {item.work.queue or "default" for item in batch}
            else:
                self._ring_now(server, batch, now)

    def ring_again(self, row: int) -> None:
        """Ring anew for a job whose doorbell was taken by somebody who has not claimed it, and is gone."""
        snapshot = self._runtime.store.entities.load_row(row)
        work = snapshot.work if snapshot else None
        if work is not None and work.runs and work.owner is None and work.rung_at is not None:
            self._ring_now(self._at(work.queue), [Due(row=row, work=work)], self._runtime.now())

    def _ring_now(self, server: _Server, due: list[Due], now: int) -> None:
        rings = self._runtime.store.work.ring(due, now)
        point("ring.noted", due[0].row)
        again = {item.row for item in due if item.work.rung_at is not None or item.work.dispatch}
        for ticket, queue in rings:
            if ticket.row in again:
                self._runtime.counting.rung_again(queue)
        if server.doorbell.ring(rings, insist=True):
            return
        server.is_there = False
        rung = {ticket.row for ticket, _ in rings}
        left = [item.after_ring(now) for item in due if item.row in rung]
        self._runtime.store.work.postpone([(item, now + LOCKED_MS) for item in left], now)


def _left_alone_ms(item: Due, now: int) -> int:
    """How long a doorbell that is still queued is left alone: the longer, the longer it has been."""
    return min(max(now - (item.work.rung_at or now), GRACE_MS), _MAX_LEFT_ALONE_MS)


def _is_queued(item: Due, heads: dict[str, int | None]) -> bool:
    """Whether the doorbell is still in its queue: first in, first out, so nothing younger stands at its head."""
    rung_at, head = item.work.rung_at, heads.get(item.work.queue or "default")
    return rung_at is not None and head is not None and head <= rung_at + _SKEW_MS
