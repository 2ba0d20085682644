"""Logging in as a browser does, and asking as a program does, over HTTP: who is let in, until when, and who is not."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from fsmflow.decision.inputs import Actor
from fsmflow.decision.user import TokenKind
from fsmflow.engine import sessions, tokens, users
from fsmflow.errors import ConfigurationError
from fsmflow.web import HeaderAuth, Login, TokenAuth, first_of
from fsmflow.web.login import _local
from fsmflow.web.passwords import hashed, is_right
from tests.support.bench import Bench
from tests.support.website import Site, site_of

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

WORDS = "correct horse battery"
OPS = Actor("ops")
HOUR_MS = 3_600_000
FROM_HERE = {"Sec-Fetch-Site": "same-origin"}
#: Hashing takes long, on purpose.
HASH = hashed(WORDS, "ann")


@pytest.fixture
def ann(bench: Bench) -> str:
    """A user."""
    users.add(bench.runtime, "ann", HASH, OPS, roles=["manager"])
    return "ann"


@pytest.fixture
def site(bench: Bench, ann: str) -> Iterator[Site]:
    with site_of(first_of(TokenAuth(), Login(trusted=["127.0.0.0/8"]))) as site:
        yield site


def log_in(site: Site, name: str = "ann", password: str = WORDS, **more: Any) -> httpx2.Response:
    fields = {"name": name, "password": password, **more.pop("fields", {})}
    return site.client.post("/login", data=fields, **more)


def cookie_of(answer: httpx2.Response) -> str:
    """The header that sets the session; it is the only one that does."""
    (found,) = [one for one in answer.headers.get_list("set-cookie") if "fsmflow_session" in one]
    return str(found)


def has_logged_in(site: Site) -> bool:
    return site.client.get("/").status_code == 200


def test_who_is_not_known_gets_to_the_form_and_back_and_out_again(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fsmflow")
    turned = site.client.get("/entities?state=new&x=a%20b")
    assert (turned.status_code, turned.headers["location"]) == (
        303,
        "/login?next=%2Fentities%3Fstate%3Dnew%26x%3Da%2520b",
    )
    form = site.page(turned.headers["location"])
    assert 'value="/entities?state=new&amp;x=a%20b"' in form
    assert 'autocomplete="current-password"' in form
    answer = log_in(site, fields={"next": "/entities?state=new&x=a%20b"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/entities?state=new&x=a%20b")
    assert answer.headers["cache-control"] == "no-store"
    page = site.page("/")
    assert "ann" in page
    assert "Log out" in page
    assert site.client.get("/login?next=/entities").headers["location"] == "/entities"
    left = site.client.post("/logout")
    assert (left.status_code, left.headers["location"], left.headers["clear-site-data"]) == (303, "/login", '"cache"')
    assert not has_logged_in(site)
    assert site.client.get("/logout").status_code == 405
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("login")]
    assert told == ["login.accepted: 'ann' from 127.0.0.1", "login.ended: 'ann' from 127.0.0.1"]


def test_a_wrong_name_and_a_wrong_password_are_told_alike_and_logged(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    pages = []
    for name, password in (("ann", "wrong horse battery"), ("Ann", WORDS), (WORDS, ""), ("ann", ""), ("x" * 999, "y")):
        answer = log_in(site, name, password)
        assert answer.status_code == 403
        assert not any("fsmflow_session" in one for one in answer.headers.get_list("set-cookie"))
        pages.append(answer.text.replace(f'value="{name[:200]}"', 'value="NAME"'))
    assert set(pages) == {pages[0]}
    assert "The name or the password is wrong." in pages[0]
    whys = [record.getMessage() for record in caplog.records]
    assert whys[0] == "login.refused: 'ann' from 127.0.0.1: wrong password"
    # What was typed in the wrong place is a password.
    assert whys[1] == "login.refused: 'a name that nobody has' from 127.0.0.1: no such user"
    assert len(whys) == 5
    assert "horse" not in caplog.text


def test_it_takes_as_long_where_there_is_no_such_user(bench: Bench) -> None:
    def took(stored: str | None) -> float:
        """The least of a few: the machine is busy with other things, too."""
        found = []
        for _ in range(4):
            began = time.thread_time()
            assert not is_right("wrong horse battery", stored)
            found.append(time.thread_time() - began)
        return min(found)

    known, unknown = took(HASH), took(None)
    assert 0.5 < unknown / known < 2
    assert known > 0.005


def test_the_cookie_is_for_this_host_alone_and_no_script_reads_it(site: Site) -> None:
    plain = cookie_of(log_in(site))
    assert re.fullmatch(r"fsmflow_session=[\w-]{43}; HttpOnly; Max-Age=43200; Path=/; SameSite=strict", plain), plain
    by_https = log_in(site, headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"})
    secure = cookie_of(by_https)
    assert secure.startswith("__Host-fsmflow_session=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=strict"} <= set(secure.split("; "))
    assert "Domain" not in secure


def test_the_cookie_of_forms_goes_by_https_alone_where_a_trusted_proxy_is_asked_by_it(bench: Bench, site: Site) -> None:
    def given(url: str, **headers: str) -> str:
        answer = httpx2.get(f"{url}/login", headers={name.replace("_", "-"): value for name, value in headers.items()})
        return str(answer.headers["set-cookie"])

    assert "Secure" in given(site.url, x_forwarded_proto="https").split("; ")
    assert "Secure" not in given(site.url)
    with site_of(first_of(TokenAuth(), Login(trusted=["192.0.2.0/24"]))) as other:
        assert "Secure" not in given(other.url, x_forwarded_proto="https")
    with site_of(first_of(TokenAuth(), HeaderAuth("X-User", trusted=["127.0.0.0/8"]))) as other:
        answer = httpx2.get(other.url, headers={"X-Forwarded-Proto": "https", "X-User": "ann"})
        assert answer.status_code == 200
        assert "Secure" in answer.headers["set-cookie"].split("; ")


def test_a_proxy_that_is_not_trusted_says_nothing_of_https_nor_of_whoever_asks(
    bench: Bench, ann: str, caplog: pytest.LogCaptureFixture
) -> None:
    with site_of(Login(trusted=["192.0.2.0/24"])) as site:
        answer = log_in(site, "ann", "no", headers={"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"})
        assert answer.status_code == 403
        assert "from 127.0.0.1" in caplog.text
        assert cookie_of(log_in(site, headers={"X-Forwarded-Proto": "https"})).startswith("fsmflow_session=")


def test_nobody_chooses_the_session_of_another(bench: Bench, site: Site) -> None:
    # One that was never given out, and one of somebody who would like to see what another does.
    mallory = sessions.begin(bench.runtime, users.known(bench.runtime, "ann"), HOUR_MS)
    for planted in ("a" * 43, mallory):
        site.client.cookies.set("fsmflow_session", planted)
        answer = log_in(site)
        given = cookie_of(answer).partition("=")[2].partition(";")[0]
        assert given not in (planted, "")
        site.client.cookies.clear()
        site.client.cookies.set("fsmflow_session", planted)
        assert not has_logged_in(site), "what was there before the login lets nobody in after it"
        site.client.cookies.clear()


def test_what_was_changed_in_a_cookie_lets_nobody_in_nor_does_what_has_ended(bench: Bench, site: Site) -> None:
    secret = cookie_of(log_in(site)).partition("=")[2].partition(";")[0]
    stored = bench.runtime.store.tokens.of_kind(TokenKind.SESSION)[0]
    for other in ("", secret[:-1], secret[:-1] + ("A" if secret[-1] != "A" else "B"), secret + "A", stored.digest):
        assert httpx2.get(site.url, cookies={"fsmflow_session": other}).status_code == 303
    assert httpx2.get(site.url, cookies={"fsmflow_session": secret}).status_code == 200
    bench.clock.ms += HOUR_MS
    assert httpx2.get(site.url, cookies={"fsmflow_session": secret}).status_code == 303
    site.client.cookies.clear()
    log_in(site)
    for _ in range(14):
        assert has_logged_in(site)
        bench.clock.ms += HOUR_MS - 300_000
    assert not has_logged_in(site), "twelve hours after the login it is over, however busy it was"


@pytest.mark.parametrize("ended_by", ["password", "disabled", "removed", "logout"])
def test_sessions_end_in_every_browser(bench: Bench, site: Site, ended_by: str) -> None:
    log_in(site)
    phone = httpx2.Client(base_url=site.url, headers=FROM_HERE)
    phone.post("/login", data={"name": "ann", "password": WORDS})
    assert phone.get("/").status_code == 200
    runtime = bench.runtime
    if ended_by == "password":
        users.change_password(runtime, "ann", hashed("staple correct horse", "ann"), OPS)
        assert log_in(site).status_code == 403
    elif ended_by == "disabled":
        users.disable(runtime, "ann", OPS)
        assert log_in(site).status_code == 403
        users.enable(runtime, "ann", OPS)
    elif ended_by == "removed":
        users.remove(runtime, "ann", OPS)
    else:
        # This browser alone; the other goes on.
        site.client.post("/logout")
        assert phone.get("/").status_code == 200
        users.end_sessions(runtime, "ann", OPS)
    assert (has_logged_in(site), phone.get("/").status_code) == (False, 303)
    phone.close()


def test_whoever_tries_too_often_has_to_wait_by_name_and_by_address(bench: Bench, site: Site) -> None:
    def waits(name: str, address: str) -> int:
        return sessions.has_to_wait(bench.runtime, name, address)

    def tried(name: str, address: str) -> int:
        return log_in(site, name, "wrong", headers={"X-Forwarded-For": address}).status_code

    # From ten places, ten times; the owner of the name waits too, if not for long.
    assert [waits("ann", f"198.51.100.{number}") for number in range(9)] == [0] * 9
    assert tried("ann", "198.51.100.9") == 403
    refused = log_in(site)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    assert "Try again in 60 s." in refused.text
    bench.clock.ms += 60_000
    assert log_in(site).status_code == 303
    # A name that nobody has is told alike.
    assert [waits("nobody", f"203.0.113.{number}") for number in range(10)] == [0] * 10
    assert tried("nobody", "203.0.113.11") == 429
    # From one place, whoever's name; of IPv6 one network is one place.
    assert [waits(f"name-{number}", f"2001:db8::{number:x}") for number in range(30)] == [0] * 30
    assert tried("name-x", "2001:db8::ffff") == 429
    assert tried("name-x", "2001:db8:0:1::1") == 403


ELSEWHERE = [
    "//evil.example",
    "https://evil.example/",
    "/\\evil.example",
    "\\\\evil.example",
    "/%09/evil.example\t",
    "/\t/evil.example",
    "javascript:alert(1)",
    "evil.example",
    "http:evil.example",
    "/login?next=/login",
    "/a\r\nSet-Cookie: x=1",
    "/" + "a" * 3_000,
]


def test_after_the_login_nobody_is_led_to_another_site(site: Site) -> None:
    assert [_local(elsewhere) for elsewhere in ELSEWHERE] == ["/"] * len(ELSEWHERE)
    log_in(site)
    for elsewhere in ELSEWHERE:
        answer = site.client.get("/login", params={"next": elsewhere})
        assert (answer.status_code, answer.headers["location"]) == (303, "/"), elsewhere


def test_another_site_logs_nobody_in_or_out(site: Site) -> None:
    there = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    assert log_in(site, headers=there).status_code == 403
    log_in(site)
    assert site.client.post("/logout", headers=there).status_code == 403
    assert has_logged_in(site)


def test_a_link_of_another_site_asks_once_more_so_that_the_browser_sends_its_cookie(site: Site) -> None:
    page = site.client.get("/entities?a=1", headers={"Sec-Fetch-Site": "cross-site"})
    assert (page.status_code, 'http-equiv="refresh" content="0"' in page.text) == (200, True)
    assert 'href="/entities?a=1"' in page.text
    page = site.client.get(f"{site.url}//evil.example/x", headers={"Sec-Fetch-Site": "cross-site"})
    assert '<a href="/">Go on' in page.text
    fragment = site.client.get("/", headers={"HX-Request": "true"})
    assert (fragment.status_code, fragment.headers["hx-redirect"], fragment.text) == (401, "/login", "")


def test_a_token_acts_as_its_owner_and_stands_in_no_log_and_no_url(
    bench: Bench, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token, secret = tokens.make(bench.runtime, "ann", OPS, lasts_ms=HOUR_MS)

    def asked(method: str = "GET", **headers: str) -> int:
        return httpx2.request(method, f"{site.url}/", headers=headers).status_code

    assert asked(Authorization=f"Bearer {secret}") == 200
    assert asked(Authorization=f"bearer   {secret}") == 200
    # In a URL, in a cookie, as a password and by another scheme it is nothing.
    for where in (f"/?token={secret}", f"/?access_token={secret}", f"/login?next=/%3Ftoken={secret}"):
        assert "ann" not in httpx2.get(site.url + where, follow_redirects=True).text
    assert httpx2.get(site.url, cookies={"fsmflow_session": secret}).status_code == 303
    assert asked(Authorization=f"Basic {secret}") == 303
    assert log_in(site, "ann", secret).status_code == 403
    for wrong in (f"Bearer {secret[:-1]}", "Bearer", "Bearer " + "x" * 9_000):
        assert asked(Authorization=wrong) == 303
    assert "token.refused: from 127.0.0.1: no such token" in caplog.text
    tokens.revoke(bench.runtime, token.id, OPS)
    assert asked(Authorization=f"Bearer {secret}") == 303
    assert f"token.refused: from 127.0.0.1: token {token.id} of 'ann' was revoked" in caplog.text
    # Whoever asks here, by the libraries of HTTP, tells all of it.
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert ours
    assert all(secret not in record.getMessage() for record in ours)


def test_a_token_that_only_looks_changes_nothing_and_programs_are_told_as_programs(bench: Bench, site: Site) -> None:
    _, looks = tokens.make(bench.runtime, "ann", OPS, lasts_ms=HOUR_MS, reads=True)
    _, acts = tokens.make(bench.runtime, "ann", OPS, lasts_ms=HOUR_MS)

    def asked(method: str, secret: str | None) -> httpx2.Response:
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        return httpx2.request(method, f"{site.url}/api/v1/nothing-there", headers=headers)

    assert asked("GET", looks).status_code == 404
    refused = asked("POST", looks)
    assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json")
    assert "only lets look" in refused.json()["detail"]
    # A program with a token is no page of another site, whatever it sends.
    assert asked("POST", acts).status_code == 404
    nobody = asked("GET", None)
    assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")


def test_a_token_that_lets_nobody_in_is_not_made_good_by_a_session(bench: Bench, site: Site) -> None:
    log_in(site)
    looks, secret = tokens.make(bench.runtime, "ann", OPS, lasts_ms=HOUR_MS, reads=True)

    def asked(method: str) -> int:
        return site.client.request(method, "/", headers={"Authorization": f"Bearer {secret}"}).status_code

    assert has_logged_in(site)
    assert (asked("GET"), asked("POST")) == (200, 403)
    tokens.revoke(bench.runtime, looks.id, OPS)
    assert asked("GET") == 303
    assert has_logged_in(site)


def test_who_a_trusted_proxy_names_is_let_in_and_nobody_else_is_believed(
    bench: Bench, ann: str, caplog: pytest.LogCaptureFixture
) -> None:
    said = {"X-Forwarded-User": "ann", "X-Forwarded-Groups": "manager, on call,"}
    seen: list[Actor | None] = []

    def noted(auth: Any) -> Any:
        def who(request: Any) -> Actor | None:
            seen.append(auth(request))
            return seen[-1]

        return who

    options: dict[str, Any] = {"groups": "X-Forwarded-Groups"}
    with site_of(noted(HeaderAuth("X-Forwarded-User", trusted=["127.0.0.1/32"], **options))) as site:
        assert site.client.get("/", headers=said).status_code == 200
        assert seen[-1] == Actor("ann", ["manager", "on call"], teams="*")
        for bad in ([], [("X-Forwarded-User", "")], [("X-Forwarded-User", "ann"), ("X-Forwarded-User", "bea")]):
            assert site.client.get("/", headers=httpx2.Headers(bad)).status_code == 401
        assert site.client.get("/", headers={"X-Forwarded-User": "x" * 300}).status_code == 401
        users.disable(bench.runtime, "ann", OPS)
        assert site.client.get("/", headers=said).status_code == 401
    with site_of(HeaderAuth("X-Forwarded-User", trusted=["10.0.0.0/8"])) as site:
        assert site.client.get("/", headers={"X-Forwarded-User": "bea"}).status_code == 401
        assert site.client.get("/", headers={**said, "X-Forwarded-For": "10.1.1.1"}).status_code == 401
    assert "header.refused: X-Forwarded-User came from 127.0.0.1, which is no trusted proxy" in caplog.text


def test_what_cannot_be_is_told_when_it_is_said(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match="write it as 10.0.0.0/8"):
        HeaderAuth("X-User", trusted=["10.0.0.0/99"])
    for idle in (0, -1, "1h"):
        with pytest.raises(ConfigurationError, match="it takes seconds or a timedelta"):
            Login(idle=idle)  # type: ignore[arg-type]
