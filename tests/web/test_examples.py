"""The shops of ``examples`` in a real browser: the login of the shop is that of the dashboard in it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.docs.test_pages import DOCS, blocks_of
from tests.support.bench import Bench, bench_on
from tests.support.browser import browsing, window
from tests.support.projects import (
    DJANGO_TESTS,
    EXAMPLES,
    PLAIN,
    TESTS,
    copy_of,
    database_settings,
    environment_of,
    machine_of,
    served,
)
from tests.support.sample import SAMPLED
from tests.support.servers import WHOLE, Valkey

#: All have the same one.
Order = machine_of("flask_shop")
#: Each starts a process, or two.
IN_BROWSER = ["django_shop"] if SAMPLED else list(TESTS)
BY_ITSELF = ["fastapi_shop"] if SAMPLED else [name for name in TESTS if name != "django_shop"]
#: That of the shop in Django is run on each server below.
SERVERS = [pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("mysql", marks=pytest.mark.mysql)]
ON = ["sqlite", *(SERVERS if WHOLE else [])]
PAGE = DOCS / "how-to" / "mount.md"
GOOD, DECLINED = "4242 4242 4242 4242", "4000 0000 0000 0002"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('shops')}/fsmflow.db"


@pytest.fixture(scope="module")
def bench(valkey: Valkey, database: str) -> Iterator[Bench]:
    valkey.start()
    with bench_on(valkey.url, machines=(Order,), database_url=database) as bench:
        yield bench


@pytest.fixture(scope="module")
def shops(
    browser: Browser, bench: Bench, valkey: Valkey, database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("projects")
    with served(IN_BROWSER, folder, FSMFLOW_DATABASE_URL=database, FSMFLOW_REDIS_URL=valkey.url) as found:
        yield found


def log_in(page: Page, name: str) -> None:
    page.get_by_label(re.compile("name", re.IGNORECASE)).fill(name)
    page.get_by_label("Password").fill("try it out")
    page.get_by_role("button", name="Log in").click()


def order(bench: Bench, page: Page, item: str) -> None:
    """As a customer, who may order and no more."""
    page.goto("/")
    log_in(page, "carl")
    page.get_by_label("Item").fill(item)
    page.get_by_label("Card").fill(DECLINED)
    page.get_by_role("button", name="Order").click()
    expect(page.get_by_text(f"{item}: charging")).to_be_visible()
    bench.run()
    page.goto("/workflows/")
    expect(page.get_by_role("main")).to_contain_text("'carl'")
    expect(page.get_by_role("navigation")).to_have_count(0)
    page.get_by_role("link", name="Shop").click()
    page.get_by_role("button", name="Log out").click()


def mend(bench: Bench, page: Page, item: str) -> None:
    """As the support, who comes by a link to what has failed."""
    page.goto("/workflows/entities?q=phase:failed item=lamp".replace("lamp", item))
    log_in(page, "ann")
    page.get_by_role("main").get_by_role("link", name="order:").first.click()
    expect(page.get_by_role("region", name="Failure")).to_contain_text("CardDeclined: the card was declined")
    page.get_by_role("link", name="retry", exact=True).click()
    data = json.loads(page.get_by_label("Data").input_value())
    page.get_by_label("Data").fill(json.dumps({**data, "card": GOOD}))
    page.get_by_label("Reason").fill("the customer gave another card")
    page.get_by_role("button", name="Retry", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="was retried")).to_be_visible()
    bench.run()


def look_in_the_administration(page: Page) -> None:
    """Under a policy that lets no script and no style run that stands in a page."""
    page.route("**/admin/shop/**", _strictly)
    page.get_by_role("link", name="Orders").first.click()
    expect(page.get_by_role("cell", name="shipped")).to_have_count(1)
    page.get_by_role("row").last.get_by_role("link").first.click()
    panel = page.get_by_role("region", name="Workflow order:")
    expect(panel).to_contain_text("the customer gave another card")
    picture = panel.get_by_role("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    page.go_back()
    page.go_back()


def _strictly(route: Route) -> None:
    answer = route.fetch()
    kept = {name: value for name, value in answer.headers.items() if name != "content-security-policy"}
    policy = answer.headers.get("content-security-policy", "default-src 'self'; img-src 'self' data:")
    route.fulfill(response=answer, headers={**kept, "content-security-policy": policy})


@pytest.mark.parametrize("name", IN_BROWSER)
def test_the_login_of_a_shop_is_that_of_the_dashboard_in_it(
    bench: Bench, shops: dict[str, str], browser: Browser, name: str
) -> None:
    item = f"lamp-{name}"
    with window(browser, shops[name]) as seen:
        page = seen.page
        order(bench, page, item)
        mend(bench, page, item)
        (found,) = Order.find(data={"item": item})
        assert (found.state, found.data["card"]) == ("shipped", GOOD)
        assert [entry.actor for entry in found.history if entry.reason] == ["ann"]
        if name == "django_shop":
            page.get_by_role("link", name="Administration").click()
            look_in_the_administration(page)
            page.get_by_role("link", name="Workflows").first.click()
            expect(page.get_by_role("navigation", name="Main")).to_be_visible()
        page.get_by_role("link", name="Shop").click()
        page.get_by_role("button", name="Log out").click()
        page.goto("/workflows/")
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()


@pytest.mark.parametrize("name", [*BY_ITSELF, *PLAIN])
def test_its_own_tests_pass(tmp_path: Path, name: str) -> None:
    command = [sys.executable, *{**TESTS, **PLAIN}[name]]
    folder = copy_of(name, tmp_path)
    ended = subprocess.run(command, cwd=folder, env=environment_of(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("database_url", ON, indirect=True)
def test_the_tests_of_the_shop_in_django_pass_on_each_server(tmp_path: Path, database_url: str) -> None:
    folder = copy_of("django_shop", tmp_path)
    environment = environment_of(**database_settings(database_url))
    command = [sys.executable, "-c", DJANGO_TESTS]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_shops_differ_in_their_frameworks_alone() -> None:
    assert len({(EXAMPLES / name / "machines.py").read_text(encoding="utf-8") for name in TESTS}) == 1


def test_the_code_on_the_page_is_that_of_the_shops() -> None:
    shown = [block for block in blocks_of(PAGE.read_text(encoding="utf-8"), PAGE.name) if block.title]
    titles = {str(block.title).replace("machines.py", "flask_shop/machines.py"): block.body for block in shown}
    assert {title.partition("/")[0] for title in titles} == set(TESTS)
    for title, body in titles.items():
        assert body == (EXAMPLES / title).read_text(encoding="utf-8"), title
