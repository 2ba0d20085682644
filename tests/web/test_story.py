"""In a real browser, with real workers: the whole story of a day, each time by other means. CI has one of them."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, Page, expect

import fsmflow
from fsmflow import Actor, settings
from fsmflow.engine import runtime
from fsmflow.settings import Settings
from fsmflow.store.store import create_store
from tests.support.browser import browsing, window
from tests.support.eventually import eventually
from tests.support.paths import ROOT
from tests.support.people import PHONE, Finger, Keys, Mouse
from tests.support.servers import WHOLE
from tests.support.website import Site, site_of
from tests.web.bakery import CLOSED, MACHINES, NO_CARD, Order
from tests.web.day import MANAGER, order

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Means(NamedTuple):
    hands: Callable[[Page], Mouse]
    options: dict[str, Any]


BY = {
    "on a phone": Means(Finger, PHONE),
    "by keys alone": Means(Keys, {}),
    "without scripts": Means(Mouse, {"java_script_enabled": False}),
    "with a mouse": Means(Mouse, {"color_scheme": "dark"}),
}
WHO = {"mia": MANAGER, "cleo": Actor("cleo", ("clerk",), teams="*")}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


@pytest.fixture
def site(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Site]:
    """The site of an installation whose steps one worker runs."""
    create_store(Settings(database_url=database_url)).link.forget_connection()
    fsmflow.configure(database_url=database_url, redis_url=redis_url, machines=MACHINES)
    named = {"FSMFLOW_DATABASE_URL": database_url, "FSMFLOW_REDIS_URL": redis_url, "PYTHONPATH": str(ROOT)}
    environment = {**os.environ, **named, "FSMFLOW_MACHINES": "tests.web.bakery"}
    command = [sys.executable, "-m", "fsmflow.cli", "worker", "--processes", "1"]
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        with site_of(lambda request: WHO[request.headers["who"]]) as found:
            yield found
    finally:
        worker.terminate()
        worker.wait()
        runtime.close()
        settings._chosen.settings = None


def shown(page: Page, path: str, text: str) -> None:
    """Go to a page once it says so."""

    def looked() -> bool:
        return text in re.sub(r"<[^>]+>", "", html.unescape(page.request.get(path).text()))

    eventually(looked, within=60, what=f"{text!r} on {path}")
    page.goto(path)


@pytest.mark.parametrize("means", [*BY] if WHOLE else [*BY][:1])
def test_a_day_is_got_through(site: Site, browser: Browser, means: str) -> None:
    hands, options = BY[means]
    with window(browser, site.url, extra_http_headers={"who": "mia"}, **options) as seen:
        mia = hands(seen.page)
        for number in range(1, 6):
            order(number, card=None)
            order(10 + number, bank="closed")
        _mend_one(mia)
        with window(browser, site.url, extra_http_headers={"who": "cleo"}, **options) as other:
            _approve(mia, hands(other.page))
        _repair(mia)
        _hold(mia)


def _mend_one(mia: Mouse) -> None:
    """Found, read, retried with edited data; and it arrives where it was to come."""
    page = mia.page
    shown(page, "/", "10 in order:failed_from_charging")
    mia.press(page.get_by_role("listitem").filter(has_text="10 in order:failed").get_by_role("link"))
    mia.press(page.get_by_role("link", name="order:1", exact=True))
    expect(page.get_by_role("region", name="Failure")).to_contain_text(f"ValueError: {NO_CARD}")
    mia.press(page.get_by_role("link", name="Retry …"))
    mia.write(page.get_by_label("Data"), '{"customer": "Ada", "amount": 25, "card": "tok_1"}')
    mia.write(page.get_by_label("Reason"), "she gave another card")
    mia.press(page.get_by_role("button", name="See what would come of it"))
    expect(page.get_by_label("What would come of it")).to_contain_text("from failed_from_charging to charging")
    mia.press(page.get_by_role("button", name="Retry", exact=True))
    expect(page.get_by_role("status").filter(has_text="was retried")).to_be_visible()
    shown(page, "/entity/order:1", "approval waiting")


def _approve(mia: Mouse, cleo: Mouse) -> None:
    """A clerk is refused; a manager is told that somebody was first, and approves another one, which arrives."""
    cleo.page.goto("/waiting")
    expect(cleo.page.get_by_text("Nothing waits for you.")).to_be_visible()
    cleo.page.goto("/fire/approve/order:1")
    cleo.press(cleo.page.get_by_role("button", name="Approve"))
    expect(cleo.page.get_by_role("alert")).to_contain_text("Nothing was changed.")
    Order.get("2").retry(data={"card": "tok_2"})
    shown(mia.page, "/waiting", "order:2")
    for number, first in ((1, True), (2, False)):
        mia.page.goto("/waiting")
        mia.press(mia.page.get_by_role("link", name=f"Approve order:{number} …"))
        if first:
            Order.get("1").trigger("reject", actor=Actor("max", ("manager",)), reason="no such street")
        mia.press(mia.page.get_by_role("button", name="Approve"))
        if first:
            expect(mia.page.get_by_role("alert")).to_contain_text("Nothing was done.")
            expect(mia.page.get_by_label("What happened since")).to_contain_text("no such street")
    shown(mia.page, "/entity/order:2", "delivered finished")
    assert Order.get("1").state == "rejected"


def _repair(mia: Mouse) -> None:
    """One group recovers; the other one is stopped by its canary, and the rest of it is left alone."""
    page = mia.page
    for error, data, end in ((NO_CARD, '{"card": "tok_3"}', "3 recovered"), (CLOSED, "", "It is stopped:")):
        page.goto("/failures")
        mia.press(page.get_by_role("row").filter(has_text=error).get_by_role("link"))
        mia.press(page.get_by_role("link", name="Repair these"))
        mia.write(page.get_by_label("Data to bring"), data)
        mia.write(page.get_by_label("Canary"), "2")
        mia.press(page.get_by_role("button", name="See what would be done"))
        repair = page.url
        shown(page, repair, "Nothing was done yet.")
        mia.press(page.get_by_role("link", name="Go on: "))
        mia.press(page.get_by_role("button", name="Go on: "))
        shown(page, repair, end)
    assert [each.history[-1].kind for each in map(Order.get, ("13", "14", "15"))] == ["transition"] * 3


def _hold(mia: Mouse) -> None:
    """What is held stands still until it is released."""
    page = mia.page
    page.goto("/holds")
    mia.press(page.get_by_role("link", name="Hold …"))
    mia.choose(page.get_by_label("Machine"), "order")
    mia.write(page.get_by_label("State"), "charging")
    mia.write(page.get_by_label("Reason"), "the bank is away")
    mia.press(page.get_by_role("button", name="Hold"))
    order(21)
    shown(page, "/holds", "Release")
    mia.press(page.get_by_role("link", name="Release …"))
    assert Order.get("21").state == "charging"
    mia.press(page.get_by_role("button", name="Release"))
    shown(page, "/entity/order:21", "approval waiting")
