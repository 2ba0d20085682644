"""taskiq: each task kicks the next one, on a stream of Redis with acknowledgements."""

from __future__ import annotations

import asyncio
import os
import sys

from taskiq_redis import RedisStreamBroker

from _bench_marks import STEPS, mark

broker = RedisStreamBroker(os.environ["BENCH_REDIS_URL"])


@broker.task(task_name="step")
async def step(number: int) -> None:
    mark()
    if number + 1 < STEPS:
        await step.kiq(number + 1)


def enqueue(chains: int) -> None:
    asyncio.run(_enqueue(chains))


async def _enqueue(chains: int) -> None:
    await broker.startup()
    for _ in range(chains):
        await step.kiq(0)
    await broker.shutdown()


def serve(number: int, workers: int) -> None:
    """One process, whose loop has up to a hundred tasks at once, as it does by default."""
    options = ["--workers", "1", "--log-level", "WARNING"]
    command = [sys.executable, "-m", "taskiq", "worker", "_peers.programs.taskiq_chain:broker", *options]
    os.execv(sys.executable, command)
