"""Children that have failed, and whose parents have left the step: cancelled with them, or on their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from fsmflow import Fail, Machine, State, TransitionNotAllowed, failures
from fsmflow.engine import followup
from fsmflow.testing import Sandbox
from fsmflow.verify import verify
from tests.support.machines import Trigger
from tests.support.sandbox import every_database, sandbox
from tests.support.traces import failing, ran

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")


class Parcel(Machine):
    initial = "labelling"
    states = [State("labelling", job="label"), State("under_way"), State("sent", final=True)]
    transitions = [["done", "labelling", "under_way"], ["arrive", "under_way", "sent"]]
    arrive: Trigger

    def label(self) -> None:
        ran.append(self.data["item"])
        if self.data["item"] in failing:
            raise Fail("no label")


class Order(Machine):
    """Its children may fail; ``fail`` leads nowhere by itself."""

    initial = "new"
    states = [
        "new",
        State("booking", job="book", undo="unbook"),
        State("sending", machine="parcel", each="boxes"),
        State("closed", final=True),
    ]
    transitions = [
        ["go", "new", "booking"],
        ["done", "booking", "sending"],
        ["done", "sending", "closed"],
        ["branch_done", "sending", "closed", "is_enough"],
        ["close", ["sending", "failed_from_sending"], "closed"],
    ]
    go: Trigger
    close: Trigger

    def is_enough(self) -> bool:
        return bool(self.data.get("one_is_enough"))

    def book(self) -> None:
        return None

    def unbook(self) -> None:
        return None


class Tolerant(Order):
    """Its machine has a way on from failures of its children."""

    name = "tolerant"
    states = [*Order.states, State("partly_sent")]
    transitions = [*Order.transitions, ["fail", "sending", "partly_sent"], ["settle", "partly_sent", "closed"]]


def failed(box: Sandbox, machine: type[Order], **data: Any) -> Order:
    """A parent of which the first child has failed, and the second one is under way."""
    failing.add("Rome")
    order = machine.start("1", boxes=["Rome", "Oslo"], **data)
    order.trigger("go")
    box.run()
    assert child(0).state == "failed_from_labelling"
    return order


def child(index: int, parent: str = "order:1") -> Any:
    return Parcel.get(f"{parent}/sending/{index}")


def check(box: Sandbox) -> None:
    box.advance(seconds=9)
    report = verify(box._runtime.store, box._runtime.machines.all(), patience_s=1)
    assert report.violations == [], report


LEAVES: dict[str, Callable[[Order], object]] = {
    "by cancel": lambda order: order.cancel(),
    "by a trigger": lambda order: order.close(),
    "by force": lambda order: order.force("closed"),
    "by rewind": lambda order: order.rewind("new"),
    "by undo": lambda order: order.undo(),
}


@pytest.mark.parametrize("leave", LEAVES.values(), ids=LEAVES.keys())
@pytest.mark.parametrize("rests", [False, True], ids=["in the step", "in its failure"])
def test_a_failed_child_is_cancelled_with_a_parent_that_leaves(leave: Callable[[Order], object], rests: bool) -> None:
    with sandbox(machines=[Order, Parcel]) as box:
        order = failed(box, Order)
        if rests:
            child(1).arrive()
            assert order.refresh().state == "failed_from_sending"
        leave(order)
        box.run()
        assert child(0).state == "cancelled"
        assert failures.groups() == []
        check(box)


def test_a_failed_child_is_cancelled_with_a_parent_that_is_skipped() -> None:
    with sandbox(machines=[Order, Parcel]) as box:
        order = failed(box, Order)
        child(1).arrive()
        order.refresh().skip()
        assert (order.state, child(0).state, child(1).state) == ("closed", "cancelled", "sent")


def test_a_failed_child_is_cancelled_by_an_early_exit() -> None:
    with sandbox(machines=[Order, Parcel]) as box:
        order = failed(box, Order, one_is_enough=True)
        child(1).arrive()
        assert (order.refresh().state, child(0).state) == ("closed", "cancelled")


def test_what_is_refused_of_a_child_that_was_cancelled_with_its_parent_is_told_alike() -> None:
    with sandbox(machines=[Order, Parcel]) as box:
        failed(box, Order).cancel()
        told = []
        for action in ("retry", "skip", "cancel"):
            with pytest.raises(TransitionNotAllowed) as refused:
                getattr(child(0), action)()
            told.append(str(refused.value).replace(repr(action), "ACTION"))
        assert set(told) == {
            "parcel:order:1/sending/0 is in 'cancelled': ACTION was refused: its parent order:1 has left that step and "
            "is in 'cancelled', and it was cancelled; 'force' begins it anew, for its own sake. Allowed now: nothing"
        }
        child(0).force("labelling")
        box.run()
        assert child(0).state == "failed_from_labelling"
        # From now on it is on its own.
        failing.clear()
        child(0).retry()
        box.run()
        assert child(0).state == "under_way"
        check(box)


def test_a_failed_child_that_nobody_has_cancelled_yet_with_its_parent_can_be_cancelled_and_nothing_else() -> None:
    with sandbox(machines=[Order, Parcel]) as box:
        order = failed(box, Order)
        with patch.object(followup, "align", lambda *_, **__: False):  # its process dies before it passes that down
            order.cancel()
        why = "its parent order:1 has left that step and is in 'cancelled'; nothing would come of it, and 'cancel' ends"
        for action in ("retry", "skip", "resume"):
            with pytest.raises(TransitionNotAllowed, match=why):
                getattr(child(0), action)()
        late = box._clock.now() + 120_000
        found = verify(box._runtime.store, box._runtime.machines.all(), now=late).violations
        assert child(0).address in {item.address for item in found if item.invariant == "branch-orphaned"}
        child(0).cancel()
        assert child(0).state == "cancelled"


class Stubborn(Parcel):
    """A child that only notes that it was cancelled."""

    name = "stubborn"
    transitions = [
        *Parcel.transitions,
        {"trigger": "cancel", "source": ["labelling", "failed_from_labelling", "under_way"], "dest": None},
    ]


def test_a_child_that_cannot_be_cancelled_goes_by_itself_once_its_parent_has_left() -> None:
    class Hopeful(Order):
        name = "hopeful"
        states = [*Order.states[:2], State("sending", machine="stubborn", each="boxes"), *Order.states[3:]]

    with sandbox(machines=[Hopeful, Stubborn]) as box:
        failing.add("Rome")
        hopeful = Hopeful.start("1", boxes=["Rome"])
        hopeful.go()
        box.run()
        hopeful.refresh().cancel()
        rome = Stubborn.get("hopeful:1/sending/0")
        assert rome.state == "failed_from_labelling"
        failing.clear()
        rome.retry()
        box.run()
        assert rome.refresh().state == "under_way"
        rome.arrive()
        check(box)


class Booking(Machine):
    """A child that takes back what it did, and cannot."""

    initial = "booking"
    on_cancel = "undo"
    states = [State("booking", job="act", undo="take_back"), State("confirming", job="act"), State("over", final=True)]
    transitions = [["done", "booking", "confirming"], ["done", "confirming", "over"]]

    def act(self) -> None:
        if self.state in failing:
            raise Fail("no")

    def take_back(self) -> None:
        ran.append("take back")
        if "take_back" in failing:
            raise Fail("no")


def test_a_child_that_could_not_take_back_what_it_did_waits_for_somebody_who_retries_it() -> None:
    class Trip(Order):
        name = "trip"
        states = [*Order.states[:2], State("sending", machine="booking", each="boxes"), *Order.states[3:]]

    with sandbox(machines=[Trip, Booking]) as box:
        failing.update({"confirming", "take_back"})
        trip = Trip.start("1", boxes=[1])
        trip.go()
        box.run()
        trip.refresh().rewind("new")
        box.run()
        booking = Booking.get("trip:1/sending/0")
        assert (booking.state, ran) == ("failed_from_undoing_booking", ["take back"])
        for act in (trip.refresh().pause, trip.resume, trip.cancel):
            act()
            box.run()
        assert ran == ["take back"]
        check(box)
        failing.clear()
        booking.refresh().retry()
        box.run()
        assert booking.refresh().state == "undone"


def test_a_child_whose_failure_was_tolerated_is_retried_by_itself_and_its_parent_stays_where_it_is() -> None:
    with sandbox(machines=[Tolerant, Parcel]) as box:
        failing.add("Rome")
        order = Tolerant.start("1", boxes=["Rome", "Oslo"])
        order.go()
        box.run()
        rome, oslo = (Parcel.get(f"tolerant:1/sending/{index}") for index in range(2))
        oslo.arrive()
        assert (order.refresh().state, rome.refresh().state) == ("partly_sent", "failed_from_labelling")
        (group,) = failures.groups()
        assert [part.example for part in group.parts] == [rome.address]
        order.pause()
        failing.clear()
        rome.retry()
        box.run()
        assert (order.refresh().state, rome.refresh().state, rome.paused) == ("partly_sent", "under_way", False)
        assert str(order.progress) == "1 of 2 done, 1 running"
        order.resume()
        rome.refresh().arrive()
        assert (order.refresh().state, order.epoch) == ("partly_sent", 4)
        assert str(order.progress) == "2 of 2 done, 0 running"
        assert [branch.is_done for branch in order.branches] == [True, True]
        check(box)


@pytest.mark.parametrize("mended", [False, True])
def test_a_cancel_reaches_a_child_that_goes_by_itself(mended: bool) -> None:
    with sandbox(machines=[Tolerant, Parcel]) as box:
        failing.add("Rome")
        order = Tolerant.start("1", boxes=["Rome"])
        order.go()
        box.run()
        rome = Parcel.get("tolerant:1/sending/0")
        if mended:
            failing.clear()
            rome.retry()
            box.run()
        assert (order.refresh().state, rome.refresh().state == "under_way") == ("partly_sent", mended)
        order.cancel()
        assert rome.refresh().state == "cancelled"
        assert failures.groups() == []


def test_a_child_whose_parent_is_gone_can_be_retried() -> None:
    with sandbox(machines=[Order, Parcel]) as box:
        order = failed(box, Order)
        link, row = box._runtime.store.link, order._view.snapshot.row
        for table, column in (("entity", "id"), ("work", "entity"), ("history", "entity"), ("event", "entity")):
            link.execute(f"DELETE FROM fsmflow_{table} WHERE {column} = {row}")
        failing.clear()
        child(0).retry()
        box.run()
        assert child(0).state == "under_way"
