"""A bench that runs the steps of machines in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import redis

import fsmflow
from fsmflow import Machine, settings
from fsmflow.engine import runtime as runtime_of
from fsmflow.engine.runtime import Runtime
from fsmflow.running.executor import Executor
from fsmflow.running.maintenance.sweep import Maintenance
from fsmflow.settings import Settings
from fsmflow.store.store import create_store
from fsmflow.store.work import Ticket
from tests.support.machines import Counter, Order, play


class FixedClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: int) -> None:
        self.ms = now

    def now(self) -> int:
        return self.ms

    def exact(self) -> int:
        return self.ms


class Bench:
    """fsmflow configured in this process: doorbells are answered, and time passes, where the test says so."""

    def __init__(
        self, redis_url: str, *, machines: tuple[type[Machine], ...] = (Order, Counter), **database: Any
    ) -> None:
        wanted = Settings(**database, redis_url=redis_url, machines=machines)
        create_store(wanted).link.forget_connection()
        fsmflow.configure(**database, redis_url=redis_url, machines=machines)
        self.runtime: Runtime = runtime_of.current()
        self.clock = FixedClock(self.runtime.store.link.now())
        self.runtime.store.clock = self.clock  # type: ignore[assignment]
        self.runtime.doorbell._now = self.clock.now
        self.runtime.doorbell.set_marker()
        self.redis = redis.Redis.from_url(redis_url)

    def queue_key(self, queue: str = "default") -> str:
        """Where RQ keeps a queue."""
        return f"rq:queue:{self.runtime.doorbell.rq_queue(queue)}"

    def queued(self, queue: str = "default") -> list[Ticket]:
        """The tickets whose doorbells wait in a queue."""
        ids: Any = self.redis.lrange(self.queue_key(queue), 0, -1)
        return [_ticket(id_.decode()) for id_ in ids]

    def take(self, queue: str = "default") -> Ticket:
        """Take the first doorbell of a queue, as a worker does."""
        id_: Any = self.redis.lpop(self.queue_key(queue))
        assert id_ is not None, f"no doorbell in queue {queue!r}"
        self.redis.delete(f"rq:job:{id_.decode()}")
        return _ticket(id_.decode())

    def execute(self, ticket: Ticket) -> None:
        """Run one attempt and ring for what follows, as a worker does."""
        self.runtime.ring_for(Executor(self.runtime).execute(ticket))

    def step(self, queue: str = "default") -> None:
        """Answer the first doorbell of a queue."""
        self.execute(self.take(queue))

    def advance(self, seconds: float) -> None:
        """Let time pass, and do what is due then."""
        self.clock.ms += round(seconds * 1000)
        self.sweep()

    def sweep(self) -> int:
        """Look after what is due, as one that has seen the database answer for long, and takes it for its turn."""
        maintenance = Maintenance(self.runtime, ("default", "slow"))
        maintenance._losses.answers_since = float("-inf")
        return maintenance.sweep(in_turn=False)

    def run(self, *queues: str) -> None:
        """Answer doorbells, and do what is due, until nothing is left to do now."""
        while True:
            rung = [queue for queue in queues or ("default",) if self.queued(queue)]
            if not rung and not self.sweep():
                return
            for queue in rung:
                self.step(queue)

    def close(self) -> None:
        self.redis.close()
        runtime_of.close()
        settings._chosen.settings = None
        play.clear()


@contextlib.contextmanager
def bench_on(redis_url: str, **database: Any) -> Iterator[Bench]:
    """A bench on ``database_url=`` or ``database=``, put away in the end."""
    bench = Bench(redis_url, **database)
    try:
        yield bench
    finally:
        bench.close()


def _ticket(id_: str) -> Ticket:
    _, row, epoch, attempt, dispatch = id_.split("-")
    return Ticket(row=int(row), epoch=int(epoch), attempt=int(attempt), dispatch=int(dispatch))
