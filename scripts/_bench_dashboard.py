"""A dashboard in a process of its own, as a bench measures it: what it asks of its database is counted."""

from __future__ import annotations

import http.client
import multiprocessing
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import fsmflow
from fsmflow import Actor
from fsmflow.engine.runtime import current
from fsmflow.web import create_app
from fsmflow.web.server import Server

_PATIENCE_S: Final = 30.0


class Asked(NamedTuple):
    """What a database was asked for in some time: how many queries, and how many at once at most; and how long the
    dashboard itself has computed."""

    queries: int
    most_at_once: int
    cpu_s: float


class Dashboard:
    """One that runs. ``url``: where it is."""

    def __init__(self, url: str, pid: int, counted: Any, most: Any) -> None:
        self.url = url
        # As Linux numbers the clock that says how long a process has computed.
        self._clock = ~pid << 3 | 2
        self._computed_s = 0.0
        self._counted = counted
        self._most = most
        parts = urlsplit(url)
        self.host, self.port = str(parts.hostname), int(parts.port or 0)
        self._connection = http.client.HTTPConnection(self.host, self.port, timeout=_PATIENCE_S)

    def get(self, path: str) -> tuple[float, int, int]:
        """Ask for a page: its seconds, its status and its bytes."""
        begin = time.perf_counter()
        self._connection.request("GET", path, headers={"Sec-Fetch-Site": "same-origin"})
        answer = self._connection.getresponse()
        body = answer.read()
        return time.perf_counter() - begin, answer.status, len(body)

    def asked(self) -> Asked:
        """What was asked since this was asked last."""
        computed_s = time.clock_gettime(self._clock)
        with self._counted.get_lock(), self._most.get_lock():
            found = Asked(self._counted.value, self._most.value, computed_s - self._computed_s)
            self._counted.value = self._most.value = 0
        self._computed_s = computed_s
        return found


@contextmanager
def dashboard(settings: Mapping[str, Any]) -> Iterator[Dashboard]:
    """A dashboard with these settings, until the end of the block."""
    spawn = multiprocessing.get_context("spawn")
    counted, most = spawn.Value("q", 0), spawn.Value("q", 0)
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(dict(settings), there, counted, most), name="dashboard")
    process.start()
    try:
        if not here.poll(_PATIENCE_S):
            raise SystemExit("the dashboard does not listen")
        yield Dashboard(here.recv(), process.pid or 0, counted, most)
    finally:
        process.terminate()
        process.join()


def _serve(settings: dict[str, Any], pipe: Connection, counted: Any, most: Any) -> None:
    fsmflow.configure(**settings)
    _count(counted, most)
    ada = Actor("ada", ("manager", "operator"), teams="*")
    server = Server(create_app(lambda request: ada), "127.0.0.1", 0)
    pipe.send(server.url)
    server.serve()


def _count(counted: Any, most: Any) -> None:
    """Count each statement where it is sent, and how many are on their way at once."""
    database: Any = current().store.link.db
    send, lock, under_way = database.execute_sql, threading.Lock(), 0

    def noted(*args: Any, **options: Any) -> Any:
        nonlocal under_way
        with lock:
            under_way += 1
        with counted.get_lock(), most.get_lock():
            counted.value += 1
            most.value = max(most.value, under_way)
        try:
            return send(*args, **options)
        finally:
            with lock:
                under_way -= 1

    database.execute_sql = noted
