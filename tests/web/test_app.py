"""The application as a whole: how it begins, ends, and begins again."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from fsmflow import Actor
from fsmflow.engine.runtime import current
from fsmflow.store.link import looking
from fsmflow.web import create_app, live
from tests.support.bench import Bench
from tests.support.website import ada, serving, site_of


def test_an_open_page_is_asked_anew_who_it_is(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LONGEST_S", 0.1)
    with site_of() as site, site.client.stream("GET", "/ticks") as ticks:
        assert "retry: 5000" in list(ticks.iter_lines())


def test_whoever_looks_waits_for_no_read_that_takes_too_long(bench: Bench) -> None:
    asked: dict[str, bool] = {}

    def auth(request: Request) -> Actor:
        asked[request.method] = looking.get()
        return ada(request)

    with serving(create_app(auth)) as site:
        site.page("/")
        site.client.post("/api/v1/holds", json={})
    assert asked == {"GET": True, "POST": False}


def test_an_application_is_served_again_after_it_was_ended(bench: Bench) -> None:
    app = create_app(ada)
    for _ in range(2):
        with serving(app) as site:
            assert "Overview" in site.page("/")
            with site.client.stream("GET", "/ticks") as ticks:
                assert ticks.status_code == 200
                assert next(ticks.iter_lines())


@pytest.mark.parametrize("database_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
def test_whoever_writes_after_somebody_who_looked_has_all_the_time_that_it_takes(bench: Bench) -> None:
    limits: dict[str, str] = {}

    def auth(request: Request) -> Actor:
        link = current().store.link
        (row,) = link.query("SHOW statement_timeout")
        limits[request.method] = row[0]
        return ada(request)

    with serving(create_app(auth, threads=1)) as site:
        for _ in range(2):
            site.page("/")
            with site.client.stream("GET", "/ticks") as ticks:
                assert next(ticks.iter_lines())
            site.client.post("/api/v1/holds", json={})
    assert limits == {"GET": "10s", "POST": "0"}
