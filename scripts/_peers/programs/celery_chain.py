"""Celery with acks late: a chain of signatures. No result is kept."""

from __future__ import annotations

import os
import sys

from celery import Celery, chain

from _bench_marks import STEPS, mark

app = Celery("bench", broker=os.environ["BENCH_REDIS_URL"])
app.conf.update(task_ignore_result=True, task_acks_late=True, task_reject_on_worker_lost=True)


@app.task(name="step")
def step() -> None:
    mark()


def enqueue(chains: int) -> None:
    for _ in range(chains):
        chain(*[step.si() for _ in range(STEPS)]).apply_async()


def serve(number: int, workers: int) -> None:
    """One process that runs one task after the other: its fastest pool for tasks that do nothing."""
    options = ["--pool", "solo", "--loglevel", "WARNING", "--hostname", f"bench{number}@localhost"]
    command = [sys.executable, "-m", "celery", "--app", "_peers.programs.celery_chain", "worker", *options]
    os.execv(sys.executable, command)
