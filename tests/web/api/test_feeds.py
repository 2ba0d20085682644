"""Programs read feeds in batches, and acknowledge them later, from where they were read or not at all."""

from __future__ import annotations

from typing import Any

from fsmflow import feeds
from tests.support.bench import Bench
from tests.support.concurrency import in_threads
from tests.support.machines import Order
from tests.support.program import Program


def ids(batch: Any) -> list[str]:
    return [each["id"] for each in batch["items"]]


def test_what_is_read_comes_again_until_it_is_acknowledged(ada: Program) -> None:
    Order.start_many((str(number), {}) for number in range(5))
    assert ada.get("/feeds/billing/entries", 404)["type"] == "urn:fsmflow:problem:unknown-feed"
    for _ in range(2):
        assert ada.ask("PUT", "/feeds/billing", {"start": "beginning"})["name"] == "billing"
    first, again = (ada.get("/feeds/billing/entries?limit=2") for _ in range(2))
    assert len(ids(first)) == 2
    assert ids(first) == ids(again)
    ada.post("/feeds/billing/acknowledge", {"mark": first["mark"]})
    then = ada.get("/feeds/billing/entries?limit=2")
    assert not set(ids(then)) & set(ids(first))
    assert ada.post("/feeds/billing/acknowledge", {"mark": first["mark"]})["told"] == 2
    ada.post("/feeds/billing/acknowledge", {"mark": then["mark"]})
    assert ada.post("/feeds/billing/acknowledge", {"mark": first["mark"]}, 409)["type"].endswith("feed-in-use")
    assert len(list(feeds.feed("billing"))) == 1
    assert ada.get("/feeds/billing/entries")["items"] == []
    ada.post("/feeds/billing/rewind", {"start": "beginning"}, idempotency_key="again")
    batch = ada.get("/feeds/billing/entries")
    assert len(ids(batch)) == 5
    ada.post("/feeds/billing/acknowledge", {"mark": batch["mark"]})
    ada.post("/feeds/billing/rewind", {"start": "beginning"}, idempotency_key="again")
    assert ids(ada.get("/feeds/billing/entries")) == []
    for wrong in ("x", "W10", "e30", "W1swLCAieCJdLCBbMCwgbnVsbF0sIG51bGwsIDBd"):
        ada.post("/feeds/billing/acknowledge", {"mark": wrong}, 422)


def test_of_two_who_were_told_other_things_one_goes_on(ada: Program, bench: Bench) -> None:
    Order.start_many((str(number), {}) for number in range(3))
    feeds.begin("billing", "beginning")
    marks = [ada.get(f"/feeds/billing/entries?limit={limit}")["mark"] for limit in (1, 2)]
    path = "/api/v1/feeds/billing/acknowledge"
    codes = in_threads(
        2, bench.runtime.store.link, lambda number: ada.client.post(path, json={"mark": marks[number]}).status_code
    )
    assert sorted(codes) == [200, 409]
    (state,) = feeds.feeds()
    assert state.told == codes.index(200) + 1
