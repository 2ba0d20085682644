"""Huey: a pipeline of tasks on Redis. No result is kept; a task that was taken is lost with its worker."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from huey import RedisHuey

from _bench_marks import STEPS, mark

huey = RedisHuey("bench", url=os.environ["BENCH_REDIS_URL"], results=False)


@huey.task()
def step() -> None:
    mark()


def enqueue(chains: int) -> None:
    for _ in range(chains):
        pipeline = step.s()
        for _ in range(STEPS - 1):
            pipeline = pipeline.then(step)
        huey.enqueue(pipeline)


def serve(number: int, workers: int) -> None:
    """One process that runs one task after the other."""
    command = str(Path(sys.executable).with_name("huey_consumer"))
    options = ["--worker-type", "process", "--workers", "1", "--quiet"]
    os.execv(command, [command, "_peers.programs.huey_chain.huey", *options])
