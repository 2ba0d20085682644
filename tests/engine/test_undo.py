"""What is undone in branches and children, and by a cancel that comes at any moment."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import peewee
import pytest

from fsmflow import Fail, Machine, Outcome, State, TransitionNotAllowed
from fsmflow.engine import fanout, followup
from fsmflow.testing import sandbox
from tests.support.bench import Bench, bench_on
from tests.support.families import Booking
from tests.support.interruptions import elsewhere, execute_next
from tests.support.machines import Trigger
from tests.support.servers import on_servers
from tests.support.traces import failing, ran
from tests.support.users import elsewhere as elsewhere_of
from tests.support.users import texts


class Tour(Machine):
    initial = "touring"
    states = [
        State("touring", machine="booking", each="stops", branch_failure="stop"),
        State("over", final=True),
    ]
    transitions = [["done", "touring", "over"]]


def test_children_that_are_stopped_are_undone_where_they_ask_for_it() -> None:
    with sandbox(machines=[Tour, Booking]) as box:
        failing.add(0)
        tour = Tour.start("1", stops=[0, 1])
        box.run()
        assert tour.refresh().state == "failed_from_touring"
        child = Booking.get("tour:1/touring/1")

        assert ("unbook 1 True" in ran, child.state) in [(True, "undone"), (False, "booked")]


class Careful(Machine):
    """A child that takes back what it did, and is then undone."""

    initial = "booking"
    on_failure = "undo"
    states = [
        State("booking", job="book", undo="unbook"),
        State("confirming", job="confirm"),
        State("booked", final=True),
    ]
    transitions = [["done", "booking", "confirming"], ["done", "confirming", "booked"]]
    book, confirm, unbook = Booking.book, Booking.confirm, Booking.unbook


def test_a_parent_that_is_retried_starts_an_undone_child_anew_and_undoes_nothing_twice() -> None:
    class Outing(Machine):
        initial = "touring"
        states = [State("touring", machine="careful", each="stops"), State("over", final=True)]
        transitions = [["done", "touring", "over"]]

    with sandbox(machines=[Outing, Careful]) as box:
        failing.add(0)
        outing = Outing.start("1", stops=[0])
        box.run()
        assert (outing.refresh().state, ran) == ("failed_from_touring", ["book 0", "unbook 0 True"])
        ran.clear()
        failing.clear()
        outing.retry()
        box.run()

        assert (outing.refresh().state, ran) == ("over", ["book 0"])


def test_branches_that_end_while_their_step_is_being_undone_are_undone_with_their_results() -> None:
    class Saga(Machine):
        name = "saga"
        initial = "booking"
        states = [
            State("booking", job="book", each="hotels", undo="unbook", on_cancel="undo"),
            State("booked", final=True),
        ]
        transitions = [["done", "booking", "booked"]]

        def book(self, hotel: str) -> str:
            with patch.object(followup, "align", lambda *_, **__: False):  # he who cancels dies before he passes it on
                elsewhere(lambda: Saga.get("1").cancel())
            execute_next(box)  # the branches of the undo are made
            return f"{hotel}-1"

        def unbook(self) -> None:
            ran.append((self.undoing.item, self.undoing.completed, self.undoing.result))

    with sandbox(machines=[Saga]) as box:
        saga = Saga.start("1", hotels=["Ritz"])
        box.run()
        assert saga.refresh().state == "undone"
        booked = saga.history  # for whoever reads the report
        branch = Saga.get("1/booking/0")

        assert (branch.state, ran) in [("done", [("Ritz", True, "Ritz-1")]), ("cancelled", [("Ritz", False, None)])], (
            booked
        )


def test_a_cancel_while_a_step_is_being_undone_does_not_undo_it_in_the_state_of_another() -> None:
    class Pair(Machine):
        name = "pair"
        initial = "one"
        on_cancel = "undo"
        states = [
            State("one", job="act", undo="un_one"),
            State("two", job="act", undo="un_two"),
            "resting",
            State("over", final=True),
        ]
        transitions = [["done", "one", "two"], ["done", "two", "resting"], ["end", "resting", "over"]]

        def act(self) -> None: ...

        def un_one(self) -> None:
            ran.append(("un_one", self.undoing.state))

        def un_two(self) -> None:
            ran.append(("un_two", self.undoing.state))

    with sandbox(machines=[Pair]) as box:
        pair = Pair.start("1")
        box.run()
        pair.cancel()
        assert pair.state == "undoing_two"
        with contextlib.suppress(TransitionNotAllowed):
            pair.cancel()
        box.run()
        assert pair.refresh().state == "undone"
        assert ran == [("un_two", "two"), ("un_one", "one")]


class Room(Machine):
    """``cancel`` undoes the booking, whoever asks for it and when."""

    initial = "booking"
    on_cancel = "undo"
    states = [
        State("booking", job="book", undo="unbook", defer=["cancel"]),
        State("checking", job="check"),
        "resting",
        State("over", final=True),
    ]
    transitions = [["done", "booking", "checking"], ["done", "checking", "resting"], ["end", "resting", "over"]]

    def book(self) -> None:
        ran.append("book")
        if self.data.get("cancelled_meanwhile"):
            elsewhere(lambda: Room.get("1").cancel())

    def check(self) -> Any:
        return Outcome("cancel") if self.data.get("cancelled_by_job") else None

    def unbook(self) -> None:
        ran.append("unbook")


@pytest.mark.parametrize("how", ["cancelled_meanwhile", "cancelled_by_job"])
def test_a_cancel_that_was_kept_or_that_a_job_asks_for_undoes_what_was_done(how: str) -> None:
    with sandbox(machines=[Room]) as box:
        room = Room.start("1", {how: True})
        box.run()

        assert (room.refresh().state, ran) == ("undone", ["book", "unbook"])


class Fragile(Careful):
    name = "fragile"

    def unbook(self) -> None:
        if f"un{self.data['item']}" in failing:
            raise Fail("cannot")


class Guide(Machine):
    name = "guide"
    initial = "touring"
    states = [
        State("touring", machine="fragile", each="stops", branch_failure="stop", limit=1),
        State("over", final=True),
    ]
    transitions = [["done", "touring", "over"]]


def test_a_child_that_waits_for_its_turn_to_be_undone_gets_it_though_another_has_failed() -> None:
    with sandbox(machines=[Guide, Fragile]) as box:
        failing.update({0, 1, "un1"})
        guide = Guide.start("1", stops=[0, 1])
        box.run()
        children = [Fragile.get(f"guide:1/touring/{index}") for index in range(2)]
        assert [child.refresh().state for child in children] == ["undone", "cancelled"]
        box.advance(seconds=10)
        children[1].rewind("booking")
        box.run()
        assert [child.refresh().state for child in children] == ["undone", "failed_from_undoing_booking"]
        assert guide.refresh().state == "failed_from_touring"
        failing.discard("un1")
        box.advance(seconds=10)
        guide.retry()
        with patch.object(fanout, "admit", lambda *_: None):  # the worker dies before it lets anybody go
            execute_next(box)
        box._clock.move_to(box._clock.now() + 1_000)
        children[0].cancel()
        box.advance(hours=1)

        assert guide.refresh().state == "failed_from_touring"
        failing.clear()
        guide.retry()
        box.advance(hours=1)
        assert guide.refresh().state == "over"


class Stay(Machine):
    initial = "new"
    on_cancel = "undo"
    states = [
        "new",
        State("booking", job="book", undo="unbook"),
        "resting",
        State("over", final=True),
    ]
    transitions = [["go", "new", "booking"], ["done", "booking", "resting"], ["end", "resting", "over"]]
    go: Trigger

    def book(self) -> dict[str, Any]:
        return {"id": 1}

    def unbook(self) -> None:
        ran.append((self.undoing.completed, self.undoing.result))


@pytest.fixture
def bench(db: peewee.Database, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database=db, machines=(Stay,)) as bench:
        yield bench


@on_servers
def test_a_cancel_in_a_transaction_of_the_callers_undoes_what_was_done_since_that_began(
    bench: Bench, db: peewee.Database
) -> None:
    saga = Stay.start("1")
    with db.atomic():
        assert texts() == []

        def others() -> None:
            Stay.get("1").go()
            bench.run()

        elsewhere_of(bench, others)
        saga.cancel()
    bench.run()
    assert saga.refresh().state == "undone"
    assert ran == [(True, {"id": 1})]
