"""Machines that several test files share, and a bench that runs their steps in this process."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import peewee
import pytest
import redis

import fsmflow
from fsmflow import Machine, Retry, State, settings
from fsmflow.engine import runtime as runtime_of
from fsmflow.engine.runtime import Runtime
from fsmflow.running.executor import Executor
from fsmflow.running.maintenance.sweep import Maintenance
from fsmflow.settings import Settings
from fsmflow.store.link import Link, open_database
from fsmflow.store.store import create_store
from fsmflow.store.work import Ticket
from tests.support.eventually import eventually

#: What the jobs of these machines do in this process, by state: a test fills it in. Without a word a job returns None.
play: dict[str, Callable[[Any], Any]] = {}


#: For tests of what only servers do, and of what only SQLite does.
on_servers = pytest.mark.parametrize(
    "database_url",
    [pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("mysql", marks=pytest.mark.mysql)],
    indirect=True,
)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Order(Machine):
    """Every kind of state and transition that an order may need."""

    initial = "pending"
    states = [
        State("pending"),
        State("charging", job="act", retry=Retry(max=2, interval=10, backoff=3, jitter=0, never=LookupError)),
        State("approval", timeout=3_600),
        State("cooling", delay="cooling_time"),
        State("shipping", job="act", queue="slow", timeout=0.2),
        State("checking", job="act_later"),
        State("shipped", final=True),
        State("rejected", final=True),
    ]
    transitions = [
        ["submit", "pending", "charging"],
        ["done", "charging", "approval", "is_large"],
        ["done", "charging", "shipping", "is_small"],
        ["declined", "charging", "rejected"],
        ["fail", "charging", "rejected", "is_hopeless"],
        {"trigger": "approve", "source": "approval", "dest": "shipping", "roles": ["manager", "boss"]},
        ["reject", ["approval", "charging"], "rejected"],
        ["timeout", "approval", "rejected"],
        ["cool", "pending", "cooling"],
        ["done", "cooling", "approval"],
        ["check", "pending", "checking"],
        ["done", "checking", "shipped"],
        ["done", "shipping", "shipped"],
        ["again", "charging", "="],
        {"trigger": "note", "source": "*", "dest": None, "before": "take_note"},
        ["stop_if", ["pending", "charging"], "rejected", "payload_says_so"],
    ]

    def is_large(self) -> bool:
        return bool(self.data.get("amount", 0) > 1000)

    def is_small(self) -> bool:
        """A guard whose code a test may replace, as a deployment does."""
        return bool(play.get("is_small", lambda machine: True)(self))

    def is_hopeless(self) -> bool:
        return self.failure is not None and self.failure.message == "hopeless"

    def payload_says_so(self) -> bool:
        return bool(self.event.payload["stop"])

    def cooling_time(self) -> Any:
        return play.get("cooling_time", lambda machine: machine.data.get("cooling", 60))(self)

    def take_note(self) -> None:
        self.data["notes"] = [*self.data.get("notes", []), self.event.payload.get("text", "")]

    def act(self) -> Any:
        return play.get(self.state, lambda machine: None)(self)

    async def act_later(self) -> Any:
        return play.get(self.state, lambda machine: None)(self)


class Counter(Machine):
    """Counts, for tests in which many count at once."""

    initial = "open"
    states = ["open", "closed", State("working", job="act"), State("over", final=True)]
    transitions = [
        {"trigger": "add", "source": ["open", "working", "failed_from_working"], "dest": None, "before": "count"},
        ["close", "open", "closed"],
        ["reopen", "closed", "open"],
        ["work", "open", "working"],
        ["done", "working", "over"],
    ]

    def count(self) -> None:
        self.data["n"] = self.data.get("n", 0) + 1

    def act(self) -> Any:
        return play.get(self.state, lambda machine: None)(self)


class FixedClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: int) -> None:
        self.ms = now

    def now(self) -> int:
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

    def queued(self, queue: str = "default") -> list[Ticket]:
        """The tickets whose doorbells wait in a queue."""
        ids: Any = self.redis.lrange(f"rq:queue:{queue}", 0, -1)
        return [_ticket(id_.decode()) for id_ in ids]

    def take(self, queue: str = "default") -> Ticket:
        """Take the first doorbell of a queue, as a worker does."""
        id_: Any = self.redis.lpop(f"rq:queue:{queue}")
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
        """Look after what is due, as a sweeper that has seen the database answer for long."""
        maintenance = Maintenance(self.runtime, ("default", "slow"))
        maintenance._answers_since = float("-inf")
        return maintenance.sweep()

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


@contextlib.contextmanager
def meanwhile(owner: Any, name: str, action: Callable[[], object]) -> Iterator[None]:
    """Do ``action`` once, right after the next call of ``owner.name``: what others do at the worst moment."""
    original = getattr(owner, name)
    calls: list[None] = []

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if not calls:
            calls.append(None)
            action()
        return result

    with patch.object(owner, name, interrupted):
        yield
    assert calls, f"{name} was never called"


def in_processes(count: int, act: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What ``act(number, *arguments)`` returns in each of so many new processes, which all begin it at once."""
    context = multiprocessing.get_context("spawn")
    start = (context.Barrier(count),)
    with ProcessPoolExecutor(count, mp_context=context, initializer=_remember_start, initargs=start) as pool:
        futures = [pool.submit(_act_at_once, act, number, *arguments) for number in range(count)]
        return [future.result(timeout=120) for future in futures]


_start: list[Any] = []


def _remember_start(barrier: Any) -> None:
    _start[:] = [barrier]


def _act_at_once(act: Callable[..., Any], *arguments: Any) -> Any:
    _start[0].wait(60)
    return act(*arguments)


def in_threads(count: int, link: Link, act: Callable[[int], Any]) -> list[Any]:
    """What ``act(number)`` returns in each of so many threads, which all begin it at once and have connections."""
    start = threading.Barrier(count)

    def run(number: int) -> Any:
        try:
            link.rows("SELECT 1")
            start.wait(60)
            return act(number)
        finally:
            link.forget_connection()

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(run, number) for number in range(count)]
        return [future.result(timeout=120) for future in futures]


def kill_others(link: Link) -> None:
    """End every other connection to this database, as a server that restarts does."""
    if link.is_postgres:
        link.rows(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return
    others = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    for (number,) in link.rows(others):
        link.execute(f"KILL {number}")
    eventually(lambda: not link.rows(others), what="the end of the other connections")


def waits_for_a_lock(link: Link) -> bool:
    """Whether anybody waits for a lock in this database; ``link`` must not be in a transaction."""
    if link.is_postgres:
        waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    else:
        waiting = (
            "SELECT 1 FROM information_schema.innodb_trx t JOIN information_schema.processlist p "
            "ON p.id = t.trx_mysql_thread_id WHERE p.db = DATABASE() AND t.trx_state = 'LOCK WAIT'"
        )
    return bool(link.rows(waiting))


def _ticket(id_: str) -> Ticket:
    _, row, epoch, attempt, dispatch = id_.split("-")
    return Ticket(row=int(row), epoch=int(epoch), attempt=int(attempt), dispatch=int(dispatch))


class Row(peewee.Model):
    """A table of the user's own."""

    text = peewee.CharField()


def texts() -> list[str]:
    return [row.text for row in Row.select().order_by(Row.id)]


@contextlib.contextmanager
def users_database(database_url: str) -> Iterator[peewee.Database]:
    """The user's database object, as users make it: without what fsmflow sets on its own."""
    ours = open_database(database_url)
    if isinstance(ours, peewee.SqliteDatabase):
        db: peewee.Database = peewee.SqliteDatabase(ours.database, pragmas={"journal_mode": "wal"}, timeout=10)
    elif isinstance(ours, peewee.PostgresqlDatabase):
        db = peewee.PostgresqlDatabase(ours.database, prefer_psycopg3=True, **ours.connect_params)
    else:
        mine = {key: value for key, value in ours.connect_params.items() if key not in ("client_flag", "init_command")}
        db = peewee.MySQLDatabase(ours.database, **mine)
    with db.bind_ctx([Row]):
        db.create_tables([Row])
        yield db
        db.close()


def elsewhere(bench: Bench, action: Callable[[], Any]) -> Any:
    """What another thread, and so another connection, sees."""
    return in_threads(1, bench.runtime.store.link, lambda number: action())[0]
