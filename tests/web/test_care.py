"""In a real browser: failed sales are repaired with care, and a bank's maintenance is waited for in a hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from fsmflow import failures, repairs
from fsmflow.operations.repair import Repair
from tests.support.bench import Bench
from tests.support.browser import browsing, faults, window
from tests.support.servers import WHOLE
from tests.support.website import Site
from tests.web.shop import HOSTILE, Sale
from tests.web.ward import failed, work

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


def repaired(bench: Bench, page: Page, message: str, data: str = "") -> Repair:
    """From the list of failures to the end of a repair of one group."""
    page.goto("/failures")
    page.get_by_role("row").filter(has_text=message).get_by_role("link").click()
    page.get_by_role("link", name="Repair these").click()
    page.get_by_label("Data to bring").fill(data)
    page.get_by_label("Canary").fill("2")
    page.get_by_role("button", name="See what would be done").click()
    work(bench)
    page.reload()
    expect(page.get_by_text("Nothing was done yet.")).to_be_visible()
    page.get_by_role("link", name="Go on: 5").click()
    page.get_by_role("button", name="Go on: retry 5").click()
    work(bench)
    page.reload()
    return next(repairs.find(newest=True))


@pytest.mark.parametrize("scripts", [True, False] if WHOLE else [False])
def test_ten_that_failed_in_two_groups_are_repaired_and_one_group_stops_by_itself(
    bench: Bench, site: Site, browser: Browser, *, scripts: bool
) -> None:
    failed(bench, 5)
    failed(bench, 5, "t", complaint="the till is closed")
    with window(browser, site.url, java_script_enabled=scripts) as seen:
        good = repaired(bench, seen.page, "no card", '{"card": "tok_1"}')
        assert (good.state, good.report().recovered) == ("done", 5)
        bad = repaired(bench, seen.page, "the till is closed")
        expect(seen.page.get_by_text("It is stopped:")).to_be_visible()
        assert (bad.state, bad.report().pending) == ("stopped", 3)
    assert Sale.get("s4").state == "approval"
    assert [each.count for each in failures.groups()] == [5]


def test_an_open_repair_tells_how_far_it_is(bench: Bench, site: Site, browser: Browser) -> None:
    failed(bench, 3)
    made = repairs.start(machine="sale", phase="failed", confirm=False)
    with window(browser, site.url) as seen:
        seen.page.goto(f"/repairs/{made.entity_id}")
        expect(seen.page.get_by_text("0 seen so far.")).to_be_visible()
        work(bench)
        expect(seen.page.get_by_text("It is previewed now.")).to_be_visible(timeout=15_000)


@pytest.mark.parametrize("scripts", [True, False] if WHOLE else [False])
def test_what_is_held_goes_on_once_it_is_released(bench: Bench, site: Site, browser: Browser, *, scripts: bool) -> None:
    with window(browser, site.url, java_script_enabled=scripts) as seen:
        page = seen.page
        page.goto("/holds")
        page.get_by_role("link", name="Hold …").click()
        page.get_by_label("Machine").select_option("sale")
        page.get_by_label("State").fill("charging")
        page.get_by_label("Reason").fill("bank maintenance")
        page.get_by_role("button", name="Hold").click()
        sale = Sale.start("1", card="tok_1")
        sale.trigger("submit")
        bench.advance(10)
        bench.run()
        assert sale.refresh().state == "charging"
        page.goto("/holds")
        page.get_by_role("link", name="Release …").click()
        page.get_by_role("button", name="Release").click()
        expect(page.get_by_role("status")).to_contain_text("was released")
        bench.advance(10)
        bench.run()
        assert sale.refresh().state == "approval"


def test_nothing_is_wrong_with_pages_in_light_dark_and_on_a_phone(bench: Bench, site: Site, browser: Browser) -> None:
    failed(bench, 5, complaint=HOSTILE)
    failed(bench, 1, "good", card="tok_1")
    site.post("/holds/new", machine="sale", state="packing", reason=HOSTILE)
    made = repairs.start(machine="sale", phase="failed", canary=2, actor="ada")
    work(bench)
    group = failures.groups()[0].id
    repair = f"/repairs/{made.entity_id}"
    pages = ["/failures", f"/failures/{group}", f"/failures/{group}/ignore", "/repairs", repair, f"{repair}/resume"]
    pages += [
        f"/repairs/new?q=group:{group}",
        "/holds",
        "/holds/new",
        "/holds/1/release",
        "/limits",
        "/workers",
        "/workers/drain/web1",
        "/schedules",
        "/waiting",
    ]
    for number, options in enumerate(({"color_scheme": "light"}, {"color_scheme": "dark"}, PHONE)):
        with window(browser, site.url, **options) as seen:
            for path in pages if WHOLE else pages[number::3]:
                seen.page.goto(path)
                assert faults(seen.page) == [], (path, options)
                wide = seen.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert wide == 0, (path, options)
