"""What is answered: one query at a time for all who ask, and words within some seconds, whatever servers do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import pytest

import fsmflow
from fsmflow import clock, settings
from fsmflow.engine import runtime as runtime_of
from fsmflow.errors import DatabaseUnavailable
from fsmflow.metrics import page as pages
from fsmflow.metrics import readiness
from fsmflow.metrics.page import Page
from fsmflow.metrics.readiness import NO_ANSWER, NONE_FOUND, NOT_ASKED, NOT_LOADED, WRONG_TABLES
from fsmflow.store.link import Link
from fsmflow.store.store import Store
from fsmflow.store.tables import META
from tests.support.bench import Bench, bench_on
from tests.support.machines import Counter


@pytest.fixture
def bench(redis_url: str, tmp_path: Any) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=f"sqlite:///{tmp_path}/fsmflow.db") as bench:
        yield bench


class Gate:
    """Stands for a database that hangs, until the test opens it."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()
        self.passed = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.passed += 1
        self.reached.set()
        assert self.open.wait(30)
        raise DatabaseUnavailable("it was away")


def test_those_who_ask_at_once_or_soon_after_get_the_same_text_of_one_look(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, looks = Page(), list[str]()
    look, both = Link.look, threading.Barrier(2)

    def counted(link: Link, sql: str, params: Any = ()) -> Any:
        looks.append(sql)
        return look(link, sql, params)

    def ask(number: int) -> str:
        both.wait(30)
        return page.text()

    with patch.object(Link, "look", counted):
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(ask, range(2))
        once = len(looks)
        Counter.start("later")
        third = page.text()
        assert (first == second == third, len(looks)) == (True, once)
        now_s = clock.monotonic()
        monkeypatch.setattr(clock, "monotonic", lambda: now_s + pages.FRESH_S + 1)
        assert 'fsmflow_entities{machine="counter",state="open",kind="root"} 1\n' in page.text()
    assert len(looks) > once


def test_a_database_that_is_away_is_told_and_what_was_read_before_is_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    page = Page()
    assert "fsmflow_up 1\n" in page.text()
    now_s = clock.monotonic()
    monkeypatch.setattr(clock, "monotonic", lambda: now_s + pages.FRESH_S + 1)
    with patch.object(Link, "look", side_effect=DatabaseUnavailable("no route to postgres://shop:secret@db")):
        answer = page.answer("GET", "/metrics")
    assert answer.status == 200
    lines = [line for line in answer.body.splitlines() if not line.startswith("#")]
    assert lines == ["fsmflow_up 0", "fsmflow_series_folded 0"]
    assert "metrics.left_out: database" in caplog.text
    assert "fsmflow_up 1\n" in page.text()


def test_one_that_hangs_is_asked_once_and_keeps_nobody_waiting_for_long(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "LIMIT_S", 0.05)
    monkeypatch.setattr(readiness, "LIMIT_S", 0.05)
    page, gate = Page(), Gate()
    with patch.object(Link, "look", gate), patch.object(Store, "check", gate):
        for _ in range(3):
            assert "fsmflow_up 0\n" in page.text()
            assert page.answer("GET", "/readyz").body == "not ready: database does not answer\n"
        assert page.answer("GET", "/healthz").status == 200
        assert gate.passed == 2
        gate.open.set()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("HEAD", "/metrics", 200),
        ("GET", "/readyz", 200),
        ("POST", "/metrics", 405),
        ("DELETE", "/readyz", 405),
        ("GET", "/", 404),
        ("GET", "/metrics/../readyz", 404),
        ("POST", "/nosuch", 404),
    ],
)
def test_what_is_asked_for_is_answered_and_nothing_else(bench: Bench, method: str, path: str, status: int) -> None:
    answer = Page().answer(method, path)
    assert answer.status == status
    assert ("Allow", "GET, HEAD") in answer.headers or status != 405


def unready(page: Page, caplog: pytest.LogCaptureFixture) -> str:
    answer = page.answer("GET", "/readyz")
    assert answer.status == 503, answer.body
    assert "Traceback" not in answer.body
    assert "secret" not in answer.body
    return answer.body


def test_it_is_told_which_of_all_is_not_ready(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fsmflow")
    monkeypatch.setattr(readiness, "_FRESH_S", 0.0)
    page = Page()
    assert page.answer("GET", "/readyz").body == "ready\n"
    with patch.object(type(bench.runtime.doorbell), "client", side_effect=ConnectionError("secret")):
        assert unready(page, caplog) == f"not ready: redis {NO_ANSWER}\n"
        assert unready(page, caplog) == f"not ready: redis {NO_ANSWER}\n"
    assert [record.message for record in caplog.records] == ["probe.not_ready: redis: secret"]
    assert page.answer("GET", "/readyz").status == 200
    assert caplog.messages[-1] == "probe.ready: redis is ready again"
    bench.runtime.store.link.execute(f"UPDATE {META} SET value = '7' WHERE name = 'schema'")
    assert unready(page, caplog) == f"not ready: database {WRONG_TABLES}\n"
    bench.runtime.store.link.execute(f"DELETE FROM {META} WHERE name = 'schema'")
    assert unready(page, caplog) == f"not ready: database {WRONG_TABLES}\n"


def test_without_a_database_redis_is_not_asked_and_machines_are_looked_for(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "odd_machines.py").write_text("raise RuntimeError('secret')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    away: Any = {"database_url": "postgresql://shop:secret@127.0.0.1:1/shop", "redis_url": "redis://127.0.0.1:1"}
    fsmflow.configure(**away, machines=[])
    try:
        assert unready(Page(), caplog).splitlines() == [
            f"not ready: database {NO_ANSWER}",
            f"not ready: redis {NOT_ASKED}",
            f"not ready: machines {NONE_FOUND}",
        ]
        fsmflow.configure(**away, machines=["odd_machines"])
        assert unready(Page(), caplog).splitlines()[-1] == f"not ready: machines {NOT_LOADED}"
    finally:
        runtime_of.close()
        settings._chosen.settings = None
