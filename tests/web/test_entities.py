"""The list of entities: found, paged, exported."""

from __future__ import annotations

import csv
import io
import json

import pytest

from fsmflow import Actor
from fsmflow.errors import DataError
from fsmflow.web.query import query_of
from tests.support.bench import Bench
from tests.support.website import Site
from tests.web.shop import Sale

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_a_search_is_in_the_url_and_finds_by_every_qualifier(bench: Bench, site: Site) -> None:
    Sale.start("1", amount=500, customer="ann")
    Sale.start("2", amount=1500, customer="bob")
    Sale.start("3", amount=2500, customer="ann", complaint="torn").trigger("submit")
    bench.run()
    for query, ids in (
        ("machine:sale", "123"),
        ("state:pending", "12"),
        ("machine:sale amount:>=1000", "23"),
        ("customer=ann", "13"),
        ("customer:ann state:failed_from_*", "3"),
        ("phase:failed", "3"),
        ("error:*torn*", "3"),
        ("older:1h", ""),
        ("is:stuck", ""),
        ("machine:sale amount:>=1000 amount:<2000", "2"),
    ):
        page = site.client.get("/entities", params={"q": query}).text
        assert [id_ for id_ in "123" if f'href="/entity/sale:{id_}"' in page] == list(ids), query


def test_an_address_or_an_id_leads_to_its_page(bench: Bench, site: Site) -> None:
    Sale.start("77")
    for query in ("sale:77", "77"):
        answer = site.client.get("/entities", params={"q": query})
        assert (answer.status_code, answer.headers.get("location")) == (303, "/entity/sale:77")
    assert "sale:78" in site.page("/entities?q=sale:78", 404)


def test_what_cannot_be_asked_is_told_and_stays_in_the_field(bench: Bench, site: Site) -> None:
    for query, told in (
        ("phase:lost", "phase:lost is unknown"),
        ("older:soon", "is no duration"),
        ('state:"open', "quotation mark"),
        ("state:nowhere", "no machine has a state"),
        ("machine:nothing", "nothing"),
        ("amount:>={", "amount"),
        ("sale:1 state:pending", "stands alone"),
    ):
        answer = site.client.get("/entities", params={"q": query})
        assert 400 <= answer.status_code < 500, (query, answer.text)
        assert told in answer.text
    with pytest.raises(DataError, match="2,000 are allowed"):
        query_of("x" * 2001, {})


def test_pages_follow_each_other_by_key(bench: Bench, site: Site) -> None:
    for number in range(53):
        Sale.start(f"{number:02}")
    first = site.page("/entities?q=machine:sale&oldest=1")
    assert "sale:49" in first
    assert "sale:50" not in first
    assert "after=sale%3A49" in first
    assert "sale:52" in site.page("/entities?q=machine:sale&oldest=1&after=sale:49")


def test_columns_are_fields_of_the_data_and_what_is_redacted_stays_so(bench: Bench, site: Site) -> None:
    Sale.start("1", amount=5, card="tok_secret", deep={"er": [1]})
    page = site.page("/entities?q=machine:sale&cols=amount,card+deep.er")
    assert '<td data-label="amount">5</td>' in page
    assert '<td data-label="deep.er">[1]</td>' in page
    assert "tok_secret" not in page


def test_an_export_is_whole_and_no_cell_is_a_formula(bench: Bench, site: Site) -> None:
    Sale.start("1", note="=1+1", amount=-5, card="tok_secret")
    answer = site.client.get("/entities.csv?q=machine:sale&cols=note,amount,card")
    assert "attachment" in answer.headers["content-disposition"]
    (row,) = list(csv.DictReader(io.StringIO(answer.text)))
    assert (row["note"], row["amount"], row["card"]) == ("'=1+1", "'-5", "[redacted]")
    for cell in (" =1", "\uff1d1", "\n=1", "\t1", "\r1", "@a", "+1"):
        Sale.start(f"x{cell!r}", note=cell)
    cells = csv.DictReader(io.StringIO(site.page("/entities.csv?q=machine:sale&cols=note"), newline=""))
    assert all(row["note"].startswith("'") for row in cells)
    named = site.page("/entities.csv?q=machine:sale&cols=%3DHYPERLINK(%22http:evil%22)").splitlines()[0]
    assert ""","'=HYPERLINK(""http:evil"")\"""" in named
    (found,) = json.loads(site.page("/entities.json?q=amount:%3D-5"))
    assert found["data"] == {"note": "=1+1", "amount": -5, "card": "[redacted]"}
    assert json.loads(site.page("/entities.json?q=machine:sale+amount:>7")) == []
    site.page("/entities.csv?q=phase:lost", 422)


def test_an_export_has_the_order_of_the_page(bench: Bench, site: Site) -> None:
    for number, amount in enumerate((5, 9, 7)):
        Sale.start(str(number), amount=amount)
    for order, wanted in (("amount", [5, 7, 9]), ("-amount", [9, 7, 5])):
        asked = f"q=machine:sale&cols=amount&order={order}"
        assert f"/entities.csv?q=machine%3Asale&amp;cols=amount&amp;order={order}" in site.page(f"/entities?{asked}")
        told = json.loads(site.page(f"/entities.json?{asked}"))
        assert [each["data"]["amount"] for each in told] == wanted
        assert [row["amount"] for row in csv.DictReader(io.StringIO(site.page(f"/entities.csv?{asked}")))] == [
            str(amount) for amount in wanted
        ]


def test_nobody_finds_by_what_is_redacted(bench: Bench, site: Site) -> None:
    sale = Sale.start("1", card="tok_secret")
    for ask in ("q=card%3Dtok_secret", "q=machine:sale+card:>%3D5", "q=machine:sale&order=-card", "q=x.card.y%3D5"):
        for path in ("/entities", "/entities.csv", "/entities/news", "/entities.json"):
            if "order" not in ask or path != "/entities/news":
                assert "is redacted in machine" in site.page(f"{path}?{ask}", 422), (path, ask)
    program = site.client
    assert program.get("/api/v1/entities?where=card=tok_secret").status_code == 422
    assert program.get("/api/v1/entities?child=sale.card=tok_secret").status_code == 422
    for path in ("holds", "repairs"):
        assert program.post(f"/api/v1/{path}", json={"where": {"card": "tok_secret"}}).status_code == 422
    assert [each.address for each in Sale.find(data={"card": "tok_secret"})] == [sale.address]


def test_an_open_page_hears_of_what_is_new(bench: Bench, site: Site) -> None:
    sale = Sale.start("1")
    assert "<dd></dd>" in site.page("/entities/news?q=machine:sale&first=1")
    Sale.start("2")
    answer = site.client.get("/entities/news?q=machine:sale&first=1")
    assert "<dd>1 new: show</dd>" in answer.text
    again = {"If-None-Match": answer.headers["etag"]}
    assert site.client.get("/entities/news?q=machine:sale&first=1", headers=again).status_code == 304
    assert "<dd></dd>" in site.page("/news/sale:1?revision=1")
    sale.pause()
    assert "has changed meanwhile" in site.page("/news/sale:1?revision=1")


def test_the_overview_counts_and_says_what_needs_attention(bench: Bench, site: Site) -> None:
    Sale.start("1", card="t").trigger("submit")
    Sale.start("2").trigger("submit")
    bench.run()
    bench.clock.ms += 120_000
    Sale.get("1").pause(actor=Actor("ada"))
    page = site.page("/")
    assert "1 in failed_from_charging, oldest" in page
    assert "1, oldest 2 min, overdue" in page
    assert "1 in sale:failed_from_charging" in page
    assert 'href="/entities?q=machine%3Asale+state%3Afailed_from_charging"' in page
    assert "style=" not in page
    lists = site.page("/?list=1")
    assert "<svg" not in lists.partition("<main")[2]
    assert "2 min, overdue" in lists
    assert "count sale approval" in site.page("/numbers")
