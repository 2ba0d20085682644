"""What is erased is gone from every row, and what happened, and when, is still told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from fsmflow import Actor, DataError, KeyConflict, Machine, NotPermitted, Retry, State, TransitionNotAllowed, Two
from fsmflow.decision.actions import ACTIONS
from fsmflow.decision.happenings import Erased
from fsmflow.engine.lookup import load
from fsmflow.engine.requests import plan
from fsmflow.testing import Sandbox
from fsmflow.verify import verify
from tests.support.families import Child, Family
from tests.support.sandbox import every_database, sandbox
from tests.support.traces import failing

__all__ = ["every_database"]  # a fixture

pytestmark = pytest.mark.usefixtures("every_database")
#: It stands in everything that a test hands in.
SECRET = "Ada Lovelace"
TABLES = ("entity", "work", "history", "event", "failure", "member")


class Order(Machine):
    """It fails, is retried, packs line by line, asks somebody, and may be undone."""

    initial = "new"
    states = [
        State("new", defer=["approve"]),
        State("charging", job="charge", undo="refund", retry=Retry(max=1, interval=60, jitter=0)),
        State("packing", job="pack", each="lines"),
        State("review", timeout=86_400),
        State("shipped", final=True),
    ]
    transitions = [
        ["go", "new", "charging"],
        ["done", "charging", "packing"],
        ["done", "packing", "review"],
        ["approve", "review", "shipped"],
        ["timeout", "review", "shipped"],
        {"trigger": "note", "source": ["new", "review"], "dest": None, "after": "remember"},
        {"trigger": "tell", "source": "review", "dest": None, "before": "send_out"},
    ]

    def charge(self) -> dict[str, Any]:
        if "card" in failing:
            raise ValueError(f"the card of {SECRET} was declined")
        return {"receipt": SECRET}

    def refund(self) -> None: ...

    def pack(self, line: Any) -> Any:
        return f"{line} for {SECRET}"

    def remember(self) -> None:
        self.data["noted"] = self.event.payload

    def send_out(self) -> None:
        self.send("note", to=self.event.payload["to"], after=self.event.payload.get("after"), text=SECRET)


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(machines=[Order, Family, Child]) as box:
        yield box
        report = verify(box._runtime.store, box._runtime.machines.all(), strict=True)
        assert report.holds, str(report)


def held(box: Sandbox) -> list[str]:
    """Where the secret stands."""
    link = box._runtime.store.link
    return [
        f"{table}: {row}"
        for table in TABLES
        for row in link.query(f"SELECT * FROM fsmflow_{table}")
        if any(SECRET in str(value) for value in row)
    ]


def in_review(box: Sandbox) -> Order:
    """An order that has been through all of it."""
    order = Order.start("1", lines=[SECRET, "tea"], name=SECRET, actor=SECRET)
    order.trigger("note", text=SECRET, reason=f"{SECRET} called", actor=SECRET, key="note-1")
    failing.add("card")
    order.trigger("go", actor="bob")
    box.run()
    box.advance(seconds=60)
    failing.clear()
    order.retry(data={"card": SECRET}, actor=SECRET)
    box.run()
    order.trigger("tell", to="order:nobody")
    box.run()
    return order.refresh()


def test_nothing_is_left_of_a_person_and_the_bare_history_stays(box: Sandbox) -> None:
    order = in_review(box)
    assert order.state == "review"
    assert len(held(box)) > 8
    before = [(line.seq, line.kind, line.at, line.source, line.dest, line.epoch) for line in order.history]
    order.erase(actor="carol", reason="request 77")
    assert held(box) == []
    after = order.refresh().history
    assert [(line.seq, line.kind, line.at, line.source, line.dest, line.epoch) for line in after[:-1]] == before
    assert [line.actor for line in after if line.actor] == ["actor-1", "actor-1", "actor-2", "actor-1", "carol"]
    assert (after[-1].kind, after[-1].actor, after[-1].reason) == ("erased", "carol", "request 77")
    assert order.data == {}
    branch = next(Order.find(branch="*"))
    assert (branch.data, branch.item, branch.history[-1].reason) == ({}, None, "request 77")


def test_it_goes_on_as_it_stands_and_its_keys_are_known_still(box: Sandbox) -> None:
    order = in_review(box)
    order.erase(reason="request 77")
    with pytest.raises(KeyConflict):
        order.trigger("approve", key="note-1")
    box.advance(days=2)
    assert order.refresh().state == "shipped"
    order.erase(reason="request 77, once more")
    assert [line.kind for line in order.refresh().history[-3:]] == ["erased", "transition", "erased"]


def test_what_has_failed_is_erased_and_says_still_that_it_has(box: Sandbox) -> None:
    failing.add("card")
    order = Order.start("1", name=SECRET)
    order.trigger("go")
    box.advance(seconds=60)
    order.refresh().erase(reason="request 77")
    assert held(box) == []
    failure = order.refresh().failure
    assert failure is not None
    assert (failure.error_type, failure.message, failure.traceback) == ("ValueError", "(erased)", "")


def test_children_are_erased_with_their_parent(box: Sandbox) -> None:
    Family.start("f", children=[{"item": SECRET}, {"item": 2}])
    box.run()
    Family.get("f").erase(reason="request 77")
    assert held(box) == []


def test_who_may_not_erase_erases_nothing_below_either(box: Sandbox) -> None:
    class Closed(Order):
        operators: ClassVar[Any] = {"erase": "lead"}

    with sandbox(machines=[Closed]) as closed:
        order = Closed.start("1", lines=[SECRET])
        order.trigger("go")
        closed.run()
        before = held(closed)
        with pytest.raises(NotPermitted):
            order.erase(reason="request 77", actor="ann")
        assert held(closed) == before
        order.erase(reason="request 77", actor=Actor("ann", {"lead"}))
        assert held(closed) == []


def test_it_may_take_two_people_to_erase(box: Sandbox) -> None:
    class Double(Order):
        operators: ClassVar[Any] = {"erase": Two("lead")}

    ann, bea = Actor("ann", {"lead"}, login="ann"), Actor("bea", {"lead"}, login="bea")
    with sandbox(machines=[Double]) as double:
        order = Double.start("1", lines=[SECRET])
        order.trigger("go")
        double.run()
        order.erase(reason="request 77", actor=ann)
        assert held(double)
        order.erase(reason="request 77", actor=bea)
        assert held(double) == []
        assert [line.kind for line in order.refresh().history[-2:]] == ["asked", "erased"]


def test_what_is_still_under_way_is_refused_and_left_as_it_was(box: Sandbox) -> None:
    order = Order.start("1", lines=[SECRET])
    order.trigger("approve", text=SECRET)
    with pytest.raises(TransitionNotAllowed, match="something of order:1 is still under way"):
        order.erase(reason="request 77")
    order.drop("approve")
    order.trigger("go")
    with pytest.raises(TransitionNotAllowed, match="'cancel' it"):
        order.erase(reason="request 77")
    box.run()
    order.trigger("tell", to="order:1", after=3_600)
    with pytest.raises(TransitionNotAllowed, match="still under way"):
        order.erase(reason="request 77")
    assert len(held(box)) > 3
    failing.add(2)
    Family.start("f", children=[{"item": SECRET}, {"item": 2}])
    box.run()
    Child.start("busy", item=1)
    Family.get("f").refresh()
    with pytest.raises(DataError, match="say why"):
        order.erase(reason="")


def test_a_child_that_works_keeps_its_parent_from_being_erased(box: Sandbox) -> None:
    Family.start("f", children=[{"item": SECRET}])
    box.run()
    child = next(Child.find(branches=True))
    child.force("busy")
    with pytest.raises(TransitionNotAllowed, match=f"something of {child.address} is still under way"):
        Family.get("f").erase(reason="request 77")
    runtime = box._runtime
    instance = load(runtime, runtime.machines.get("family"), "f")
    with pytest.raises(TransitionNotAllowed, match="still under way"):
        plan(runtime, instance, ACTIONS["erase"], Erased(reason="request 77"))
    box.run()
    assert plan(runtime, instance, ACTIONS["erase"], Erased(reason="request 77")).data == {}
    assert Family.get("f").data != {}
