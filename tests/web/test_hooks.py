"""Webhooks of others over HTTP: what they fire, and with which status a sender is told what to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

import fsmflow
from fsmflow import Actor, settings
from fsmflow.engine import hooks
from fsmflow.engine.runtime import current
from tests.support.bench import Bench, bench_on
from tests.support.purchases import Purchase, bank_says
from tests.support.website import Site, site_of


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=database_url, machines=(Purchase,)) as bench:
        yield bench


@pytest.fixture
def site(bench: Bench) -> Iterator[Site]:
    """Nobody is known there, and a sender is no browser."""
    with site_of(lambda request: None) as found:
        del found.client.headers["Sec-Fetch-Site"]
        yield found


@pytest.fixture
def purchase(bench: Bench) -> Purchase:
    purchase = Purchase.start("7", amount=90)
    purchase.trigger("approve", actor=Actor("boss", ["manager"]))
    return purchase


def post(site: Site, purchase: Any = "7", name: str = "bank", **more: Any) -> httpx2.Response:
    body, headers = bank_says(purchase, **more)
    return site.client.post(f"/hooks/{name}", content=body, headers=headers)


def told(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["taken"]


def test_the_same_event_many_times_at_once_fires_once(site: Site, purchase: Purchase) -> None:
    begin = threading.Barrier(6)

    def send(_: int) -> tuple[int, str]:
        begin.wait()
        return told(post(site))

    with ThreadPoolExecutor(6) as threads:
        answers = sorted(threads.map(send, range(6)))
    assert answers == [(200, "fired"), *[(200, "repeated")] * 5]
    assert [entry.trigger for entry in purchase.history] == [None, "approve", "paid"]
    assert purchase.history[-1].payload == {"amount": 90}


def test_what_leads_to_nothing_is_kept_once_and_found_by_its_id(site: Site, purchase: Purchase) -> None:
    for _ in range(2):
        assert told(post(site, "8")) == (202, "kept")
    hostile: Any
    for hostile in ("../7", "7/x/1", "7\x00", {"$dict": {}}, "purchase:8", "' OR 1=1 --", "\U0001f600" * 50):
        assert told(post(site, hostile, id=f"evt-{hostile}")) == (202, "kept")
    found = hooks.kept(current(), None)
    assert len(found) == 8
    (again,) = [one for one in found if one.tries == 2]
    assert (again.address, again.event, again.why[:10]) == ("purchase:8", "payment.done", "purchase:8")
    assert purchase.refresh().state == "approved"
    Purchase.start("8", amount=1).trigger("approve", actor=Actor("boss", ["manager"]))
    assert hooks.replay(current(), again.id, None).dest == "paid"
    assert told(post(site, "8")) == (200, "repeated")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_sender_is_told_what_to_do(site: Site, purchase: Purchase) -> None:
    body, headers = bank_says("7")
    wrong = {"X-Bank-Signature": "0" * 64}
    assert told(site.client.post("/hooks/bank", content=body, headers=wrong)) == (401, "unsigned")
    assert told(site.client.post("/hooks/bank", content=body)) == (401, "unsigned")
    assert told(site.client.post("/hooks/bank", content=body + b" ", headers=headers)) == (401, "unsigned")
    assert told(post(site, name="banc")) == (404, "unknown")
    assert site.client.get("/hooks/bank").status_code == 405
    assert post(site, name="..%2f..%2fbank").status_code == 404
    assert told(post(site, type="other")) == (200, "unmeant")
    assert told(post(site, "9", note="x" * 100_000)) == (422, "large")
    assert site.client.post("/hooks/bank", content=b"x" * (1024 * 1024 + 1), headers=headers).status_code == 413
    assert site.client.post("/hooks/bank", content=body, headers={**headers, "Origin": "https://e.example"}).json() == {
        "taken": "fired"
    }
    assert purchase.refresh().state == "paid"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_while_the_database_is_away_a_sender_is_to_try_again(site: Site, purchase: Purchase, database_url: str) -> None:
    before = settings.current()
    fsmflow.configure(database_url="postgresql://nobody@127.0.0.1:1/x?connect_timeout=2", machines=[Purchase])
    answer = post(site)
    assert told(answer) == (503, "later")
    assert answer.headers["retry-after"] == "60"
    settings.choose(before)
    assert told(post(site)) == (200, "fired")
