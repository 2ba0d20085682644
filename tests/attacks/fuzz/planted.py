"""Jobs that fsmflow did not put into Redis: nothing of them is run, and what follows them in the queue is."""

from __future__ import annotations

import json
import logging
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from fsmflow.dispatch.rqworker import StepWorker
from fsmflow.dispatch.tickets import read_ticket, rq_queue
from fsmflow.running.executor import Executor
from tests.attacks.fuzz.driver import Check, Servers
from tests.attacks.fuzz.inputs import CANARY, OURS, Call, Pickled, Planted
from tests.support.bench import Bench, bench_on
from tests.support.machines import Order, play

_QUEUES = ("default", "slow")


@contextmanager
def planted_jobs(servers: Servers) -> Iterator[Check]:
    """Batches of planted jobs, each followed by a real one in the same queues."""
    path = servers.folder / "planted.db"
    path.unlink(missing_ok=True)
    url = servers.database_url or f"sqlite:///{path}"
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushdb()
    with bench_on(servers.redis_url, database_url=url) as bench, _listening() as refusals:
        yield Field(bench, servers.folder / "canary", refusals).take


@contextmanager
def _listening() -> Iterator[list[logging.LogRecord]]:
    """What is logged meanwhile, all of it: also what is only worth a line while one debugs."""
    records: list[logging.LogRecord] = []
    logger, handler = logging.getLogger("fsmflow"), logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign, assignment]
    level, passes_on = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = passes_on


class Field:
    """A worker, two queues, and entities that a forged ticket could hit: one is paused, one is done."""

    def __init__(self, bench: Bench, canary: Path, records: list[logging.LogRecord]) -> None:
        self._bench = bench
        self._canary = canary
        self._records = records
        self._ours = bench.runtime.store.installation
        self._ran: list[str] = []
        play["charging"] = play["shipping"] = lambda machine: self._ran.append(machine.entity_id)
        self._worker = StepWorker(_QUEUES, bench.runtime.doorbell, Executor(bench.runtime).execute, lambda: False)
        self._number = 0
        self._run = secrets.token_hex(4)
        self._real = self._done()
        self._still = [self._paused(), self._real]
        self._known = [self._picture(order) for order in self._still]
        self._ran.clear()

    def take(self, batch: list[Planted]) -> list[str]:
        """Plant them, lose a real doorbell behind them, and work until the queues are empty."""
        self._begin_anew()
        for planted in batch:
            plant(self._bench.redis, planted, self._ours, self._canary)
        self._real = real = self._new()
        self._bench.advance(10)
        while self._worker.work_once(block=False):
            pass
        self._bench.run(*_QUEUES)
        while self._worker.work_once(block=False):
            pass
        real.refresh()
        assert real.state == "shipped", f"the real one is in {real.state!r}"
        assert self._ran == [real.entity_id] * 2, f"ran: {self._ran}"
        assert [self._picture(order.refresh()) for order in self._still] == self._known
        assert not self._canary.exists(), "something planted was run"
        return self._outcomes(batch)

    def _outcomes(self, batch: list[Planted]) -> list[str]:
        for record in self._records:
            line = record.getMessage()
            assert line.isprintable(), f"a log line that is none: {line!r}"
            assert len(line) < 1_000, f"a log line of {len(line)} characters"
        lines = [record.getMessage().partition(":")[0] for record in self._records]
        refused = lines.count("job.refused")
        return ["HostileJob"] * refused + ["no job, or no claim"] * (len(batch) - refused)

    def _begin_anew(self) -> None:
        """Whatever came of the batch before, so that one that failed can be made smaller."""
        self._bench.redis.flushdb()
        self._bench.runtime.doorbell.set_marker()
        if self._real.refresh().phase != "finished":
            self._real.cancel()
        self._records.clear()
        self._ran.clear()

    def _new(self) -> Order:
        self._number += 1
        order = Order.start(f"real-{self._run}-{self._number}")
        order.trigger("submit")
        return order

    def _paused(self) -> Order:
        order = Order.start(f"paused-{self._run}")
        order.trigger("submit")
        order.pause()
        self._bench.redis.flushdb()
        return order

    def _done(self) -> Order:
        order = self._new()
        self._bench.run(*_QUEUES)
        assert order.refresh().state == "shipped"
        return order

    def _picture(self, order: Order) -> tuple[Any, ...]:
        return order.state, order.epoch, order.paused, len(order.history), order.data


def plant(client: redis.Redis, planted: Planted, ours: str, canary: Path) -> None:
    """Put it into Redis, whatever has the key of its job."""
    id_ = planted.id if isinstance(planted.id, bytes) else planted.id.replace(OURS, ours).encode()
    key = b"rq:job:" + id_
    client.delete(key)
    if planted.kind == "hash":
        fields: dict[Any, Any] = {**planted.fields, b"data": packed(planted, ours, str(canary))}
        client.hset(key, mapping=fields)
    elif planted.kind == "string":
        client.set(key, b"text")
    elif planted.kind == "list":
        client.rpush(key, b"item")
    client.rpush(f"rq:queue:{rq_queue(ours, planted.queue)}", id_)


def packed(planted: Planted, ours: str, canary: str) -> bytes:
    """The bytes of a planted job's data."""
    data = written(planted.data, ours, canary)
    if planted.is_packed:
        data = zlib.compress(data, 1)
    return data[: -planted.cut] if planted.cut else data


def written(data: Call | Pickled | bytes, ours: str, canary: str) -> bytes:
    """Its data before they are compressed."""
    if isinstance(data, Pickled):
        return data.bytes(canary)
    if isinstance(data, bytes):
        return data
    text = json.dumps([data.function, data.instance, data.arguments, data.keywords])
    return text.replace(OURS, ours).replace(CANARY, canary).encode()


def read_planted(data: Call | Pickled | bytes, ours: str) -> None:
    """Read it as a worker does. Raises HostileJob."""
    read_ticket(zlib.compress(written(data, ours, "/nowhere/canary"), 1), ours)
