"""The pictures of the tour show the pages of today."""

from __future__ import annotations

import json

import pytest

from tests.web.tour import WORDS, bakery, stops, words_of

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_the_pictures_of_the_tour_show_the_pages_of_today(database_url: str, redis_url: str) -> None:
    kept = json.loads(WORDS.read_text(encoding="utf-8"))
    with bakery(database_url, redis_url) as site:
        told = {name: words_of(site.page(stop.path)) for name, stop in stops().items()}
    assert told == kept, "make the pictures anew, and look at them: python -m tests.web.tour"
