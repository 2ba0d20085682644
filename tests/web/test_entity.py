"""The page of an entity, and what can be done there: over HTTP, as a browser without scripts does it."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import quote

import pytest

from fsmflow import Actor
from fsmflow.web import branches, portrait
from tests.support.bench import Bench
from tests.support.machines import Order
from tests.support.website import Site, site_of
from tests.web.shop import HOSTILE, Sale

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def failed(bench: Bench, id_: str = "1", **data: Any) -> Sale:
    sale = Sale.start(id_, amount=1500, **data)
    sale.trigger("submit")
    bench.run()
    refreshed: Sale = sale.refresh()
    return refreshed


def value(page: str, name: str) -> str:
    """What a hidden field holds."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None, page
    return html.unescape(found[1])


def test_a_failed_one_says_why_with_its_traceback(bench: Bench, site: Site) -> None:
    failed(bench)
    page = site.page("/entity/sale:1")
    assert "failed_from_charging" in page
    assert "<b>ValueError</b>: no card" in page
    assert "raise ValueError(self.data.get(" in html.unescape(page)
    assert "<svg" in page
    assert "style=" not in page
    assert "<style" not in page


def test_what_the_diagram_shows_is_a_list_for_whoever_asks_for_one(bench: Bench, site: Site) -> None:
    failed(bench)
    assert 'href="/entity/sale:1?list=1">As a list<' in site.page("/entity/sale:1")
    page = site.page("/entity/sale:1?list=1")
    assert "<svg" not in page.partition("<main")[2]
    rows = [re.sub(r"\s*<[^>]*>\s*", " ", row) for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL)]
    told = {words[0]: " ".join(words[1:]) for words in map(str.split, rows)}
    assert told["pending"].startswith("was here submit to charging taken")
    assert told["charging"].startswith("failed_from_charging a step, job charge")


def test_a_history_says_how_long_it_took_from_line_to_line(bench: Bench, site: Site) -> None:
    sale = failed(bench, card="tok_1")
    bench.advance(2 * 3600)
    sale.trigger("approve", actor=Actor("ada", ("manager",)))
    page = site.page("/entity/sale:1")
    assert page.count(" later</span>") == 1
    assert '<span class="quiet">2 h later</span>' in page.partition("<strong>approve</strong>")[2].partition("</li>")[0]


def test_it_is_retried_with_edited_data_which_are_shown_as_a_difference_first(bench: Bench, site: Site) -> None:
    sale = failed(bench)
    form = site.page("/do/retry/sale:1")
    data = '{"amount": 1600, "card": "tok_1"}'
    fields = {"epoch": value(form, "epoch"), "key": value(form, "key"), "data": data, "reason": "a new card"}
    looked = site.post("/do/retry/sale:1", 200, step="look", **fields).text
    assert "<del><code>1500</code></del>" in looked
    assert "<ins><code>1600</code></ins>" in looked
    assert "tok_1" not in re.sub(r"<textarea.*?</textarea>", "", looked, flags=re.DOTALL)
    assert sale.refresh().state == "failed_from_charging"
    answer = site.post("/do/retry/sale:1", step="do", **fields)
    assert answer.headers["location"] == "/entity/sale:1?did=retry"
    bench.run()
    assert sale.refresh().state == "approval"
    assert sale.data["amount"] == 1600
    assert sale.history[-2].actor == "ada"
    assert sale.history[-2].reason == "a new card"
    assert "was retried" in site.page("/entity/sale:1?did=retry")


def test_pressing_twice_does_it_once(bench: Bench, site: Site) -> None:
    sale = failed(bench)
    form = site.page("/do/retry/sale:1")
    fields = {"epoch": value(form, "epoch"), "key": value(form, "key"), "step": "do"}
    assert site.post("/do/retry/sale:1", **fields).headers["location"].endswith("did=retry")
    assert site.post("/do/retry/sale:1", **fields).headers["location"].endswith("did=retry")
    assert [entry.trigger for entry in sale.refresh().history].count("retry") == 1


def test_a_stale_click_is_told_what_happened_meanwhile(bench: Bench, site: Site) -> None:
    sale = failed(bench)
    form = site.page("/do/retry/sale:1")
    sale.cancel(actor="bob", reason="too late")
    answer = site.post("/do/retry/sale:1", 409, step="do", epoch=value(form, "epoch"), key=value(form, "key"))
    assert "Nothing was done" in answer.text
    assert "by <b>bob</b>" in answer.text
    assert "too late" in answer.text
    assert sale.refresh().state == "cancelled"


def test_what_is_redacted_is_neither_shown_nor_written_back_as_a_mask(bench: Bench, site: Site) -> None:
    sale = failed(bench, card="", note="n")
    page = site.page("/do/retry/sale:1")
    assert "[redacted]" in page
    same = '{"amount": 1500, "card": "[redacted]", "note": "m"}'
    site.post("/do/retry/sale:1", step="do", epoch=value(page, "epoch"), key="k", data=same)
    assert sale.refresh().data["card"] == ""
    assert sale.data["note"] == "m"


def test_data_that_cannot_be_read_are_refused_and_stay_in_the_form(bench: Bench, site: Site) -> None:
    failed(bench)
    epoch = value(site.page("/do/retry/sale:1"), "epoch")
    for data, told in (
        ("{", "cannot be read as JSON"),
        ("[1]", "has to be a JSON object"),
        ('{"card": "t"}', "cannot be taken away"),
    ):
        answer = site.post("/do/retry/sale:1", 422, step="do", epoch=epoch, data=data).text
        assert told in answer
        assert html.escape(data, quote=False).replace('"', "&#34;") in answer
    assert "does not say what was seen" in site.post("/do/retry/sale:1", 422, step="do", epoch="x").text


def test_every_action_has_a_page_or_a_reason(bench: Bench, site: Site) -> None:
    failed(bench)
    page = site.page("/entity/sale:1")
    for name in ("retry", "resume", "pause", "cancel", "skip", "undo", "rewind", "force", "erase"):
        assert f"/do/{name}/sale:1" in page or f"<b>{name}</b>:" in page, name
        assert f"fsmflow {name} sale:1" in site.page(f"/do/{name}/sale:1")
    assert "<b>drop</b>: nothing is kept" in page
    site.page("/do/explode/sale:1", 404)


def test_what_takes_a_state_or_a_reason_asks_for_it(bench: Bench, site: Site) -> None:
    sale = failed(bench)
    epoch = value(site.page("/do/force/sale:1"), "epoch")
    assert "say which state" in site.post("/do/force/sale:1", 422, step="do", epoch=epoch).text
    assert "say why" in site.post("/do/erase/sale:1", 422, step="do", epoch=epoch).text
    site.post("/do/force/sale:1", step="do", epoch=epoch, state="approval", reason="paid in cash")
    assert sale.refresh().state == "approval"


def test_a_trigger_says_what_would_come_of_it_and_is_fired_with_a_payload(bench: Bench, site: Site) -> None:
    sale = failed(bench, card="tok_1")
    assert sale.state == "approval"
    form = site.page("/fire/approve/sale:1")
    assert "would go from approval to packing" in form
    fields = {"epoch": value(form, "epoch"), "key": value(form, "key"), "payload": '{"by": "phone"}'}
    assert site.post("/fire/approve/sale:1", 200, step="look", **fields)
    assert sale.refresh().state == "approval"
    site.post("/fire/approve/sale:1", step="do", **fields)
    assert sale.refresh().state == "packing"
    assert sale.history[-1].payload == {"by": "phone"}


def test_what_the_code_of_a_machine_raises_is_told_as_that(bench: Bench, site: Site) -> None:
    Order.start("1", notes=5)
    fields = {"step": "do", "epoch": "1", "payload": '{"text": "s3cret"}'}
    page = site.post("/fire/note/order:1", 422, **fields).text
    assert "the code of the machine raised TypeError. Nothing was changed" in page
    assert "s3cret" not in page


def test_commands_that_are_shown_can_be_copied_whatever_the_id_is(bench: Bench, site: Site) -> None:
    sale = Sale.start("1; rm -rf $(pwd)")
    told = [html.unescape(site.page(f"{path}/{quote(sale.address)}")) for path in ("/entity", "/fire/submit")]
    assert "<code>fsmflow show 'sale:1; rm -rf $(pwd)'</code>" in told[0]
    assert "<code>fsmflow trigger 'sale:1; rm -rf $(pwd)' submit</code>" in told[1]
    fields = {"step": "look", "epoch": "1", "payload": '{"a": 1}', "reason": "b c"}
    looked = site.post(f"/fire/submit/{quote(sale.address)}", 200, **fields).text
    assert """submit '--data={"a": 1}' '--reason=b c'</code>""" in html.unescape(looked)


@pytest.mark.parametrize(
    "query", ["/entity/sale:1?fired=", "/holds?made=", "/holds?released=", "/schedules?did=run&about="]
)
def test_a_link_puts_no_words_into_a_page(bench: Bench, site: Site, query: str) -> None:
    Sale.start("1")
    assert "Call 555" not in site.page(f"{query}Call+555")


def test_who_lacks_the_role_is_told_and_refused(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    sale = failed(bench, card="tok_1")
    with site_of(lambda request: Actor("cleo", ("clerk",), teams="*")) as site:
        assert "needs role manager" in site.page("/entity/sale:1")
        epoch = value(site.page("/fire/approve/sale:1"), "epoch")
        assert "Nothing was changed" in site.post("/fire/approve/sale:1", 403, step="do", epoch=epoch).text
    assert sale.refresh().state == "approval"
    assert "web.refused: POST /fire/approve/sale:1" in caplog.text


def test_branches_are_listed_and_a_failed_one_is_retried_alone(bench: Bench, site: Site) -> None:
    sale = failed(bench, card="tok_1", torn=True)
    sale.trigger("approve", actor=Actor("ada", ("manager",)))
    bench.run()
    page = site.page("/entity/sale:1")
    assert "the box is torn" in page
    found = re.search(r'href="(/do/retry/sale:1/packing/[^"]+)">Retry this one', page)
    assert found is not None
    form = site.page(found[1])
    site.post(found[1], step="do", epoch=value(form, "epoch"), key=value(form, "key"))
    bench.run()
    page = site.page(found[1].replace("/do/retry", "/entity"))
    assert page.count("the box is torn</summary>") == 2
    assert site.page("/entity/sale:1/packing/label").count('<li class="enters">') == 2


def test_of_many_branches_the_failed_stand_first_and_pages_follow(
    bench: Bench, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(branches, "BRANCHES", 1)
    failed(bench, card="tok_1", smudged=True).trigger("approve", actor=Actor("ada", ("manager",)))
    bench.run()
    named = r'<a data-open href="/entity/sale:1/packing/(\w+)"'
    first = site.page("/entity/sale:1")
    assert re.findall(named, first) == ["label", "box"]
    then = site.page(href(first, "Next page").partition("#")[0])
    assert re.findall(named, then) == ["label"]
    assert re.findall(named, site.page(href(then, "The first ones").partition("#")[0])) == ["label", "box"]


def test_it_is_compared_with_the_last_good_one(bench: Bench, site: Site) -> None:
    good = failed(bench, "good", card="tok_1")
    good.force("sold")
    failed(bench, "bad")
    page = site.page("/compare/sale:bad")
    assert "sale:bad beside sale:good" in page
    assert "here they part" in page
    heads = re.findall(r'<th scope="col">(?:<a [^>]*>)?(sale:\w+)', page)
    assert heads == ["sale:bad", "sale:good"] * 2
    assert site.page("/compare/sale:bad?with=sale:bad").count("They went the same way.") == 1
    site.page("/compare/sale:bad?with=sale:nobody", 404)


def test_hostile_texts_are_texts_on_every_page(bench: Bench, site: Site) -> None:
    sale = failed(bench, HOSTILE[:60].replace("/", ""), complaint=HOSTILE, note=HOSTILE)
    sale.pause(reason=HOSTILE, actor=HOSTILE[:80].replace("\u202e", ""))
    sale.trigger("note", {"text": HOSTILE})
    address = quote(sale.address, safe="/:")
    pages = [f"/entity/{address}", f"/do/retry/{address}", f"/do/force/{address}", f"/fire/submit/{address}"]
    pages += [f"/compare/{address}", f"/fire/{quote(HOSTILE, safe='')}/{address}", f"/entity/{address}?fired={HOSTILE}"]
    pages += ["/", "/entities", f"/entities?q={quote(HOSTILE)}&cols=note", f"/{quote(HOSTILE)}"]
    for path in pages:
        text = site.client.get(path).text
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path
        assert "49</textarea>" not in text, path


def test_what_is_not_there_is_not_found_and_leads_nowhere(bench: Bench, site: Site) -> None:
    Sale.start("1")
    for path in (
        "/entity/sale:2",
        "/entity/nothing:1",
        "/do/retry/sale:2",
        "/fire/submit/sale:2",
        "/entity/sale:1/../2",
    ):
        assert site.client.get(path).status_code == 404, path
    for path in ("/\\evil.example", "/entities/", "/entities?q=//evil.example"):
        answer = site.client.get(path)
        assert answer.status_code in (404, 422), path
        assert "location" not in answer.headers


def test_nothing_is_changed_by_looking(bench: Bench, site: Site) -> None:
    sale = failed(bench)
    before = len(sale.history)
    for path in ("/do/retry/sale:1?step=do&epoch=2", "/fire/note/sale:1?step=do&epoch=2", "/do/cancel/sale:1?step=do"):
        site.page(path)
    assert len(sale.refresh().history) == before


def test_a_long_history_is_shown_in_pages_and_the_way_is_that_of_its_last_lines(
    bench: Bench, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portrait, "LINES", 5)
    monkeypatch.setattr(portrait, "WAY", 8)
    sale = Sale.start("1", card="tok")
    for number in range(9):
        sale.trigger("note", {"number": number})
    page = site.page("/entity/sale:1")
    assert "5 earlier lines are not here" in page
    assert "The way is that of its last" in page
    earlier = site.page(f"/entity/sale:1{href(page, 'Earlier ones')}")
    assert "5 later lines are not here" in earlier
    assert "earlier lines" not in earlier
    assert "later lines" not in site.page(href(earlier, "The last ones"))
    for odd in ("0", "x", "99999999999", "-1"):
        site.page(f"/entity/sale:1?upto={odd}")


def href(page: str, words: str) -> str:
    """Where a link leads."""
    found = re.search(rf'<a [^>]*href="([^"]*)">{words}</a>', page)
    assert found is not None, page
    return html.unescape(found[1])
