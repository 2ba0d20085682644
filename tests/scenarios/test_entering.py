"""The initial state is entered, too: ``on_enter`` is called at the start. With virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from fsmflow import DefinitionError, Machine, State, TransitionNotAllowed
from tests.support.machines import Trigger
from tests.support.sandbox import every_database, sandbox

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")


class Ticket(Machine):
    """Counts its beginnings, asks for a queue by its lane, and takes late webhooks."""

    initial = "opening"
    states = [
        State("opening", job="act", on_enter=["count", "greet"], queue="lane"),
        State("closed", final=True, ignore=["paid"]),
    ]
    transitions = [
        ["done", "opening", "closed"],
        ["again", "failed_from_opening", "opening"],
        ["paid", "opening", None],
    ]
    paid: Trigger

    def count(self) -> None:
        if self.data.get("broken"):
            raise ValueError("it cannot be counted")
        self.data["entered"] = self.data.get("entered", 0) + 1

    def greet(self) -> None:
        self.send("paid", after=0.5)

    def on_enter_opening(self) -> None:
        self.data["lane"] = f"lane-{self.data['vip']}" if "vip" in self.data else "default"

    def lane(self) -> str:
        return str(self.data["lane"])

    def act(self) -> None: ...


def test_on_enter_of_the_initial_state_is_called_once_before_its_work_is_planned() -> None:
    with sandbox(machines=[Ticket]) as box:
        ticket = Ticket.start("1", vip=3)
        assert ticket.data == {"vip": 3, "entered": 1, "lane": "lane-3"}
        assert [work.queue for work in _work(ticket)] == ["lane-3"]
        assert Ticket.start_many([("2", {}), ("3", {"vip": 1})]) == 2
        assert Ticket.get("3").data == {"vip": 1, "entered": 1, "lane": "lane-1"}
        box.run()
        assert ticket.refresh().state == "closed"


def _work(ticket: Ticket) -> list[Any]:
    work = ticket._view.snapshot.work
    return [] if work is None else [work]


def test_what_it_sends_is_sent_and_a_late_message_to_a_final_state_is_ignored() -> None:
    with sandbox(machines=[Ticket]) as box:
        ticket = Ticket.start("1")
        box.run()
        box.advance(seconds=1)
        assert ticket.refresh().state == "closed"
        assert [entry.kind for entry in ticket.history][-1] == "ignored"
        ticket.paid(amount=3)
        assert [entry.kind for entry in ticket.history][-1] == "ignored"
        with pytest.raises(TransitionNotAllowed):
            ticket.trigger("more")


def test_where_it_raises_nothing_is_started() -> None:
    with sandbox(machines=[Ticket]):
        with pytest.raises(ValueError, match="it cannot be counted"):
            Ticket.start("1", broken=True)
        assert list(Ticket.find()) == []


def test_what_is_adopted_in_mid_life_was_entered_before() -> None:
    with sandbox(machines=[Ticket]):
        assert Ticket.start("1", state="opening", lane="default").data == {"lane": "default"}


def test_a_queue_by_the_name_of_its_own_job_is_refused() -> None:
    with pytest.raises(DefinitionError, match="queue='act' names its job"):

        class Wrong(Machine):
            initial = "one"
            states = [State("one", job="act", queue="act"), State("two", final=True)]
            transitions = [["done", "one", "two"]]

            def act(self) -> None: ...
