"""Messages as their users know them: sent once, later, to whoever they start, and to nobody. With virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from fsmflow import EntityNotFound, FsmflowError, Machine, Outcome, State, TransitionNotAllowed
from tests.support.machines import Trigger
from tests.support.sandbox import every_database, sandbox

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")


class Sender(Machine):
    initial = "sending"
    states = [State("sending", job="tell"), State("sent", final=True)]
    transitions = [["done", "sending", "sent"], ["other", "sending", "sent"]]

    def tell(self) -> Any:
        for options in self.data["messages"]:
            self.send("add", **options)
        if self.data.get("breaks"):
            raise ValueError("after it had sent")
        return Outcome("other") if self.data.get("other") else None


class Basket(Machine):
    initial = "open"
    states = ["open", State("sold", final=True)]
    transitions = [{"trigger": "add", "source": "open", "dest": None, "before": "put"}, ["sell", "open", "sold"]]
    sell: Trigger

    def put(self) -> None:
        self.data["items"] = [*self.data.get("items", []), self.event.payload["sku"]]


def test_a_message_is_delivered_once_with_the_transition_of_its_sender() -> None:
    with sandbox(machines=[Sender, Basket]) as box:
        Basket.start("1")
        Sender.start("a", messages=[{"to": "basket:1", "sku": 1}, {"to": "basket:1", "sku": 2, "key": "two"}])
        Sender.start("b", messages=[{"to": "basket:1", "sku": 2, "key": "two"}])
        box.run()
        basket = Basket.get("1")
        assert basket.data["items"] == [1, 2]
        assert basket.history[-1].actor in ("sender:a", "sender:b")


def test_what_an_attempt_sends_is_not_sent_where_it_fails() -> None:
    with sandbox(machines=[Sender, Basket]) as box:
        Basket.start("1")
        sender = Sender.start("a", messages=[{"to": "basket:1", "sku": 1}], breaks=True)
        box.run()
        assert Basket.get("1").data == {}
        sender.retry(data={"breaks": False})
        box.run()
        assert Basket.get("1").data["items"] == [1]


def test_a_message_later_and_one_that_starts_its_addressee() -> None:
    with sandbox(machines=[Sender, Basket]) as box:
        later = {"to": "basket:new", "sku": 7, "after": 60, "start": {"owner": "ann"}}
        Sender.start("a", messages=[later])
        box.run()
        with pytest.raises(EntityNotFound):
            Basket.get("new")
        box.advance(minutes=2)
        basket = Basket.get("new")
        assert basket.data == {"owner": "ann", "items": [7]}
        assert [entry.kind for entry in basket.history] == ["start", "internal"]


def test_a_message_that_finds_nobody_is_recorded_and_shown() -> None:
    with sandbox(machines=[Sender, Basket]) as box:
        sender = Sender.start("a", messages=[{"to": "basket:gone", "sku": 1}])
        box.run()
        assert sender.refresh().state == "sent"
        last = sender.history[-1]
        assert (last.kind, last.trigger) == ("discarded", "add")
        assert "basket:gone: it does not exist" in (last.reason or "")


def test_a_message_that_is_refused_is_recorded_with_its_addressee() -> None:
    with sandbox(machines=[Sender, Basket]) as box:
        basket = Basket.start("1")
        basket.sell()
        Sender.start("a", messages=[{"to": "basket:1", "sku": 1}])
        box.run()
        last = basket.history[-1]
        assert (last.kind, last.trigger, last.dest) == ("discarded", "add", "sold")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"to": "nobody"}, "'nobody' is no address"),
        ({"after": -1}, "after=-1; it is seconds or a timedelta"),
        ({"to": "basket:1", "start": 5}, "start=5; it is True, or the data"),
        ({"start": True}, "start= goes with to="),
        ({"key": ""}, "send: the key is empty"),
        ({"x": object()}, "cannot be stored"),
    ],
)
def test_a_message_that_cannot_be_meant_fails_the_job(options: dict[str, Any], words: str) -> None:
    class Wrong(Sender):
        name = "wrong"

        def tell(self) -> Any:
            self.send("add", **options)

    with sandbox(machines=[Wrong, Basket]) as box:
        wrong = Wrong.start("a")
        box.run()
        assert wrong.refresh().failure is not None
        assert words in wrong.failure.message  # type: ignore[union-attr]


def test_send_is_for_jobs_and_callbacks() -> None:
    with sandbox(machines=[Basket]), pytest.raises(FsmflowError, match="send works inside a job or a callback"):
        Basket.start("1").send("add", sku=1)


def test_a_message_to_oneself_that_never_ends_does_not_hold_up_others() -> None:
    class Loop(Machine):
        initial = "open"
        states = ["open", State("closed", final=True)]
        transitions = [
            {"trigger": "again", "source": "open", "dest": None, "before": "go_on"},
            ["close", "open", "closed"],
        ]
        again: Trigger

        def go_on(self) -> None:
            self.data["n"] = self.data.get("n", 0) + 1
            if self.data["n"] < 500:
                self.send("again")

    with sandbox(machines=[Loop]) as box:
        loop = Loop.start("1")
        loop.again()
        box.run()
        assert loop.refresh().data["n"] == 500
        with pytest.raises(TransitionNotAllowed):
            loop.trigger("done")
