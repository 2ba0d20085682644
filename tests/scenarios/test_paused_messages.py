"""Messages and a pause: what an entity sent itself stands still with it; what others send it arrives. Virtual time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fsmflow import Machine, State
from fsmflow.decision import asker
from fsmflow.store.tables import EVENT
from fsmflow.verify import verify
from tests.support.machines import Trigger
from tests.support.sandbox import every_database, sandbox

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")


class Trial(Machine):
    """Ends by a message to itself, a day after it has begun."""

    initial = "new"
    states = [State("new", job="begin"), "trying", State("over", final=True)]
    transitions = [
        ["done", "new", "trying"],
        {"trigger": "extend", "source": "trying", "dest": None, "before": "set_end"},
        {"trigger": "stay", "source": "trying", "dest": None, "before": "forget"},
        {"trigger": "note", "source": "*", "dest": None, "before": "write"},
        ["expire", ["new", "trying"], "over"],
    ]
    extend: Trigger
    stay: Trigger

    def begin(self) -> None:
        if self.data.get("pauses"):
            with asker.outside():  # an operator, while it runs
                Trial.get(self.entity_id).pause()
        self.send("expire", after=timedelta(hours=24), name="end")

    def set_end(self) -> None:
        self.send("expire", after=timedelta(hours=48), name="end")

    def forget(self) -> None:
        self.data["was_there"] = self.unsend("end")

    def write(self) -> None:
        self.data["noted"] = self.event.payload["text"]


class Clerk(Machine):
    initial = "new"
    states = ["new", State("gone", final=True)]
    transitions = [{"trigger": "go", "source": "new", "dest": "gone", "before": "tell"}]
    go: Trigger

    def tell(self) -> None:
        self.send("note", to="trial:1", text="hello")


def is_sound(box: Any) -> None:
    assert verify(box._runtime.store, box._runtime.machines.all(), strict=True).violations == []


def test_what_an_entity_sent_itself_stands_still_while_it_is_paused_and_gets_the_rest_of_its_time() -> None:
    with sandbox(machines=[Trial]) as box:
        trial = Trial.start("1")
        box.advance(hours=20)
        trial.pause()
        box.advance(hours=100)
        assert trial.refresh().state == "trying"
        assert trial.explain().scheduled == ("'end': expire to trial:1, held by the pause with 4 h left",)
        is_sound(box)
        trial.resume()
        box.advance(hours=3)
        assert trial.refresh().state == "trying"
        box.advance(hours=1)
        assert (trial.refresh().state, trial.history[-1].trigger) == ("over", "expire")
        is_sound(box)


def test_what_a_job_sends_that_a_pause_lets_end_is_held_with_all_of_its_time() -> None:
    with sandbox(machines=[Trial]) as box:
        trial = Trial.start("1", pauses=True)
        box.advance(hours=100)
        assert (trial.refresh().state, trial.paused) == ("trying", True)
        trial.resume()
        box.advance(hours=23)
        assert trial.refresh().state == "trying"
        box.advance(hours=1)
        assert trial.refresh().state == "over"


def test_what_is_held_can_be_replaced_and_taken_back() -> None:
    with sandbox(machines=[Trial]) as box:
        first, second = Trial.start("1"), Trial.start("2")
        box.run()
        for trial in (first, second):
            trial.pause()
        first.extend()
        second.stay()
        assert second.data["was_there"] is True
        assert "held by the pause" in str(second.history[-1].reason)
        assert first.explain().scheduled == ("'end': expire to trial:1, held by the pause with 2 d left",)
        box.advance(hours=200)
        for trial in (first, second):
            trial.refresh().resume()
        box.advance(hours=47)
        assert first.refresh().state == "trying"
        box.advance(hours=1)
        assert (first.refresh().state, second.refresh().state) == ("over", "trying")
        is_sound(box)


def test_one_that_ends_while_it_is_paused_holds_no_message_for_ever() -> None:
    with sandbox(machines=[Trial]) as box:
        trial = Trial.start("1")
        box.run()
        trial.pause()
        trial.cancel()
        box.advance(hours=24)
        assert trial.refresh().explain().scheduled == ()
        assert trial.history[-1].kind == "discarded"
        is_sound(box)


def test_what_others_send_to_a_paused_entity_arrives_as_a_trigger_does() -> None:
    with sandbox(machines=[Trial, Clerk]) as box:
        trial = Trial.start("1")
        box.run()
        trial.pause()
        Clerk.start("1").go()
        box.run()
        assert (trial.refresh().data["noted"], trial.paused) == ("hello", True)


def test_a_message_that_an_older_release_left_due_with_a_pause_waits_for_the_end_of_that() -> None:
    with sandbox(machines=[Trial]) as box:
        trial = Trial.start("1")
        box.run()
        trial.pause()
        box.database.execute_sql(f"UPDATE {EVENT} SET due_at = 1 WHERE kind = 'sent'")
        assert box.run() == 0
        assert trial.refresh().state == "trying"
        trial.resume()
        assert trial.refresh().state == "over"
