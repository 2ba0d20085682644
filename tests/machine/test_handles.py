"""From an id, an address or a branch to a handle; and since when an entity is there and in its state."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fsmflow import EntityNotFound, Machine, State
from fsmflow.testing import Sandbox, sandbox


class Shipment(Machine):
    initial = "packing"
    states = [State("packing", jobs=["wrap", "label"]), State("packed"), State("sent", final=True)]
    transitions = [["done", "packing", "packed"], ["send_off", "packed", "sent"]]

    def wrap(self) -> str:
        return "wrapped"

    def label(self) -> str:
        return "labelled"


class Order(Machine):
    initial = "new"
    states = [
        "new",
        State("checking", jobs=["credit", "stock"]),
        State("packing", machine="shipment", each="lines"),
        State("shipped", final=True),
    ]
    transitions = [["go", "new", "checking"], ["done", "checking", "packing"], ["done", "packing", "shipped"]]

    def credit(self) -> None: ...

    def stock(self) -> None: ...


class Invoice(Machine):
    initial = "open"
    states = ["open", State("paid", final=True)]
    transitions = [["pay_it", "open", "paid"]]


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox([Order, Shipment, Invoice]) as box:
        yield box


@pytest.fixture
def order(box: Sandbox) -> Order:
    """Waits for its two shipments, which are packed."""
    order = Order.start("1", lines=["tea", "cup"])
    order.trigger("go")
    box.run()
    return order.refresh()


def test_an_entity_is_found_by_its_id_and_by_its_address(order: Order) -> None:
    assert Order.get("1").address == Order.get("order:1").address == Order.get(order.address).address == "order:1"


def test_an_id_that_looks_like_an_address_is_an_id_first(order: Order) -> None:
    Order.start("order:1", lines=[])
    assert Order.get("order:1").entity_id == "order:1"
    assert Order.get("order:order:1").entity_id == "order:1"


@pytest.mark.parametrize(
    ("asked", "address", "kind", "state"),
    [
        (Order, "order:1/checking/credit", Order, "done"),
        (Order, "shipment:order:1/packing/1", Shipment, "packed"),
        (Order, "shipment:order:1/packing/1/packing/wrap", Shipment, "done"),
        (Shipment, "shipment:order:1/packing/1", Shipment, "packed"),
        (Shipment, "order:1/packing/1", Shipment, "packed"),
    ],
)
def test_a_branch_or_child_at_any_depth_is_found_by_its_address(
    order: Order, asked: type[Machine], address: str, kind: type[Machine], state: str
) -> None:
    found = asked.get(address)
    assert (type(found), found.state) == (kind, state)
    assert found.address.endswith(address)


def test_what_a_child_is_asked_through_its_parents_class_is_done_to_it(order: Order) -> None:
    Order.get("shipment:order:1/packing/0").trigger("send_off")
    assert [branch.state for branch in order.refresh().branches] == ["sent", "packed"]


@pytest.mark.parametrize(
    ("asked", "address", "told"),
    [
        (Order, "invoice:7", "invoice:7 is an entity of machine 'invoice', not of 'order'"),
        (Shipment, "order:1", "order:1 is an entity of machine 'order', not of 'shipment'"),
        (Shipment, "order:1/checking/credit", "is an entity of machine 'order', not of 'shipment'"),
        (Invoice, "shipment:order:1/packing/1", "is an entity of machine 'shipment', not of 'invoice'"),
        (Order, "order:9", "order:9 does not exist"),
        (Order, "invoice:9", "invoice:9 does not exist"),
        (Order, "9", "order:9 does not exist"),
        (Order, "a:b", "order:a:b does not exist"),
        (Order, "shipment:order:1/packing/9", "shipment:order:1/packing/9 does not exist"),
    ],
)
def test_what_is_not_there_or_belongs_to_another_machine_is_named(
    order: Order, asked: type[Machine], address: str, told: str
) -> None:
    Invoice.start("7")
    with pytest.raises(EntityNotFound) as caught:
        asked.get(address)
    assert told in str(caught.value)


def test_a_branch_leads_to_its_handle(order: Order) -> None:
    assert [branch.state for branch in order.branches] == ["packed", "packed"]
    child: Any = order.branches[1].entity()
    assert (type(child), child.address, child.item) == (Shipment, "shipment:order:1/packing/1", "cup")
    child.trigger("send_off")
    assert order.branches[1].entity().state == "sent"
    assert child.branches["wrap"].entity().address == "shipment:order:1/packing/1/packing/wrap"


def test_two_looks_at_a_branch_are_equal(order: Order) -> None:
    assert order.branches[0] == Order.get("1").branches[0]
    assert "opened" not in repr(order.branches[0])


def test_since_when_it_is_there_and_in_its_state(box: Sandbox) -> None:
    order = Order.start("1", lines=["tea"])
    assert order.created_at == order.since
    assert order.created_at.tzinfo is UTC
    box.advance(hours=1)
    order.trigger("go")
    assert order.since - order.created_at == timedelta(hours=1)
    assert order.created_at < order.since <= datetime.max.replace(tzinfo=UTC)
    assert order.since == order.history[-1].at
