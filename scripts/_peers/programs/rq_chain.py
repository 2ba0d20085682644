"""RQ: each job enqueues the next one. Variants: its SimpleWorker, its default worker, and a commit by each job."""

from __future__ import annotations

import functools
import os
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg
import rq
from redis import Redis
from rq import Queue

from _bench_marks import STEPS, mark

_NAME: Final = "bench"
_STEP: Final = "_peers.programs.rq_chain.step"
_TABLE: Final = "CREATE TABLE chain (id INTEGER PRIMARY KEY, step INTEGER NOT NULL)"


def enqueue(chains: int) -> None:
    """The first job of each chain, and where jobs commit, a row for each chain."""
    if "BENCH_DATABASE_URL" in os.environ:
        connection = _database()
        connection.execute(_TABLE)
        for number in range(chains):
            connection.execute(f"INSERT INTO chain (id, step) VALUES ({number}, 0)")
        connection.commit()
    for number in range(chains):
        _queue().enqueue(_STEP, number, 0)


def step(chain: int, number: int) -> None:
    """One step. The naive commit: the row of the chain is set in a transaction, and then the next job is enqueued."""
    mark()
    if "BENCH_DATABASE_URL" in os.environ:
        _database().execute(f"UPDATE chain SET step = {number + 1} WHERE id = {chain}")
        _database().commit()
    if number + 1 < STEPS:
        _queue().enqueue(_STEP, chain, number + 1)


def sends(jobs: int) -> Iterator[Callable[[], object]]:
    """Jobs that only begin."""
    for _ in range(jobs):
        yield lambda: _queue().enqueue("_bench_marks.mark")


def serve(number: int, workers: int) -> None:
    """A worker of this class, as ``rq worker`` runs it, but with the module of its jobs loaded before it forks."""
    worker = getattr(rq, os.environ["BENCH_VARIANT"])
    worker([_queue()], connection=_queue().connection).work(logging_level="WARNING")


@functools.cache
def _queue() -> Queue:
    return Queue(_NAME, connection=Redis.from_url(os.environ["BENCH_REDIS_URL"]))


@functools.cache
def _database() -> Any:
    """A connection that a process keeps, to a database that keeps what is committed, as fsmflow's does."""
    url = os.environ["BENCH_DATABASE_URL"]
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.partition("///")[2], timeout=30)
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("PRAGMA synchronous = full")
        return connection
    return psycopg.connect(url)
