"""What every answer says, and what is not even looked at."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
import pytest

from fsmflow import holds
from fsmflow.web import LocalUser
from fsmflow.web.security import POLICY
from tests.support.bench import Bench
from tests.support.machines import Order
from tests.support.website import Site, site_of

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def local(bench: Bench) -> Iterator[Site]:
    """Served without a login, as ``fsmflow web`` does."""
    with site_of(None) as found:
        yield found


def test_every_answer_forbids_what_is_not_its_own(site: Site) -> None:
    for path, status in (("/", 200), ("/nowhere", 404), ("/static/x/app.js", 200)):
        answer = site.client.get(path)
        assert answer.status_code == status
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers


def test_pages_are_kept_by_nobody_and_files_for_good(site: Site) -> None:
    page = site.client.get("/")
    assert page.headers["cache-control"] == "no-store"
    style = page.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    assert "immutable" in site.client.get(style).headers["cache-control"]
    assert site.client.get("/static/0000/app.css").headers["cache-control"] == "no-cache"


def test_no_other_file_is_served(site: Site) -> None:
    for name in ("..%2f..%2fapp.py", "..", "base.html", "app.css%00.js", "%2e%2e/app.py"):
        assert site.client.get(f"/static/x/{name}").status_code == 404, name


def test_nobody_who_is_known_is_asked_to_log_in(bench: Bench) -> None:
    with site_of(lambda request: None) as site:
        assert "Please log in" in site.page("/", 401)
        assert "Order" not in site.page("/entities", 401)
        problem = site.client.get("/api/v1/entities")
        assert problem.status_code == 401
        assert problem.headers["content-type"] == "application/problem+json"


def test_without_a_login_this_machine_is_the_systems_user(local: Site) -> None:
    assert 'class="who"' in local.page("/")


def test_a_page_whose_name_was_made_to_lead_here_is_refused(local: Site) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", ""):
        assert local.client.get("/", headers={"Host": host}).status_code == 421, host


def test_who_comes_through_a_proxy_is_not_the_systems_user(local: Site) -> None:
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
        assert local.client.get("/", headers={header: "198.51.100.7"}).status_code == 401, header


def test_only_the_names_that_are_served_are_answered_to(bench: Bench) -> None:
    with site_of(hosts=["shop.example"]) as site:
        assert site.client.get("/", headers={"Host": "shop.example"}).status_code == 200
        assert site.client.get("/", headers={"Host": "other.example"}).status_code == 421


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {},
]


def test_a_form_of_another_site_changes_nothing(site: Site) -> None:
    order = Order.start("1")
    for headers in FOREIGN:
        answer = httpx2.post(f"{site.url}/do/cancel/order:1", headers=headers, data={"reason": "x"})
        assert answer.status_code == 403, headers
        assert "Nothing was changed" in answer.text
    assert order.refresh().state == "pending"


def test_a_browser_that_does_not_say_where_a_form_came_from_repeats_the_cookie(site: Site) -> None:
    with httpx2.Client(base_url=site.url) as browser:
        browser.get("/")
        token = browser.cookies["fsmflow_form"]
        assert browser.post("/nowhere", data={"token": token}).status_code == 404
        assert browser.post("/nowhere", data={"token": "x" * len(token)}).status_code == 403
        assert httpx2.post(f"{site.url}/nowhere", data={"token": token}).status_code == 403


def test_a_form_of_the_same_origin_passes(site: Site) -> None:
    assert httpx2.post(f"{site.url}/nowhere", headers={"Origin": site.url}).status_code == 404


def test_a_body_that_is_too_large_is_refused_before_it_has_come(bench: Bench) -> None:
    with site_of(body_limit=1000) as site:
        assert site.client.post("/nowhere", content=b"x" * 1001).status_code == 413
        parts = iter([b"x" * 600, b"x" * 600])
        assert site.client.post("/nowhere", content=parts).status_code == 413
        assert site.client.post("/nowhere", content=b"x" * 1000).status_code == 404


def test_a_body_that_comes_too_slowly_is_waited_for_no_longer(bench: Bench) -> None:
    with site_of(body_limit_s=0.1) as site:
        address = urlsplit(site.url)
        with socket.create_connection((address.hostname, address.port)) as slow:
            slow.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
            assert b"408" in slow.recv(100)


def test_of_a_request_that_breaks_off_nothing_is_done(bench: Bench) -> None:
    order, address = Order.start("1"), "/api/v1/entities/order/1/actions/cancel"
    with site_of() as site:
        for kind, path, part in (
            ("application/json", address, b""),
            ("application/x-www-form-urlencoded", "/holds/new", b"machine=order&state=charging"),
        ):
            server = urlsplit(site.url)
            with socket.create_connection((server.hostname, server.port)) as sender:
                head = f"POST {path} HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\nContent-Type: {kind}\r\n"
                sender.sendall(f"{head}Content-Length: 100\r\n\r\n".encode() + part)
                sender.shutdown(socket.SHUT_WR)
                assert sender.recv(100) == b""
        site.page("/")  # what was asked before has been dealt with
    assert order.refresh().state == "pending"
    assert holds.current_holds() == []


def test_a_form_that_cannot_be_read_is_not_taken_for_an_empty_one(site: Site) -> None:
    made = holds.hold("order", state="charging")
    for kind, content in (
        ("application/x-www-form-urlencoded", b"rate=1%FF"),
        ("application/x-www-form-urlencoded", b"rate=\xff"),
        ("application/x-www-form-urlencoded", b"rate=1" + b"&x=1" * 200),
        ("text/plain", b"rate=1"),
        ("multipart/form-data; boundary=x", b"--x\r\n"),
        ("", b"rate=1"),
    ):
        answer = site.client.post(f"/holds/{made.number}/release", content=content, headers={"Content-Type": kind})
        assert answer.status_code == 422, content
    assert [each.released_at for each in holds.current_holds()] == [None]


def test_an_origin_that_is_none_is_that_of_others(site: Site) -> None:
    assert httpx2.post(f"{site.url}/nowhere", headers={"Origin": "http://["}).status_code == 403


def test_what_auth_returns_has_to_be_an_actor(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with site_of(lambda request: "ada") as site:
        assert "It did not work" in site.page("/", 500)
    assert "auth returned str" in caplog.text


def test_the_systems_user_is_nobody_from_elsewhere(bench: Bench) -> None:
    with site_of(LocalUser(), hosts=["shop.example"]) as site:
        assert site.client.get("/", headers={"Host": "shop.example"}).status_code == 401


def test_a_request_that_breaks_off_changes_nothing(site: Site) -> None:
    """A part of a form would be another form."""
    order, parts = Order.start("1"), urlsplit(site.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as one:
        told = "Host: 127.0.0.1\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 90\r\n"
        kind = "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        one.sendall(f"POST /do/cancel/order:1 HTTP/1.1\r\n{told}{kind}epoch={order.epoch}&reason=x&step=do".encode())
        one.shutdown(socket.SHUT_WR)
        while one.recv(4096):
            pass
    site.page("/")
    assert order.refresh().state == "pending"
