"""The application as a whole: how it begins, ends, and begins again."""

from __future__ import annotations

import pytest

from fsmflow.web import create_app, live
from tests.support.bench import Bench
from tests.support.website import ada, serving, site_of


def test_an_open_page_is_asked_anew_who_it_is(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LONGEST_S", 0.1)
    with site_of() as site, site.client.stream("GET", "/ticks") as ticks:
        assert "retry: 5000" in list(ticks.iter_lines())


def test_an_application_is_served_again_after_it_was_ended(bench: Bench) -> None:
    app = create_app(ada)
    for _ in range(2):
        with serving(app) as site:
            assert "Overview" in site.page("/")
            with site.client.stream("GET", "/ticks") as ticks:
                assert ticks.status_code == 200
                assert next(ticks.iter_lines())
