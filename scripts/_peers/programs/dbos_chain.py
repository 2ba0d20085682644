"""DBOS: a workflow of steps, called in a loop in the process itself, without a queue: the least that it does."""

from __future__ import annotations

import os
import time

from dbos import DBOS

from _bench_marks import STEPS, mark


@DBOS.step()
def step() -> None:
    mark()


@DBOS.workflow()
def flow() -> None:
    for _ in range(STEPS):
        step()


def enqueue(chains: int) -> None:
    """Makes its tables; there is no queue."""
    _launch(0)
    DBOS.destroy()


def serve(number: int, workers: int) -> None:
    """This worker's share of the chains."""
    _launch(number)
    for _ in range(number, int(os.environ["BENCH_CHAINS"]), workers):
        flow()
    while True:
        time.sleep(60)


def _launch(number: int) -> None:
    DBOS(
        config={
            "name": "bench",
            "system_database_url": os.environ["BENCH_DATABASE_URL"],
            "log_level": "WARNING",
            "run_admin_server": False,
            "application_version": "bench",
            "executor_id": f"bench{number}",
        }
    )
    DBOS.launch()
