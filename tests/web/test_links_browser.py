"""Approval links in a real browser: two taps on a phone, with and without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from fsmflow import Actor
from tests.support.bench import Bench, bench_on
from tests.support.browser import browsing, faults, window
from tests.support.purchases import MANAGER, Purchase
from tests.support.website import site_of

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=database_url, machines=(Purchase,)) as bench:
        yield bench


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_manager_approves_in_two_taps_on_a_phone(bench: Bench, browser: Browser, *, scripts: bool) -> None:
    purchase = Purchase.start("7", amount=90, iban="AT61 1904", lines=[{"what": "chairs", "count": 4}])
    with (
        site_of(lambda request: None) as site,
        window(browser, site.url, java_script_enabled=scripts, **PHONE) as seen,
    ):
        url = purchase.approval_link("approve", for_=MANAGER, base_url=site.url)
        page = seen.page
        page.goto(url)
        expect(page.get_by_role("button", name="Approve")).to_be_in_viewport()
        assert "1904" not in page.content()
        if scripts:
            assert faults(page) == []
        page.get_by_role("button", name="Approve").tap()
        expect(page.get_by_role("status")).to_contain_text(f"Done. {MANAGER} decided “Approve”")
        assert page.url == url
        page.reload()
        expect(page.get_by_role("button")).to_have_count(0)
    assert (purchase.refresh().state, purchase.history[-1].actor, len(purchase.history)) == ("approved", MANAGER, 2)


def test_who_comes_late_is_told_who_was_first(bench: Bench, browser: Browser) -> None:
    purchase = Purchase.start("8", amount=90)
    with site_of(lambda request: None) as site, window(browser, site.url, color_scheme="dark", **PHONE) as seen:
        page = seen.page
        page.goto(purchase.approval_link("approve", for_=MANAGER, base_url=site.url))
        purchase.trigger("reject", actor=Actor("boss", ["manager"]), reason="too dear")
        page.get_by_role("button", name="Approve").tap()
        expect(page.get_by_role("status")).to_contain_text("Somebody else was first.")
        expect(page.get_by_role("status")).to_contain_text("rejected, by boss (too dear)")
    assert purchase.refresh().state == "rejected"
