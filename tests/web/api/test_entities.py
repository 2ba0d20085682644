"""Programs list, get and start entities, and read what happened to them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.support.bench import Bench
from tests.support.machines import Order, play
from tests.support.program import Program


def _no_card(order: Order) -> None:
    raise LookupError("there is no card")


pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_an_entity_is_started_and_got(ada: Program) -> None:
    started = ada.answer("POST", "/entities/order", {"id": "1", "data": {"amount": 5}}, 201)
    assert started.json()["address"] == "order:1"
    assert started.headers["etag"] == '"1"'
    found = ada.get("/entities/order/1")
    assert (found["state"], found["data"], found["allowed"]) == ("pending", {"amount": 5}, started.json()["allowed"])
    assert "submit" in found["allowed"]


def test_an_id_is_made_where_none_is_given(ada: Program) -> None:
    first, second = (ada.post("/entities/order", {"data": {}}, 201)["address"] for _ in range(2))
    assert first != second


def test_data_keep_numbers_days_and_exact_ones_as_they_came(ada: Program) -> None:
    sent = {
        "price": {"$decimal": "12.30"},
        "due": {"$date": "2030-01-31"},
        "big": 2**60,
        "share": 0.1,
        "names": ["ä", "\u2028"],
    }
    ada.post("/entities/order", {"id": "1", "data": sent}, 201)
    data = Order.get("1").data
    assert (data["price"], data["due"].year, data["big"]) == (Decimal("12.30"), 2030, 2**60)
    told = ada.get("/entities/order/1")["data"]
    assert told == {**sent, "price": "12.30", "due": "2030-01-31"}


def test_a_body_that_cannot_be_read_or_stored_is_refused_in_words(ada: Program) -> None:
    values = ('{"$decimal": "NaN"}', '{"$date": 5}', '{"$uuid": 5}', '{"$dict": 5}', '"\\ud800"')
    stored = [f'{{"id": "1", "data": {{"x": {value}}}}}'.encode() for value in values]
    read = [b"{", b"[1]", b'{"id": NaN}', b"\xff", b"[" * 100_000, b'{"id": 1' + b"0" * 5_000 + b"}"]
    for raw in (*stored, *read):
        headers = {"Content-Type": "application/json"}
        answer = ada.client.post("/api/v1/entities/order", content=raw, headers=headers)
        assert answer.status_code == 422, raw[:40]
        assert answer.json()["detail"]


def test_a_field_that_is_misspelt_is_told(ada: Program) -> None:
    assert "did you mean 'data'?" in ada.post("/entities/order", {"dat": {}}, 422)["detail"]
    assert "did you mean 'state'?" in ada.get("/entities?stat=pending", 422)["detail"]


def test_what_is_there_is_not_started_again(ada: Program) -> None:
    ada.post("/entities/order", {"id": "1"}, 201)
    assert ada.post("/entities/order", {"id": "1"}, 409)["type"] == "urn:fsmflow:problem:exists"
    again = ada.answer("POST", "/entities/order", {"id": "1", "if_exists": "return"}, 201)
    assert again.headers["idempotency-replayed"] == "true"


def test_a_list_comes_in_pages_by_cursor(ada: Program) -> None:
    Order.start_many((str(number), {"amount": number}) for number in range(7))
    seen, path = [], "/entities?machine=order&limit=3"
    while True:
        page = ada.get(path)
        seen += [each["entity_id"] for each in page["items"]]
        if page["next"] is None:
            break
        path = f"/entities?machine=order&limit=3&cursor={page['next']}"
    assert seen == [str(number) for number in range(7)]


def test_a_cursor_goes_on_with_its_own_list_alone(ada: Program) -> None:
    Order.start_many((str(number), {}) for number in range(3))
    cursor = ada.get("/entities?limit=1")["next"]
    assert "another list" in ada.get(f"/entities?limit=1&newest=true&cursor={cursor}", 422)["detail"]
    for wrong in ("x", "e30", "W10", "ä", cursor[:-4]):
        assert ada.get(f"/entities?limit=1&cursor={wrong}", 422)["detail"]


def test_lists_take_the_filters_of_the_command_line(ada: Program, bench: Bench) -> None:
    Order.start("1", amount=5, customer="ada")
    Order.start("2", amount=50, customer="bob").trigger("submit")
    play["charging"] = _no_card
    bench.run()

    def ids(query: str) -> list[str]:
        return [each["entity_id"] for each in ada.get(f"/entities?{query}")["items"]]

    assert ids("state=pending&state=failed_*") == ["1", "2"]
    assert ids("machine=order&where=customer=ada") == ["1"]
    assert ids("where=amount:%3E=50") == ["2"]
    assert ids("phase=failed") == ids("error=Lookup*") == ["2"]
    assert ids("order=-amount&machine=order") == ["2", "1"]
    assert ada.get("/entities?where=amount:%3E=x", 422)["detail"]
    assert "no state" in ada.get("/entities?machine=order&state=nowhere", 422)["detail"]
    assert ada.get("/entities?machine=nothing", 404)["type"] == "urn:fsmflow:problem:unknown-machine"


def test_history_comes_in_pages(ada: Program) -> None:
    order = Order.start("1")
    for text in "abc":
        order.trigger("note", text=text)
    first = ada.get("/entities/order/1/history?limit=2")
    assert [each["kind"] for each in first["items"]] == ["start", "internal"]
    rest = ada.get(f"/entities/order/1/history?after={first['next']}")
    assert [each["payload"]["text"] for each in rest["items"]] == ["b", "c"]
    assert rest["next"] is None


def test_an_entity_is_explained(ada: Program) -> None:
    Order.start("1")
    told = ada.get("/entities/order/1/explain")
    assert told["state"] == "pending"
    assert "submit" in told["allowed"]


def test_what_is_not_there_is_not_found(ada: Program) -> None:
    for path in ("/entities/order/7", "/entities/order/7/history", "/entities/order/7/packing/3", "/nothing"):
        assert ada.get(path, 404)["status"] == 404
    assert ada.get("/entities/nothing/7", 404)["type"] == "urn:fsmflow:problem:unknown-machine"
