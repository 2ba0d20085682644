"""The contrast: chains of plain RQ jobs, each of which does its work, writes its status to SQL, and enqueues the next.

As RQ's documentation has it: ``Retry`` on every job, its default worker (a process for each job), kept running by a
supervisor, maintenance much more often than by default. What fails for good is enqueued again, as an operator would.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql
from redis import Redis
from rq import Queue, Retry, get_current_job

STEPS = 5
WRITES_AT = 3
QUEUE = "chaos"
TABLES = (
    "CREATE TABLE plain_chain (chain INTEGER NOT NULL, step INTEGER NOT NULL)",
    "CREATE TABLE plain_ledger (chain INTEGER NOT NULL)",
)
_RETRIES = 3
_TIMEOUT_S = 60
_SHORTEST_S, _LONGEST_S = 0.05, 0.2


def step(chain: int, number: int) -> None:
    """One step: note the run, work, write the status (and at one step a row) in a transaction, enqueue the next."""
    job = get_current_job()
    line = {"chain": chain, "step": number, "job": job.id if job else "", "pid": os.getpid(), "at": time.monotonic()}
    descriptor = os.open(os.environ["CHAOS_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, json.dumps(line).encode() + b"\n")
    os.close(descriptor)
    time.sleep(random.uniform(_SHORTEST_S, _LONGEST_S))
    connection = connect(os.environ["FSMFLOW_DATABASE_URL"])
    cursor = connection.cursor()
    cursor.execute(f"UPDATE plain_chain SET step = {int(number)} WHERE chain = {int(chain)}")
    if number == WRITES_AT:
        cursor.execute(f"INSERT INTO plain_ledger (chain) VALUES ({int(chain)})")
    connection.commit()
    connection.close()
    if number < STEPS:
        with Redis.from_url(os.environ["FSMFLOW_REDIS_URL"]) as redis:
            enqueue(redis, chain, number + 1)


def enqueue(redis: Redis, chain: int, number: int) -> None:
    """Enqueue a step."""
    queue = Queue(QUEUE, connection=redis)
    queue.enqueue(step, chain, number, retry=Retry(max=_RETRIES), job_timeout=_TIMEOUT_S)


def connect(url: str) -> Any:
    """A connection of the driver's."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return sqlite3.connect(parts.path, timeout=10)
    account: dict[str, Any] = {"host": parts.hostname, "port": parts.port, "user": parts.username}
    account |= {"password": unquote(parts.password or ""), "connect_timeout": 5}
    name = parts.path.lstrip("/")
    return (
        psycopg.connect(**account, dbname=name)
        if parts.scheme == "postgresql"
        else pymysql.connect(**account, database=name)
    )
