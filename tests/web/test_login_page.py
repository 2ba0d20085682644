"""Logging in and out in a real browser: with and without scripts, by keyboard, on a phone, from a link elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from fsmflow.engine import users
from fsmflow.web import Login, TokenAuth, first_of
from tests.support.bench import Bench
from tests.support.browser import browsing, faults, window
from tests.support.website import Site, site_of
from tests.web.test_login import HASH, OPS, WORDS

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


@pytest.fixture
def site(bench: Bench) -> Iterator[Site]:
    users.add(bench.runtime, "ann", HASH, OPS)
    with site_of(first_of(TokenAuth(), Login())) as site:
        yield site


def log_in(page: Page) -> None:
    """By keyboard alone; the page says where to begin."""
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("ann")
    page.keyboard.press("Tab")
    page.keyboard.type(WORDS)
    page.keyboard.press("Enter")
    expect(page.get_by_text("as ann")).to_be_visible()


@pytest.mark.parametrize("options", [{"java_script_enabled": False}, PHONE], ids=["without scripts", "on a phone"])
def test_somebody_logs_in_and_out(site: Site, browser: Browser, options: dict[str, Any]) -> None:
    with window(browser, site.url, **options) as opened:
        page = opened.page
        page.goto("/entities?state=new")
        log_in(page)
        assert page.url == f"{site.url}/entities?state=new"
        assert page.evaluate("document.cookie") == "" if options is PHONE else True
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        page.goto("/entities")
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_wrong_password_is_told_and_a_reader_of_screens_finds_all(site: Site, browser: Browser) -> None:
    with window(browser, site.url, color_scheme="dark") as opened:
        page = opened.page
        page.goto("/login")
        for _ in range(2):
            assert faults(page) == []
            page.get_by_label("Name").fill("ann")
            page.get_by_label("Password").fill("wrong horse battery")
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
            expect(page.get_by_label("Password")).to_be_focused()


def test_a_link_of_another_site_leads_in_whoever_has_logged_in(site: Site, browser: Browser) -> None:
    with window(browser, site.url) as opened:
        page = opened.page
        page.goto("/")
        log_in(page)
        mail = f'<a href="{site.url}/entities?state=new">an order waits</a>'
        page.route("http://mail.example/*", lambda route: route.fulfill(content_type="text/html", body=mail))
        page.goto("http://mail.example/1")
        page.get_by_role("link").click()
        expect(page.get_by_text("as ann")).to_be_visible()
        assert page.url == f"{site.url}/entities?state=new"
