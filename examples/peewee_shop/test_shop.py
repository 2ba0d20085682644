"""The shop as its users meet it; orders run in a sandbox, with no server and no waiting."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fsmflow.testing import Sandbox, sandbox

from machines import DECLINED, OrderFlow
from models import Charge, Order, db
from shop import main, place


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sandbox]:
    db.init(str(tmp_path / "test.db"))
    with sandbox([OrderFlow], database=db) as found:
        db.create_tables([Order, Charge])
        yield found
    db.close()


def test_an_order_is_charged_once_and_shipped(box: Sandbox) -> None:
    box.crash("charge", after_job=True)
    assert main(["order", "a lamp", "4242 4242 4242 4242"]) == "order:1 is placed"
    box.run()
    assert main(["orders"]) == "order:1 a lamp: shipped"
    assert Charge.select().count() == 1


def test_what_is_rolled_back_leaves_neither_row_nor_workflow(box: Sandbox) -> None:
    @db.atomic()
    def fails() -> None:
        place("a lamp", "4242 4242 4242 4242")
        raise LookupError("the shop has no lamps")

    with pytest.raises(LookupError):
        fails()
    box.run()
    assert (Order.select().count(), OrderFlow.counts(), Charge.select().count()) == (0, {}, 0)


def test_a_declined_card_books_nothing_and_another_one_mends_it(box: Sandbox) -> None:
    order = place("a lamp", DECLINED)
    box.run()
    assert (Order.get_by_id(order.id).state, Charge.select().count()) == ("failed_from_charging", 0)
    main(["card", str(order.id), "4242 4242 4242 4242"])
    OrderFlow.get(order.id).retry(actor="ann")
    box.run()
    assert Order.get_by_id(order.id).state == "shipped"
