"""Entities are found and sorted by declared fields, by index, as they are found by reading all of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from fsmflow import DataError, DefinitionError, Machine, SearchStopped, State
from fsmflow.engine import sought
from fsmflow.engine.intake import bring_in, take_out
from fsmflow.store.tables import TERM
from fsmflow.verify import verify
from tests.support.bench import Bench, bench_on

AT = datetime(2030, 1, 1, tzinfo=UTC)


class Sale(Machine):
    initial = "new"
    states = ["new", State("paid"), State("shipped", final=True)]
    transitions = [["pay", "new", "paid"], {"trigger": "set", "source": "*", "dest": None, "after": "take"}]
    transitions += [["ship", "paid", "shipped"]]
    search = ["customer", "amount", "address.city", "at"]

    def take(self) -> None:
        self.data.update(self.event.payload)
        for name in [name for name, value in self.data.items() if value == "gone"]:
            del self.data[name]


class Plain(Machine):
    name = "sale"
    initial = "new"
    states = ["new", State("paid"), State("shipped", final=True)]
    transitions = [["pay", "new", "paid"], ["ship", "paid", "shipped"]]


@pytest.fixture
def sales(valkey: Any, database_url: str) -> Iterator[Bench]:
    with bench_on(valkey.url, database_url=database_url, machines=(Sale,)) as bench:
        yield bench


def some() -> None:
    for number in range(6):
        city = {"city": "Berlin" if number % 2 else "Paris"}
        Sale.start(number, customer=f"c{number % 2}", amount=number * 10, address=city, at=AT + timedelta(days=number))


def ids(**asked: Any) -> list[str]:
    return [sale.entity_id for sale in Sale.find(**asked)]


ASKED: list[tuple[dict[str, Any], list[str]]] = [
    ({"data": {"customer": "c1"}}, ["1", "3", "5"]),
    ({"data": {"customer": "c1", "amount": 30}}, ["3"]),
    ({"data": {"address.city": "Paris"}}, ["0", "2", "4"]),
    ({"where": [("amount", ">=", 30)]}, ["3", "4", "5"]),
    ({"where": [("amount", ">", 10), ("amount", "<=", Decimal("40.0"))]}, ["2", "3", "4"]),
    ({"where": [("amount", "<", 30)], "data": {"customer": "c0"}}, ["0", "2"]),
    ({"where": [("at", ">=", AT + timedelta(days=4))]}, ["4", "5"]),
    ({"where": [("customer", "=", "nosuch")]}, []),
    ({"where": [("amount", ">", "a")]}, []),
    ({"order": "-amount", "limit": 2}, ["5", "4"]),
    ({"order": "amount", "data": {"customer": "c1"}}, ["1", "3", "5"]),
    ({"order": "-at", "where": [("amount", "<", 30)]}, ["2", "1", "0"]),
    ({"order": "-amount", "after": "3", "limit": 2}, ["2", "1"]),
    ({"order": "amount", "after": 3}, ["4", "5"]),
    ({"data": {"customer": "c0"}, "after": 0}, ["2", "4"]),
    ({"order": "-amount", "state": "paid"}, ["2"]),
    ({"order": "-customer", "limit": 3}, ["5", "3", "1"]),
]


@pytest.mark.parametrize("is_in", [False, True], ids=["read row by row", "by index"])
def test_what_is_asked_for_is_found_in_the_order_that_is_asked_for(sales: Bench, is_in: bool) -> None:
    some()
    Sale.get(2).trigger("pay")
    if is_in:
        assert list(bring_in(sales.runtime, Sale._definition)) == []
    for asked, wanted in ASKED:
        assert ids(**asked) == wanted, asked
    last = next(Sale.find(order="-amount"))
    assert ids(order="-amount", after=last, limit=1) == ["4"]


def test_terms_follow_the_data(sales: Bench) -> None:
    some()
    list(bring_in(sales.runtime, Sale._definition))
    Sale.get(0).trigger("set", amount=999)
    Sale.get(1).trigger("set", amount="gone")
    Sale.start_many([("many", {"amount": 7}), ("more", {"customer": "c9"})])
    assert ids(order="amount") == ["many", "2", "3", "4", "5", "0"]
    assert ids(data={"customer": "c9"}) == ["more"]
    before = sales.runtime.store.link.rows(f"SELECT COUNT(*) FROM {TERM}")
    Sale.get(0).trigger("pay")
    assert sales.runtime.store.link.rows(f"SELECT COUNT(*) FROM {TERM}") == before


def test_what_was_there_before_is_brought_in_page_by_page(
    valkey: Any, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsmflow.store.search.PAGE", 2)
    with bench_on(valkey.url, database_url=database_url, machines=(Plain,)) as bench:
        for number in range(5):
            Plain.start(number, amount=number)
        bench.sweep()
    with bench_on(valkey.url, database_url=database_url, machines=(Sale,)) as bench:
        search = bench.runtime.store.search
        pages = bring_in(bench.runtime, Sale._definition)
        next(pages)
        assert search.progress()["sale"]["amount"] is not None
        assert ids(order="-amount") == ["4", "3", "2", "1", "0"]
        Sale.get(4).trigger("set", amount=-1)
        list(pages)
        assert search.progress()["sale"] == dict.fromkeys(Sale.search)
        assert ids(order="-amount") == ["3", "2", "1", "0", "4"]
        assert take_out(bench.runtime) == []
    with bench_on(valkey.url, database_url=database_url, machines=(Plain,)) as bench:
        assert take_out(bench.runtime) == ["sale.address.city", "sale.amount", "sale.at", "sale.customer"]
        assert bench.runtime.store.link.rows(f"SELECT COUNT(*) FROM {TERM}") == [(0,)]
        assert bench.runtime.store.search.progress()["sale"] == {}


def test_verify_tells_whether_entities_are_found_by_what_they_hold(sales: Bench) -> None:
    some()
    values: list[Any] = [-1.5, 10**120 + 7, Decimal("0.00"), 0.1, "", "x" * 500, "\x00", None, True, [1], {"a": 1}]
    values += [AT, AT.replace(tzinfo=None), AT.date(), datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))]
    values += [UUID("01990a3b-5c1e-7c40-9a51-2f0e6d8b4c17"), Decimal("-12.30"), 10**4000, -(10**4000)]
    Sale.start_many([(f"v{number}", {"amount": value}) for number, value in enumerate(values)])
    list(bring_in(sales.runtime, Sale._definition))
    machines = sales.runtime.machines.all()
    assert verify(sales.runtime.store, machines).violations == []
    link = sales.runtime.store.link
    for value, row in (("7other", 1), ("2p5001154", 2), ("2n4998~", 3)):
        link.execute(f"UPDATE {TERM} SET {link.quoted('value')} = '{value}' WHERE entity = {row}")
    link.execute(f"DELETE FROM {TERM} WHERE entity = 4")
    found = verify(sales.runtime.store, machines).violations
    assert {each.address for each in found} == {"sale:0", "sale:1", "sale:2", "sale:3"}


def test_maintenance_brings_it_in(sales: Bench) -> None:
    some()
    sales.sweep()
    assert sales.runtime.store.search.progress()["sale"] == dict.fromkeys(Sale.search)


def test_where_no_index_helps_a_search_stops_and_says_what_to_declare(
    sales: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sought, "MOST", 3)
    some()
    found = Sale.find(data={"note": "x"})
    with pytest.raises(SearchStopped, match=r"read 3 entities .* 'note' is in no index; declare search = \['note'\]"):
        list(found)
    with pytest.raises(SearchStopped, match=r"'amount' is in no index yet: 'fsmflow init' brings it in"):
        ids(order="amount")
    list(bring_in(sales.runtime, Sale._definition))
    assert ids(order="amount", limit=1) == ["0"]
    assert ids(data={"customer": "c1", "note": "x"}) == []


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"where": {"amount": 5}}, "where is .*; it is a list of comparisons"),
        ({"where": [("amount", "~", 5)]}, "'~' is no comparison"),
        ({"order": 5}, "order is 5; it is a field of the data"),
        ({"order": "-"}, "order is '-'"),
    ],
)
def test_what_cannot_be_looked_for_is_refused_in_words(sales: Bench, asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        ids(**asked)


def test_what_follows_on_an_entity_without_a_place_in_the_order_is_refused(sales: Bench) -> None:
    Sale.start("none")
    some()
    with pytest.raises(DataError, match="after: sale:none has no 'amount', and no place in that order"):
        ids(order="amount", after="none")


def test_what_is_redacted_is_not_searched() -> None:
    with pytest.raises(DefinitionError, match=r"search: 'card\.number' is redacted"):

        class _Hidden(Machine):
            initial = "new"
            states = ["new"]
            redact = ["card"]
            search = ["card.number"]


def test_a_declaration_that_is_no_list_of_keys_is_refused() -> None:
    with pytest.raises(DefinitionError, match="search='amount'; it is a list of keys of data"):

        class _Single(Machine):
            initial = "new"
            states = ["new"]
            search = "amount"
