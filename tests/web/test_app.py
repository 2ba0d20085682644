"""The application as a whole: how it begins, ends, and begins again."""

from __future__ import annotations

from fsmflow.web import create_app
from tests.support.bench import Bench
from tests.support.website import ada, serving


def test_an_application_is_served_again_after_it_was_ended(bench: Bench) -> None:
    app = create_app(ada)
    for _ in range(2):
        with serving(app) as site:
            assert "Overview" in site.page("/")
            with site.client.stream("GET", "/ticks") as ticks:
                assert ticks.status_code == 200
                assert next(ticks.iter_lines())
