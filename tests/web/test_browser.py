"""In a real browser: somebody finds a failed sale, reads why, mends it, and it arrives; with and without scripts, in
light and in dark, by keyboard, on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from fsmflow import Actor
from tests.support.bench import Bench
from tests.support.browser import browsing, faults, window
from tests.support.eventually import eventually
from tests.support.servers import WHOLE
from tests.support.website import Site
from tests.web.shop import HOSTILE, Sale

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

#: What a reader of screens leads to: each has a name.
LED_TO = ("link", "button", "textbox", "checkbox", "combobox", "region", "navigation", "heading")
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


def failed(bench: Bench, id_: str, **data: Any) -> Sale:
    Sale.start(id_, data).trigger("submit")
    bench.run()
    return Sale.get(id_)


def mended(bench: Bench, page: Page, id_: str) -> None:
    """Find it on the first page, read, edit, look, and retry."""
    page.goto("/")
    page.get_by_role("listitem").filter(has_text="failed_from_charging").get_by_role("link").first.click()
    page.get_by_role("link", name=f"sale:{id_}").click()
    expect(page.get_by_role("region", name="Failure")).to_contain_text("ValueError: no card")
    page.get_by_role("link", name="retry", exact=True).click()
    page.get_by_label("Data").fill('{"amount": 5, "card": "tok_1"}')
    page.get_by_label("Reason").fill("the customer gave another card")
    page.get_by_role("button", name="See what would come of it").click()
    expect(page.get_by_label("What would come of it")).to_contain_text("from failed_from_charging to charging")
    page.get_by_role("button", name="Retry", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="was retried")).to_be_visible()
    bench.run()
    page.goto(f"/entity/sale:{id_}")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"sale:{id_}")
    assert Sale.get(id_).state == "approval"


@pytest.mark.parametrize("scripts", [True, False] if WHOLE else [False])
def test_a_failed_one_is_found_read_mended_and_arrives(
    bench: Bench, site: Site, browser: Browser, *, scripts: bool
) -> None:
    failed(bench, "1", amount=5)
    with window(browser, site.url, java_script_enabled=scripts) as seen:
        mended(bench, seen.page, "1")


def test_nothing_is_wrong_with_pages_in_light_dark_and_on_a_phone(bench: Bench, site: Site, browser: Browser) -> None:
    failed(bench, "1", amount=5, complaint=HOSTILE)
    failed(bench, "2", card="t", torn=True).trigger("approve", actor=Actor("ada", ("manager",)))
    failed(bench, "3", card="t").force("sold")
    bench.run()
    pages = ["/", "/?list=1", "/entities?q=machine:sale", "/entity/sale:1", "/entity/sale:2", "/do/retry/sale:1"]
    pages += [
        "/do/erase/sale:1",
        "/fire/note/sale:1",
        "/compare/sale:1",
        "/nowhere",
        "/entity/sale:2?list=1",
        "/start/sale",
    ]
    for number, options in enumerate(({"color_scheme": "light"}, {"color_scheme": "dark"}, PHONE)):
        with window(browser, site.url, **options) as seen:
            for path in pages if WHOLE else pages[number::3]:
                seen.page.goto(path)
                assert faults(seen.page) == [], (path, options)
                wide = seen.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert wide == 0, (path, options)


def test_an_open_page_is_told_of_news_and_nothing_else_moves(bench: Bench, site: Site, browser: Browser) -> None:
    sale = failed(bench, "1", card="t")
    with window(browser, site.url) as overview, window(browser, site.url) as one:
        overview.page.goto("/?list=1")
        one.page.goto("/entity/sale:1")
        count = overview.page.locator('[data-n="count sale approval"]')
        expect(count).to_have_text("1")
        failed(bench, "2", card="t")
        sale.pause()
        expect(count).to_have_text("2", timeout=15_000)
        expect(one.page.get_by_role("status")).to_contain_text("has changed meanwhile", timeout=15_000)


def test_all_of_it_is_reached_by_keys(bench: Bench, site: Site, browser: Browser) -> None:
    failed(bench, "1", amount=5)
    with window(browser, site.url) as seen:
        page = seen.page
        page.goto("/entities")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.keyboard.type("machine:sale phase:failed")
        # Completed is the last word; what stands before it stays.
        assert page.evaluate("[...document.querySelector('#q').list.options].at(-1).value") == "machine:sale group:"
        page.keyboard.press("Enter")
        page.wait_for_url("**phase*")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/entity/sale:1")
        eventually(lambda: page.get_by_role("heading", level=1).text_content() == "sale:1", what="the page of sale:1")


def read_out(page: Page, path: str) -> set[tuple[str, str]]:
    """The role and the name of everything on a page, as Chromium tells them to a reader of screens."""
    page.goto(path)
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    shown = [each for each in nodes if not each["ignored"]]
    return {(each["role"]["value"], each.get("name", {}).get("value", "")) for each in shown}


def test_diagrams_lists_and_forms_have_names_and_roles(bench: Bench, site: Site, browser: Browser) -> None:
    failed(bench, "s0", amount=5)
    with window(browser, site.url) as seen:
        overview = read_out(seen.page, "/")
        assert ("region", "Diagram of sale") in overview
        assert any(role == "link" and "failed_from_charging" in name for role, name in overview), overview
        listed = read_out(seen.page, "/?list=1")
        assert ("region", "States of sale") in listed
        assert {("link", "failed_from_charging"), ("columnheader", "Entities")} <= listed
        entity = read_out(seen.page, "/entity/sale:s0")
        assert {("heading", "What happened"), ("region", "Failure"), ("link", "Retry …")} <= entity
        form = read_out(seen.page, "/do/retry/sale:s0")
        assert {("textbox", "Data"), ("textbox", "Reason"), ("button", "Retry")} <= form
        for page in (overview, listed, entity, form):
            assert [each for each in page if each[0] in LED_TO and not each[1].strip()] == []
