"""Mounted in applications of others: the same as by itself, below the place where it is, for whom they let in."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
import pytest

from fsmflow.web.security import BODY_LIMIT, POLICY
from tests.support.bench import Bench, bench_on
from tests.support.mounts import HEADER, LIVE, MOUNTS, ROOT
from tests.support.sample import SAMPLED
from tests.support.servers import Valkey
from tests.support.website import Site
from tests.web.shop import Sale

#: Where a page leads: links, files, forms, and what scripts read.
WAYS = re.compile(r"\b(?:href|src|action|data-ticks|data-live)=\"([^\"#]+)")
HOME = "/shop/"
#: Each by another bridge; the shops of the examples are mounted in the other ways.
SAMPLE = ["flask", "django by asgi"]


@pytest.fixture(params=SAMPLE if SAMPLED else list(MOUNTS), scope="module")
def mount(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def bench(mount: str, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    valkey.start()
    url = f"sqlite:///{tmp_path_factory.mktemp('mount')}/fsmflow.db"
    with bench_on(valkey.url, machines=(Sale,), database_url=url) as bench:
        yield bench


@pytest.fixture(scope="module")
def served(bench: Bench, mount: str) -> Iterator[Site]:
    with MOUNTS[mount]() as found:
        yield found


@pytest.fixture
def site(served: Site) -> Site:
    served.client.headers[HEADER] = "ada"
    return served


@pytest.fixture
def sale(bench: Bench) -> Sale:
    """One that has failed."""
    made = Sale.start(amount=5)
    made.trigger("submit")
    bench.run()
    return made.refresh()


def test_all_that_pages_lead_to_is_below_the_place_where_it_is(site: Site, sale: Sale) -> None:
    ways: set[str] = set()
    for path in ("/", "/entities?q=machine:sale", f"/entity/{sale.address}", f"/do/retry/{sale.address}", "/failures"):
        ways |= {way.replace("&amp;", "&") for way in WAYS.findall(site.page(ROOT + path))}
    assert {way for way in ways if not way.startswith(f"{ROOT}/")} == {HOME}
    seen = {urlsplit(way).path: way for way in ways if way != HOME and not way.endswith("/ticks")}
    assert len(seen) > 20
    for way in seen.values():
        answer = site.client.get(way)
        assert answer.status_code == 200, (way, answer.status_code)
        assert answer.headers["content-security-policy"] == POLICY, way


def test_what_is_sent_is_done_and_leads_to_a_page_below_it(bench: Bench, site: Site, sale: Sale) -> None:
    fields = {"data": '{"amount": 5, "card": "t"}', "reason": "another card", "step": "do"}
    page = site.page(f"{ROOT}/do/retry/{sale.address}")
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))
    way = site.post(f"{ROOT}/do/retry/{sale.address}", 303, **{**hidden, **fields}).headers["location"]
    assert way.startswith(f"{ROOT}/entity/{sale.address}")
    assert "was retried" in site.page(way)
    bench.run()
    assert sale.refresh().state == "approval"


def test_a_form_of_another_site_changes_nothing(site: Site, sale: Sale) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "", "Origin": "https://evil.example"}):
        answer = site.client.post(
            f"{ROOT}/do/cancel/{sale.address}", headers=headers, data={"epoch": sale.epoch, "reason": "x", "step": "do"}
        )
        assert answer.status_code == 403
    assert sale.refresh().state == "failed_from_charging"


def test_who_is_not_known_is_sent_to_the_login_and_who_may_not_is_refused(site: Site, sale: Sale) -> None:
    del site.client.headers[HEADER]
    answer = site.client.get(f"{ROOT}/entities?q=a b")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/shop/login?next=%2Fshop%2Fops%2Fentities%3Fq%3Da%2520b"
    assert site.client.get(f"{ROOT}/api/v1/entities").status_code == 401
    assert site.client.post(f"{ROOT}/hooks/none").json() == {"taken": "unknown"}
    assert "This link cannot be used" in site.page(f"{ROOT}/links/none", 404)
    site.client.headers[HEADER] = "eve"
    refused = site.page(f"{ROOT}/", 403)
    assert "eve" in refused
    assert f'<a href="{HOME}">Shop</a>' in refused
    assert site.client.get(f"{ROOT}/api/v1/entities").status_code == 403


def test_the_api_says_where_it_is(site: Site, sale: Sale) -> None:
    (server,) = site.client.get(f"{ROOT}/api/v1/openapi.json").json()["servers"]
    assert server == {"url": f"{ROOT}/api/v1"}
    here = f"{server['url']}/entities/sale/{sale.entity_id}"
    assert site.client.get(here).json()["address"] == sale.address
    answer = site.client.post(f"{here}/actions/pause", content=json.dumps({"reason": "x"}))
    assert answer.json()["paused"] is True
    assert answer.headers["etag"]


def test_another_host_and_a_large_body_are_refused(site: Site, sale: Sale) -> None:
    assert site.client.get(f"{ROOT}/", headers={"Host": "evil.example"}).status_code in (400, 421)
    assert site.client.post(f"{ROOT}/nowhere", content=b"x" * (BODY_LIMIT + 1)).status_code == 413
    assert site.client.post(f"{ROOT}/nowhere", content=b"x" * BODY_LIMIT).status_code == 404


def test_pages_are_told_of_news_where_that_holds_no_thread(mount: str, site: Site) -> None:
    assert ("data-ticks" in site.page(f"{ROOT}/")) is (mount in LIVE)
    if mount not in LIVE:
        assert site.client.get(f"{ROOT}/ticks").status_code == 404
        return
    with site.client.stream("GET", f"{ROOT}/ticks") as ticks:
        assert ticks.headers["content-type"].startswith("text/event-stream")
        assert next(ticks.iter_text()).startswith("retry: ")


def test_files_and_exports_come_as_they_are(site: Site, sale: Sale) -> None:
    site.client.cookies.clear()
    page = site.client.get(f"{ROOT}/")
    assert page.headers["set-cookie"].startswith("fsmflow_form=")
    assert f"path={ROOT}/" in page.headers["set-cookie"].lower()
    style = re.findall(r'rel="stylesheet" href="([^"]+)"', page.text)[0]
    assert "immutable" in site.client.get(style).headers["cache-control"]
    export = site.client.get(f"{ROOT}/entities.csv?q=machine:sale")
    assert export.status_code == 200
    assert sale.address in export.text
    assert site.client.get(f"{ROOT}/entity/%ff%fe?q=%ff").status_code == 404


def test_a_request_that_breaks_off_changes_nothing(site: Site, sale: Sale) -> None:
    """It comes as a whole or not at all: a part of a form would be another one."""
    parts = urlsplit(site.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as one:
        told = f"Host: 127.0.0.1\r\n{HEADER}: ada\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 90\r\n"
        kind = "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        form = f"epoch={sale.epoch}&reason=x&step=do"
        one.sendall(f"POST {ROOT}/do/cancel/{sale.address} HTTP/1.1\r\n{told}{kind}{form}".encode())
        one.shutdown(socket.SHUT_WR)
        while one.recv(4096):
            pass
    assert sale.refresh().state == "failed_from_charging"
    assert httpx2.get(f"{site.url}{ROOT}/", headers={HEADER: "ada"}).status_code == 200
