"""Holds: what is kept back stays where it is, whatever arrives, and goes on once it is let go."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fsmflow import (
    Actor,
    DataError,
    Machine,
    NotPermitted,
    State,
    TransitionNotAllowed,
    UnknownMachine,
    UnknownState,
    holds,
)
from fsmflow.testing import Sandbox, sandbox

RAN: list[str] = []


class Order(Machine):
    name = "order"
    initial = "pending"
    states = [
        "pending",
        State("charging", job="charge", queue="bank"),
        State("packing", job="pack", each="lines"),
        State("cooling", timeout=60),
        State("shipped", final=True),
    ]
    transitions = [
        ["submit", "pending", "charging"],
        ["done", "charging", "packing"],
        ["done", "packing", "cooling"],
        ["timeout", "cooling", "shipped"],
    ]

    def charge(self) -> None:
        RAN.append(self.address)

    def pack(self, line: int) -> None:
        RAN.append(self.address)


class Refund(Machine):
    name = "refund"
    initial = "paying"
    states = [State("paying", job="pay"), State("paid", final=True)]
    transitions = [["done", "paying", "paid"]]

    def pay(self) -> None:
        RAN.append(self.address)


@pytest.fixture
def box() -> Iterator[Sandbox]:
    RAN.clear()
    with sandbox([Order, Refund]) as found:
        yield found


def submitted(id_: str, **data: Any) -> Order:
    order = Order.start(id_, lines=[1, 2], **data)
    order.trigger("submit")
    return order


def test_what_stands_there_and_what_arrives_waits(box: Sandbox) -> None:
    there = submitted("1")
    hold = holds.hold("order", state="charging", reason="bank maintenance", actor="ann")
    box.run()
    arrived = submitted("2")
    refund = Refund.start("1")
    box.advance(hours=1)
    assert [there.refresh().state, arrived.refresh().state, refund.refresh().state] == ["charging", "charging", "paid"]
    assert RAN == ["refund:1"]
    assert holds.kept_back() == {hold.number: 2}
    told = there.explain().blocked_by
    assert told == "hold 1 by ann of order in charging (bank maintenance); 'fsmflow release 1' ends it"
    assert (there.attempt, [entry.kind for entry in there.history]) == (1, ["start", "transition"])


def test_a_release_lets_go_what_was_kept_back_and_what_arrives(box: Sandbox) -> None:
    orders = [submitted(str(number)) for number in range(3)]
    hold = holds.hold("order", state="charging")
    box.run()
    holds.release(hold.number)
    box.run()
    assert [order.refresh().state for order in orders] == ["cooling"] * 3
    assert len(RAN) == 3 + 6
    assert holds.current_holds() == []


def test_a_rate_lets_go_so_many_a_second(box: Sandbox) -> None:
    orders = [submitted(str(number)) for number in range(5)]
    hold = holds.hold("order", state="charging")
    box.run()
    holds.release(hold.number, rate=2)
    gone = []
    for _ in range(4):
        gone.append(sum(order.refresh().state == "cooling" for order in orders))
        box.advance(seconds=1)
    assert gone == [0, 2, 4, 5]
    assert holds.current_holds() == []


def test_a_rate_of_less_than_one_a_second_lets_go_too(box: Sandbox) -> None:
    orders = [submitted(str(number)) for number in range(2)]
    hold = holds.hold(queue="bank")
    box.run()
    holds.release(hold.number, rate=0.1)
    box.advance(seconds=11)
    assert sorted(order.refresh().state for order in orders) == ["charging", "cooling"]


@pytest.mark.parametrize("rate", [3, 7, 0.3, 90 / 3600, 1 / 3600])
def test_whatever_the_rate_is_all_goes_on_in_time(box: Sandbox, rate: float) -> None:
    orders = [submitted(str(number)) for number in range(3)]
    hold = holds.hold("order", state="charging")
    box.run()
    holds.release(hold.number, rate=rate)
    box.advance(seconds=2.5 / rate)
    assert sum(order.refresh().state == "charging" for order in orders) == 1
    box.advance(seconds=1 / rate + 1)
    assert "charging" not in {order.refresh().state for order in orders}


def test_a_hold_ends_by_itself(box: Sandbox) -> None:
    order = submitted("1")
    holds.hold("order", until=timedelta(minutes=10))
    box.advance(minutes=9)
    assert order.refresh().state == "charging"
    box.advance(minutes=1, seconds=1)
    assert order.refresh().state == "cooling"
    assert holds.kept_back() == {}


def test_branches_of_a_step_are_kept_back_with_it_and_by_the_data_of_their_parent(box: Sandbox) -> None:
    acme, other = submitted("1", tenant="acme"), submitted("2", tenant="zeta")
    hold = holds.hold("order", state="packing", where={"tenant": "acme"})
    box.run()
    assert (acme.refresh().state, other.refresh().state) == ("packing", "cooling")
    assert [branch.state for branch in acme.branches] in (["packing", "packing"], [])
    holds.release(hold.number)
    box.run()
    assert acme.refresh().state == "cooling"


def test_a_timer_that_comes_due_waits_and_fires_afterwards_at_once(box: Sandbox) -> None:
    order = submitted("1")
    box.run()
    hold = holds.hold("order", state="cooling")
    box.advance(minutes=5)
    assert order.refresh().state == "cooling"
    assert "hold 1 keeps back what comes then" in str(order.explain().deadline)
    holds.release(hold.number)
    box.run()
    assert order.refresh().state == "shipped"


def test_a_trigger_is_taken_meanwhile(box: Sandbox) -> None:
    order = submitted("1")
    holds.hold("order")
    box.run()
    order.cancel()
    assert order.state == "cancelled"
    assert holds.kept_back() == {}


def test_a_pause_within_a_hold_is_kept_and_resumed(box: Sandbox) -> None:
    order = submitted("1")
    hold = holds.hold("order")
    box.run()
    order.pause()
    holds.release(hold.number)
    box.run()
    assert order.refresh().state == "charging"
    order.resume()
    box.run()
    assert order.refresh().state == "cooling"


def test_a_hold_within_a_pause_is_kept_when_it_is_resumed(box: Sandbox) -> None:
    order = submitted("1")
    order.pause()
    hold = holds.hold("order")
    order.resume()
    box.run()
    assert order.refresh().state == "charging"
    holds.release(hold.number)
    box.run()
    assert order.refresh().state == "cooling"


def test_of_two_holds_both_have_to_end(box: Sandbox) -> None:
    order = submitted("1")
    first, second = holds.hold("order", state="charg*"), holds.hold(queue="bank")
    box.run()
    holds.release(first.number)
    box.run()
    assert order.refresh().state == "charging"
    holds.release(second.number)
    box.run()
    assert order.refresh().state == "cooling"


def test_a_retry_of_what_is_kept_back_is_refused_in_words(box: Sandbox) -> None:
    order = submitted("1")
    holds.hold("order")
    box.run()
    with pytest.raises(TransitionNotAllowed, match="hold 1"):
        order.retry()


def test_only_who_may_hold_holds_and_releases() -> None:
    class Till(Machine):
        initial = "ringing"
        states = [State("ringing", job="ring"), State("rung", final=True)]
        transitions = [["done", "ringing", "rung"]]
        operators = {"hold": ["lead"]}

        def ring(self) -> None: ...

    lead = Actor("ann", {"lead"})
    with sandbox([Till, Refund]):
        for machine in ("till", None):
            for actor in (None, "ben", Actor("ben", {"clerk"})):
                with pytest.raises(NotPermitted):
                    holds.hold(machine, queue="default", actor=actor)
        assert holds.hold("refund", actor="ben").number == 1
        made = holds.hold("till", actor=lead)
        with pytest.raises(NotPermitted):
            holds.release(made.number, actor="ben")
        assert holds.release(made.number, actor=lead).released_at is not None


def test_what_cannot_be_held_is_refused(box: Sandbox) -> None:
    with pytest.raises(UnknownMachine):
        holds.hold("parcel")
    with pytest.raises(UnknownState):
        holds.hold("order", state="nowhere")
    naive, past = datetime(2090, 1, 1), datetime(2001, 1, 1, tzinfo=UTC)
    for wrong in (
        {},
        {"queue": ""},
        {"where": 3, "queue": "bank"},
        {"queue": "bank", "until": naive},
        {"queue": "bank", "until": past},
        {"queue": "bank", "until": "18:00"},
    ):
        with pytest.raises(DataError):
            holds.hold(**wrong)
    with pytest.raises(DataError, match="there is no hold 7; none is in force"):
        holds.release(7)
    for rate in (0, -1, True, "fast", float("nan")):
        with pytest.raises(DataError):
            holds.release(1, rate=rate)  # type: ignore[arg-type]
