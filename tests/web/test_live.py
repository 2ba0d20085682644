"""Open pages cost the database one query at a time, however many they are, and cost workers nothing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

import psycopg
import pytest

from fsmflow import clock
from fsmflow.engine.threads import Pool
from fsmflow.web import create_app
from fsmflow.web.live import Ticker
from fsmflow.web.threads import SIZE
from tests.support.bench import Bench
from tests.support.eventually import eventually
from tests.support.servers import WHOLE
from tests.support.website import Site, ada, serving
from tests.web.shop import Sale

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PAGES: Final = 200 if WHOLE else 40
EVERY_S: Final = 0.05


class Asked:
    """What a database is asked for: each statement, and how many there were at once at most."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = self.most = self._under_way = 0
        self._lock = threading.Lock()
        database = bench.runtime.store.link.db
        send = database.execute_sql

        def noted(*args: Any, **options: Any) -> Any:
            with self._lock:
                self.count, self._under_way = self.count + 1, self._under_way + 1
                self.most = max(self.most, self._under_way)
            try:
                return send(*args, **options)
            finally:
                with self._lock:
                    self._under_way -= 1

        monkeypatch.setattr(database, "execute_sql", noted)

    def during(self, act: Any) -> int:
        """How many it takes to do something."""
        before = self.count
        act()
        return self.count - before


@contextlib.contextmanager
def open_pages(site: Site, count: int) -> Iterator[list[socket.socket]]:
    """So many pages that are told of news: connections that have got their first line."""
    host, _, port = site.url.removeprefix("http://").partition(":")
    pages = [socket.create_connection((host, int(port)), timeout=30) for _ in range(count)]
    try:
        for page in pages:
            page.sendall(f"GET /ticks HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        for page in pages:
            read_to(page, "retry: 5000")
        yield pages
    finally:
        for page in pages:
            page.close()


def read_to(page: socket.socket, words: str) -> None:
    found = ""
    while words not in found:
        part = page.recv(65_536)
        assert part, found
        found += part.decode()


@on_sqlite
def test_however_many_pages_are_open_one_looks_at_the_database_for_all(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, asked = create_app(ada), Asked(bench, monkeypatch)
    app.state.ticker = ticker = Ticker(Pool(1, name="ticker"), EVERY_S)
    with serving(app) as site, open_pages(site, PAGES) as pages:
        first, began = asked.count, clock.monotonic()
        eventually(lambda: asked.count >= first + 8, within=30, what="eight looks")
        # So many seconds have room for so many looks of one; each page on its own would have had them at once.
        assert clock.monotonic() - began >= 6 * EVERY_S
        assert asked.most == 1
        Sale.start("1")
        for page in pages:
            read_to(page, "event: tick")
        look = asked.during(lambda: site.page("/numbers"))
        askers = [threading.Thread(target=site.page, args=("/numbers",)) for _ in range(16)]
        told = asked.during(lambda: [*map(threading.Thread.start, askers), *map(threading.Thread.join, askers)])
        assert told < 2 * look, "what was read for one page is told to all"
        for page in pages:
            page.close()
        eventually(lambda: not ticker._pages, within=30, what="all pages are gone")
        eventually(lambda: ticker._task is None or ticker._task.done(), within=30, what="nobody looks any more")


@on_sqlite
def test_a_dashboard_that_is_stopped_in_the_midst_of_its_work_costs_workers_nothing(
    bench: Bench, database_url: str, redis_url: str
) -> None:
    environment = {
        **os.environ,
        "FSMFLOW_DATABASE_URL": database_url,
        "FSMFLOW_REDIS_URL": redis_url,
        "FSMFLOW_MACHINES": "tests.web.shop",
    }
    command = [sys.executable, "-m", "fsmflow.cli", "web", "--port", "0"]
    for number in range(30):
        Sale.start(str(number), card="tok").trigger("submit")
    site: Site | None = None
    dashboard = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert dashboard.stdout is not None
        urls = (re.search(r"http://[0-9.]+:\d+", line) for line in dashboard.stdout)
        site = Site(next(found[0] for found in urls if found is not None))
        answers: list[int] = []
        askers = [
            threading.Thread(target=lambda: answers.append(site.client.get("/entities").status_code)) for _ in range(8)
        ]
        for asker in askers:
            asker.start()
        dashboard.send_signal(signal.SIGSTOP)
        bench.run()
        assert {sale.state for sale in Sale.find()} == {"approval"}
        dashboard.send_signal(signal.SIGCONT)
        for asker in askers:
            asker.join(30)
        assert answers == [200] * 8
    finally:
        dashboard.kill()
        dashboard.communicate()
        if site is not None:
            site.client.close()


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_dashboard_whose_queries_hang_costs_workers_nothing(bench: Bench, site: Site, database_url: str) -> None:
    for number in range(10):
        Sale.start(str(number), card="tok").trigger("submit")
    answers: list[int] = []
    askers = [
        threading.Thread(target=lambda: answers.append(site.client.get("/failures").status_code)) for _ in range(SIZE)
    ]
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE fsmflow_failure IN ACCESS EXCLUSIVE MODE")
        for asker in askers:
            asker.start()
        hang = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND relation = 'fsmflow_failure'::regclass"
        eventually(lambda: bench.runtime.store.link.rows(hang) == [(SIZE,)], within=30, what="all threads hang")
        while bench.queued():
            bench.step()
        assert {sale.state for sale in Sale.find()} == {"approval"}
        assert answers == []
    for asker in askers:
        asker.join(30)
    assert answers == [200] * SIZE
