"""The same chain of steps as the machine of the benchmark, as plain RQ jobs."""

from __future__ import annotations

import os

from redis import Redis
from rq import Queue

from _bench_marks import STEPS, mark

_connection: list[Redis] = []


def rq_step(number: int) -> None:
    """One step of the same chain as RQ's users write it: the job enqueues the next one."""
    mark()
    if number + 1 < STEPS:
        if not _connection:
            _connection.append(Redis.from_url(os.environ["FSMFLOW_REDIS_URL"]))
        Queue("bench", connection=_connection[0]).enqueue(rq_step, number + 1)
