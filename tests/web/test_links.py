"""Approval links as people and their mail scanners open them: over HTTP."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fsmflow import Actor
from fsmflow.engine import approvals
from fsmflow.engine.runtime import current
from tests.support.bench import Bench, bench_on
from tests.support.purchases import MANAGER, Purchase
from tests.support.website import Site, site_of

BOSS = Actor("boss", ["manager"])
HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=database_url, machines=(Purchase,)) as bench:
        yield bench


@pytest.fixture
def site(bench: Bench) -> Iterator[Site]:
    """Nobody is known there."""
    with site_of(lambda request: None) as found:
        yield found


@pytest.fixture
def purchase(bench: Bench) -> Purchase:
    return Purchase.start("7", amount=90, note=HOSTILE, iban="AT61 1904", lines=[{"what": "chairs"}])


def link(purchase: Purchase, site: Site, trigger: str = "approve", **options: Any) -> str:
    url = purchase.approval_link(trigger, **{"for_": MANAGER, "base_url": site.url, **options})
    return url.removeprefix(site.url)


def test_a_page_shows_what_is_decided_and_its_button_decides(site: Site, purchase: Purchase) -> None:
    path = link(purchase, site)
    answer = site.client.get(path)
    page = answer.text
    assert answer.status_code == 200
    for told in (
        "Approve: purchase:7",
        f"For {MANAGER}",
        "&lt;script&gt;",
        "chairs",
        "[redacted]",
        "A purchase that a",
    ):
        assert told in page, told
    assert "<script>alert" not in page
    assert "1904" not in page
    assert '<meta name="referrer" content="no-referrer">' in page
    assert answer.headers["cache-control"] == "no-store"
    done = site.post(path, words="fine with me")
    assert done.headers["location"] == path
    assert (purchase.refresh().state, purchase.history[-1].actor) == ("approved", MANAGER)
    assert purchase.history[-1].reason == "by an approval link: fine with me"
    page = site.page(path)
    assert f"{MANAGER} decided “Approve”" in page
    assert 'method="post"' not in page
    site.post(path)
    assert len(purchase.history) == 2


def test_who_only_looks_changes_nothing(site: Site, purchase: Purchase) -> None:
    path = link(purchase, site)
    for _ in range(3):
        assert site.client.get(path).status_code == 200
        assert site.client.head(path).status_code == 200
        assert site.client.request("OPTIONS", path).status_code == 405
    assert (purchase.refresh().state, len(purchase.history)) == ("asked", 1)


def test_a_form_of_a_browser_that_says_no_origin_is_taken(site: Site, purchase: Purchase) -> None:
    path = link(purchase, site)
    page = site.page(path)
    (token,) = re.findall(r'name="token" value="([^"]+)"', page)
    del site.client.headers["Sec-Fetch-Site"]
    null = {"Origin": "null"}
    assert site.client.post(path, data={"token": "other"}, headers=null).status_code == 403
    assert site.client.post(path, data={"token": token}, headers=null).status_code == 303
    assert purchase.refresh().state == "approved"


def test_a_link_after_another_decision_says_who_decided(site: Site, purchase: Purchase) -> None:
    approve, reject = link(purchase, site), link(purchase, site, "reject")
    purchase.trigger("reject", actor=BOSS, reason=f"too dear {HOSTILE}")
    for path in (approve, reject):
        for answer in (site.client.get(path), site.client.post(path)):
            assert answer.status_code == 409
            assert "Somebody else was first" in answer.text
            assert "by boss (too dear &lt;script&gt;" in answer.text
            assert 'method="post"' not in answer.text
    assert len(purchase.history) == 2


def test_a_link_that_would_be_refused_now_says_why(site: Site, purchase: Purchase) -> None:
    path = link(purchase, site)
    purchase.trigger("close")
    for answer in (site.client.get(path), site.client.post(path)):
        assert (answer.status_code, "Not possible now" in answer.text) == (409, True)
    assert purchase.refresh().state == "asked"


def test_two_people_who_use_links_at_once_decide_once(site: Site, purchase: Purchase) -> None:
    paths = [link(purchase, site, trigger, for_=name) for trigger in ("approve", "reject") for name in ("ann", "bea")]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda path: site.client.post(path).status_code, paths * 3))
    assert set(answers) <= {303, 409}
    assert answers.count(303) == 3, "the one that was first, three times"
    assert len(purchase.history) == 2


def test_a_link_that_is_forged_or_over_says_no_more_than_that(
    site: Site, purchase: Purchase, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    path = link(purchase, site, within=60)
    token = path.rpartition("/")[2]
    body, _, signature = token.partition(".")
    with caplog.at_level(logging.DEBUG, logger="fsmflow"):
        for forged in (f"{body}A.{signature}", f"{body}.{'A' * 43}", "x", "..%2f..%2fetc", "A" * 5_000, f"{token}%00"):
            for answer in (site.client.get(f"/links/{forged}"), site.client.post(f"/links/{forged}")):
                assert answer.status_code == 404, forged
                assert "purchase" not in answer.text
        del site.client.headers["Sec-Fetch-Site"]
        assert site.client.post(path, headers={"Origin": "https://evil.example"}).status_code == 403
        site.client.headers["Sec-Fetch-Site"] = "same-origin"
        bench.clock.ms += 60_000
        for answer in (site.client.get(path), site.client.post(path)):
            assert (answer.status_code, "its time is over" in answer.text) == (410, True)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith(("fsmflow", "uvicorn"))]
    assert ours
    assert [line for line in ours if body in line] == []
    assert purchase.refresh().state == "asked"


def test_a_link_that_was_made_void_cannot_be_used(site: Site, purchase: Purchase) -> None:
    path = link(purchase, site)
    approvals.revoke(current())
    assert site.client.post(path).status_code == 404
    assert site.client.get(path).status_code == 404


def test_too_many_words_are_refused_and_nothing_is_decided(site: Site, purchase: Purchase) -> None:
    path = link(purchase, site)
    assert site.client.post(path, data={"words": "x" * 9_000}).status_code == 422
    assert purchase.refresh().state == "asked"
