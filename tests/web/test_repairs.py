"""The pages of repairs: a preview, a canary, what became of each, and going on or not."""

from __future__ import annotations

import html
from urllib.parse import quote

import pytest

from fsmflow import failures, repairs
from fsmflow.operations.repair import Repair
from fsmflow.web.freshness import Shared
from fsmflow.web.pages import repairs as pages
from tests.support.bench import Bench
from tests.support.website import ADA, Site
from tests.web.shop import HOSTILE
from tests.web.ward import clerks_site, failed, value, work

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def asked(site: Site, **fields: str) -> str:
    """The page of the repair that a form starts."""
    form = {"q": "machine:sale phase:failed", "action": "retry", "canary": "1", **fields}
    key = value(site.page(f"/repairs/new?q={quote(form['q'])}"), "key")
    return site.post("/repairs/new", key=key, **form).headers["location"]


def newest() -> Repair:
    return next(repairs.find(newest=True))


def test_a_repair_is_seen_first_and_confirmed_and_what_became_of_it_is_told(bench: Bench, site: Site) -> None:
    sales = failed(bench, 5)
    path = asked(site, data='{"card": "tok_1"}', reason="new cards")
    assert "No worker listens on the queue of repairs" in site.page(path)
    work(bench)
    page = html.unescape(site.page(path))
    assert "Nothing was done yet." in page
    assert '<td class="number"><b>5</b></td><td>failed_from_charging</td><td>charging</td><td>charge</td>' in page
    assert "--canary=1" in page
    assert "tok_1" not in page
    assert {sale.refresh().state for sale in sales} == {"failed_from_charging"}
    form = html.unescape(site.page(f"{path}/confirm"))
    assert "5 x failed_from_charging → charging, which runs charge" in form
    assert f"fsmflow repair resume {newest().entity_id}" in form
    assert site.post(f"{path}/confirm").headers["location"] == f"{path}?did=confirm"
    work(bench)
    assert {sale.refresh().state for sale in sales} == {"approval"}
    assert sales[0].data["card"] == "tok_1"
    assert newest().report().recovered == 5
    assert "done" in site.page("/repairs")
    site.post(f"{path}/confirm", 422)


def test_it_stops_by_itself_where_the_canary_fails_again_and_goes_on_when_asked(bench: Bench, site: Site) -> None:
    failed(bench, 4)
    path = asked(site, canary="2")
    work(bench)
    site.post(f"{path}/confirm")
    work(bench)
    page = site.page(path)
    assert "of 2 that were tried first failed again" in page
    assert page.count("failed again alike</td>") == 2
    waiting = site.page(f"{path}?fate=pending")
    assert waiting.count("<tr data-row>") == 2
    assert "/entity/sale:s0" not in waiting
    site.post(f"{path}/resume", reason="once more")
    work(bench)
    assert newest().report().failed_alike == 4


def test_the_live_part_says_when_the_page_around_it_is_old(
    bench: Bench, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_shared", Shared(0.0))
    failed(bench, 1)
    path = asked(site)
    part = site.page(f"{path}/report?was=previewing")
    assert 'hx-trigger="tick from:body, every 10s"' in part
    assert "<html" not in part
    work(bench)
    part = site.page(f"{path}/report?was=previewing")
    assert "It is <b>previewed</b> now" in part
    assert "hx-trigger" not in part


def test_pressing_twice_starts_one_and_another_form_another_one(bench: Bench, site: Site) -> None:
    failed(bench, 1)
    form = {"q": "machine:sale", "action": "retry", "key": "k"}
    first, again = (site.post("/repairs/new", **form).headers["location"] for _ in range(2))
    assert first == again
    assert site.post("/repairs/new", **form, canary="2").headers["location"] != first


def test_it_is_stopped_and_cancelled_by_hand(bench: Bench, site: Site) -> None:
    failed(bench, 2)
    path = asked(site, canary="", rate="1/h")
    work(bench)
    site.post(f"{path}/confirm")
    site.post(f"{path}/stop", reason="the bank called")
    assert "the bank called" in site.page(path)
    assert (newest().state, newest().data["stopped"]) == ("stopped", "the bank called")
    site.post(f"{path}/cancel", reason="enough")
    assert newest().state == "cancelled"
    assert "Nobody." in site.page(f"{path}?fate=recovered")


def test_what_a_form_lacks_or_gets_wrong_is_told(bench: Bench, site: Site) -> None:
    for fields, told in (
        ({"q": ""}, "which entities?"),
        ({"q": "amount:>=x:"}, "amount"),
        ({"action": "explode"}, "a repair cannot"),
        ({"action": "force"}, "force needs state="),
        ({"data": "["}, "cannot be read as JSON"),
        ({"rate": "much"}, "rate is"),
        ({"stop_after": "all"}, "stop_after is"),
        ({"canary": "-1"}, "canary is"),
    ):
        form = {"q": "machine:sale", "action": "retry", **fields}
        answer = html.unescape(site.post("/repairs/new", 422, **form).text)
        assert "Nothing was changed." in answer
        assert told in answer
    assert list(repairs.find()) == []
    site.page("/repairs/nobody", 404)


def test_members_are_turned_page_by_page(bench: Bench, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MEMBERS", 5)
    failed(bench, 6)
    path = asked(site)
    work(bench)
    page = site.page(path)
    assert page.count("<tr data-row>") == 5
    after = html.unescape(page).partition(f"{path}?after=")[2].partition("#")[0]
    assert site.page(f"{path}?after={after}").count("<tr data-row>") == 1


def test_a_clerk_is_refused_entity_by_entity_and_for_what_others_have_asked(bench: Bench, site: Site) -> None:
    sales = failed(bench, 2)
    path = asked(site)
    work(bench)
    with clerks_site(bench) as clerks:
        page = clerks.page(path)
        assert "Go on" not in page
        assert "Cancel" not in page
        for deed in ("confirm", "cancel"):
            assert "Nothing was changed" in clerks.post(f"{path}/{deed}", 403).text
        own = asked(clerks)
        work(bench)
        page = clerks.page(own)
        assert "with one of the roles lead" in page
        assert "Go on" not in page
        assert newest().report().refused == 2
    assert {sale.refresh().state for sale in sales} == {"failed_from_charging"}


def test_hostile_texts_are_texts(bench: Bench, site: Site) -> None:
    failed(bench, 1, HOSTILE[:40].replace("/", ""), complaint=HOSTILE)
    group = failures.groups()[0].id
    path = asked(site, q=f"group:{group}", reason=HOSTILE)
    work(bench)
    site.post(f"{path}/confirm", reason=HOSTILE)
    site.post(f"{path}/stop", reason=HOSTILE)
    pages = ["/repairs", path, f"{path}/report?was={quote(HOSTILE)}", f"{path}/stop?reason={quote(HOSTILE)}"]
    pages += [
        f"/repairs/new?q={quote(HOSTILE)}&data={quote(HOSTILE)}&rate={quote(HOSTILE)}",
        f"{path}?fate={quote(HOSTILE)}",
    ]
    for page in pages:
        text = site.page(page)
        assert "<script>alert" not in text, page
        assert "<img src=x" not in text, page
        assert "49</textarea>" not in text, page


def test_a_repair_can_be_begun_from_nothing(bench: Bench, site: Site) -> None:
    page = site.page("/repairs/new")
    assert "Show these in the list" not in page
    assert 'name="q"' in page


def test_a_repair_whose_id_looks_like_a_query_can_be_cancelled(bench: Bench, site: Site) -> None:
    made = repairs.start("retry", machine="sale", id="a?b&c", actor=ADA)
    assert site.post("/repairs/a%3Fb&c/cancel", reason="x").headers["location"] == "/repairs/a%3Fb%26c?did=cancel"
    assert made.refresh().state == "cancelled"
