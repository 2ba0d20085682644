"""Dramatiq: a pipeline of messages. No result is kept."""

from __future__ import annotations

import os
import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from _bench_marks import STEPS, mark

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_REDIS_URL"]))


@dramatiq.actor
def step() -> None:
    mark()


def enqueue(chains: int) -> None:
    for _ in range(chains):
        steps = [step.message_with_options(args=(), pipe_ignore=True) for _ in range(STEPS)]
        dramatiq.pipeline(steps).run()


def serve(number: int, workers: int) -> None:
    """One process of one thread."""
    options = ["--processes", "1", "--threads", "1"]
    os.execv(sys.executable, [sys.executable, "-m", "dramatiq", "_peers.programs.dramatiq_chain", *options])
