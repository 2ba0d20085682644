"""Children, which are entities of their own machine: joined, cancelled, retried, paused. With virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from fsmflow import Machine, Retry, State, TransitionNotAllowed
from tests.support.machines import Trigger
from tests.support.sandbox import every_database, sandbox
from tests.support.traces import failing, ran

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")


def test_a_child_that_was_cancelled_with_its_parent_is_begun_anew_for_its_own_sake() -> None:
    with sandbox(machines=[Shop, Parcel]) as box:
        failing.add("Rome")
        shop = Shop.start("1", boxes=["Rome"])
        shop.go()
        box.advance(minutes=1)
        assert shop.refresh().state == "failed_from_sending"
        shop.skip()
        child = Parcel.get("shop:1/sending/0")
        assert (shop.state, child.state) == ("closed", "cancelled")
        with pytest.raises(TransitionNotAllowed, match="its parent shop:1 has left that step"):
            child.retry()
        failing.clear()
        child.force("labelling")
        box.run()
        assert child.refresh().state == "resting"


class Parcel(Machine):
    initial = "labelling"
    states = [
        State("labelling", job="label", retry=Retry(max=1, interval=5, jitter=0)),
        State("resting"),
        State("sent", final=True),
        State("lost", final=True),
    ]
    transitions = [["done", "labelling", "resting"], ["pick_up", "resting", "sent"], ["lose", "resting", "lost"]]
    pick_up: Trigger
    lose: Trigger

    def label(self) -> dict[str, Any]:
        ran.append(self.address)
        if self.data.get("item") in failing or self.data.get("to") in failing:
            raise ValueError("no label")
        return {"label": f"L-{self.data.get('to', self.data.get('item'))}"}


class Shop(Machine):
    initial = "new"
    states = [
        "new",
        State("sending", machine="parcel", each="boxes", timeout=3_600),
        State("closed", final=True),
        State("late", final=True),
    ]
    transitions = [["go", "new", "sending"], ["done", "sending", "closed"], ["timeout", "sending", "late"]]
    go: Trigger


def test_children_are_entities_of_their_own_machine() -> None:
    with sandbox(machines=[Shop, Parcel]) as box:
        shop = Shop.start("1", boxes=[{"to": "Rome"}, "Oslo"])
        shop.go()
        box.run()
        assert [branch.address for branch in shop.branches] == [
            "parcel:shop:1/sending/0",
            "parcel:shop:1/sending/1",
        ]
        rome, oslo = (Parcel.get(f"shop:1/sending/{index}") for index in range(2))
        assert (rome.data, oslo.data) == ({"to": "Rome", "label": "L-Rome"}, {"item": "Oslo", "label": "L-Oslo"})
        assert rome.parent.address == "shop:1"
        assert list(Parcel.find()) == []
        assert Parcel.counts() == {}
        assert Parcel.counts(branches=True) == {"resting": 2}
        rome.pick_up()
        assert shop.refresh().state == "sending"
        assert str(shop.progress) == "1 of 2 done, 1 running"
        oslo.lose()
        # A final state that its user declared is done, whatever its name says.
        assert shop.refresh().state == "closed"


def test_children_that_take_too_long_are_cancelled() -> None:
    with sandbox(machines=[Shop, Parcel]) as box:
        shop = Shop.start("1", boxes=["Rome"])
        shop.go()
        box.run()
        explained = shop.explain()
        assert explained.next_at is not None
        assert (explained.next_at - box.now).total_seconds() == 3_600
        assert "or 'timeout' by itself" in str(explained)
        box.advance(hours=2)
        assert shop.refresh().state == "late"
        assert Parcel.get("shop:1/sending/0").state == "cancelled"


def test_a_child_that_failed_is_retried_through_its_parent_or_by_itself() -> None:
    with sandbox(machines=[Shop, Parcel]) as box:
        failing.update({"Rome", "Oslo"})
        shop = Shop.start("1", boxes=["Rome", "Oslo", "Bonn"])
        shop.go()
        box.advance(minutes=1)
        Parcel.get("shop:1/sending/2").pick_up()
        assert shop.refresh().state == "failed_from_sending"
        failing.clear()
        ran.clear()
        Parcel.get("shop:1/sending/0").retry()
        assert shop.refresh().state == "sending"
        box.run()
        Parcel.get("shop:1/sending/0").pick_up()
        box.run()
        assert shop.refresh().state == "failed_from_sending"
        shop.resume()
        box.run()
        Parcel.get("shop:1/sending/1").pick_up()
        box.run()
        assert shop.refresh().state == "closed"
        assert ran == ["parcel:shop:1/sending/0", "parcel:shop:1/sending/1"]


def test_a_plain_child_starts_with_its_parents_data() -> None:
    class Trip(Machine):
        initial = "parcelling"
        states = [State("parcelling", machine="parcel"), State("over", final=True)]
        transitions = [["done", "parcelling", "over"]]

    with sandbox(machines=[Trip, Parcel]) as box:
        trip = Trip.start("1", to="Rome")
        box.run()
        child = Parcel.get("trip:1/parcelling/0")
        assert child.data == {"to": "Rome", "label": "L-Rome"}
        child.pick_up()
        assert trip.refresh().state == "over"


def test_pause_and_cancel_reach_the_children_and_theirs() -> None:
    class Region(Machine):
        initial = "selling"
        states = [State("selling", machine="shop", each="shops"), State("over", final=True)]
        transitions = [["done", "selling", "over"]]

    with sandbox(machines=[Region, Shop, Parcel]) as box:
        region = Region.start("1", shops=[{"boxes": ["Rome", "Oslo"]}])
        box.run()
        shop = Shop.get("region:1/selling/0")
        shop.go()
        region.pause()
        box.run()
        parcels = [branch.address for branch in shop.branches]
        assert shop.refresh().paused
        assert ran == []
        region.resume()
        box.run()
        assert len(ran) == 2
        assert parcels == [] or len(parcels) == 2
        region.cancel()
        box.run()
        assert shop.refresh().state == "cancelled"
        assert [Parcel.get(f"shop:region:1/selling/0/sending/{index}").state for index in range(2)] == ["cancelled"] * 2


def test_hooks_are_told_of_the_start_of_a_child_too() -> None:
    class Loud(Parcel):
        name = "loud"

        def on_transition(self, entry: Any) -> None:
            ran.append((entry.kind, self.address))

    class Mall(Shop):
        name = "mall"
        states = ["new", State("sending", machine="loud", each="boxes"), *Shop.states[2:]]
        transitions = [["go", "new", "sending"], ["done", "sending", "closed"], ["give_up", "sending", "late"]]

    with sandbox(machines=[Mall, Loud]) as box:
        Mall.start("1", boxes=["Rome"]).go()
        box.run()
        assert ran[0] == ("start", "loud:mall:1/sending/0")
