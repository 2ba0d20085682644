"""The page of what waits for somebody."""

from __future__ import annotations

import pytest

from fsmflow import Actor
from tests.support.bench import Bench
from tests.support.website import Site, site_of
from tests.web.shop import HOSTILE
from tests.web.ward import failed, value

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_what_waits_for_a_manager_is_decided_in_two_steps(bench: Bench, site: Site) -> None:
    (sale,) = failed(bench, 1, card="tok_1")
    assert sale.state == "approval"
    page = site.page("/waiting")
    assert "/fire/approve/sale:s0" in page
    assert "<dt>amount</dt><dd>1500</dd>" in page
    assert "tok_1" not in page
    form = site.page("/fire/approve/sale:s0")
    site.post("/fire/approve/sale:s0", step="do", epoch=value(form, "epoch"), key=value(form, "key"))
    assert sale.refresh().state == "packing"
    assert "Nothing waits for you." in site.page("/waiting")


def test_a_clerk_is_not_asked_and_is_refused(bench: Bench) -> None:
    (sale,) = failed(bench, 1, card="tok_1")
    with site_of(lambda request: Actor("cleo", ("clerk",), teams="*")) as site:
        page = site.page("/waiting")
        assert "Nothing waits for you." in page
        assert "sale:s0" not in page
        epoch = value(site.page("/fire/approve/sale:s0"), "epoch")
        site.post("/fire/approve/sale:s0", 403, step="do", epoch=epoch)
    assert sale.refresh().state == "approval"


def test_hostile_texts_are_texts(bench: Bench, site: Site) -> None:
    failed(bench, 1, HOSTILE[:40].replace("/", ""), card="tok_1", note=HOSTILE)
    for page in ("/waiting", "/waiting?anyone=1"):
        text = site.page(page)
        assert "&lt;script&gt;alert" in text, page
        assert "<script>alert" not in text, page
        assert "<img src=x" not in text, page
