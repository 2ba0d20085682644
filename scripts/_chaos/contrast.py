"""The same chaos against plain RQ chaining, and what became of its chains."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.registry import FailedJobRegistry, ScheduledJobRegistry, StartedJobRegistry

from _chaos import plain
from _chaos.plan import Injector, choose
from _chaos.servers import ANSWERS_NOT
from _chaos.world import PLAIN_RQ, World, world

#: There are no two versions of it to be deployed, and its own clock is RQ's.
_WITHOUT = ("deploy", "clock")
_AGAIN_AFTER_S = 0.3
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class Contrast:
    """What became of the chains. ``lost``: no job of theirs is anywhere any more. ``stuck``: a job of theirs is left in
    Redis, in one of ``stuck_in``. ``forked``: steps that were enqueued more than once. ``rows_doubled``: rows that were
    written twice."""

    faults: int
    chains: int
    arrived: int
    lost: int
    stuck: int
    stuck_in: dict[str, int]
    forked: int
    rows_doubled: int
    repeats_per_1000: float
    waited_s: float


def contrast(folder: Path, options: argparse.Namespace) -> Contrast:
    """Run the chains under the same faults, and wait for them as long as for fsmflow's."""
    with world(options.database, folder, PLAIN_RQ, processes=options.processes) as made:
        kinds = [fault for fault in choose(made, options.faults) if fault.name not in _WITHOUT]
        injector = Injector(made, kinds, seed=options.seed, every_s=options.every)
        client = _Client(made, options.rate)
        client.begin()
        injector.run(options.seconds)
        healed_at = time.monotonic()
        injector.heal()
        client.end()
        _await_arrivals(made, client.started)
        return _counted(made, len(injector.struck), time.monotonic() - healed_at)


class _Client:
    """Starts so many chains a second, and asks again until both its row and its first job are acknowledged."""

    def __init__(self, made: World, rate: float) -> None:
        self.started = 0
        self._made = made
        self._rate = rate
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._began = time.monotonic()

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(max(0.0, self._began + self.started / self._rate - time.monotonic())):
            self.started += 1
            self._insist(self._write)
            self._insist(self._enqueue)

    def _write(self) -> None:
        self._made.database.rows(f"INSERT INTO plain_chain (chain, step) VALUES ({self.started}, 0)")

    def _enqueue(self) -> None:
        with Redis.from_url(os.environ["FSMFLOW_REDIS_URL"]) as redis:
            plain.enqueue(redis, self.started, 1)

    def _insist(self, call: Callable[[], None]) -> None:
        while True:
            try:
                call()
                return
            except (*ANSWERS_NOT, RedisError):
                time.sleep(_AGAIN_AFTER_S)


def _await_arrivals(made: World, started: int, patience_s: float = 240.0) -> None:
    """Requeue what has failed until all have arrived, or nothing more is to be expected."""
    deadline = time.monotonic() + patience_s
    query = f"SELECT COUNT(*) FROM plain_chain WHERE step = {plain.STEPS}"
    while time.monotonic() < deadline:
        with contextlib.suppress(RedisError, *ANSWERS_NOT), contextlib.closing(made.redis[0].valkey.client()) as redis:
            if made.database.rows(query)[0][0] >= started:
                return
            registry = FailedJobRegistry(plain.QUEUE, connection=redis)
            for id_ in registry.get_job_ids():
                registry.requeue(id_)
            if not _left(redis):
                return
        time.sleep(_LOOK_EVERY_S)


def _left(redis: Redis) -> dict[int, str]:
    """The chains of which a job is left somewhere in Redis, and where."""
    queue = Queue(plain.QUEUE, connection=redis)
    ids = dict.fromkeys(queue.get_job_ids(), "queue")
    taken: Any = redis.lrange(queue.intermediate_queue_key, 0, -1)
    ids |= {id_.decode(): "intermediate" for id_ in taken}
    for kind in (StartedJobRegistry, FailedJobRegistry, ScheduledJobRegistry):
        registry = kind(plain.QUEUE, connection=redis)
        ids |= dict.fromkeys(registry.get_job_ids(cleanup=False), kind.__name__)
    jobs = [(queue.fetch_job(id_), where) for id_, where in ids.items()]
    return {int(job.args[0]): where for job, where in jobs if job is not None and job.args}


def _counted(made: World, faults: int, waited_s: float) -> Contrast:
    with contextlib.closing(made.redis[0].valkey.client()) as redis:
        left = _left(redis)
    rows = made.database.rows("SELECT chain, MAX(step) FROM plain_chain GROUP BY chain")
    behind = {int(chain) for chain, step in rows if step != plain.STEPS}
    ledger = Counter(chain for (chain,) in made.database.rows("SELECT chain FROM plain_ledger"))
    jobs: dict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    for line in made.effects.read_text().splitlines():
        run = json.loads(line)
        jobs[run["chain"], run["step"]][run["job"]] += 1
    runs = sum(found.total() for found in jobs.values())
    return Contrast(
        faults=faults,
        chains=len(rows),
        arrived=len(rows) - len(behind),
        lost=len(behind - set(left)),
        stuck=len(behind & set(left)),
        stuck_in=dict(Counter(left[chain] for chain in behind & set(left))),
        forked=sum(len(found) > 1 for (_, step), found in jobs.items() if step > 1),
        rows_doubled=sum(count > 1 for count in ledger.values()),
        repeats_per_1000=round(1000 * (runs - len(jobs)) / max(len(jobs), 1), 1),
        waited_s=round(waited_s, 1),
    )
