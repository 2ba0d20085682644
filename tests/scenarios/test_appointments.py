"""Messages that can be taken back: by their name, and with the visit of the state that they are for. Virtual time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fsmflow import Machine, State
from fsmflow.verify import verify
from tests.support.interruptions import after_nth
from tests.support.machines import Trigger
from tests.support.sandbox import every_database, sandbox

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")


class Account(Machine):
    """A trial of 14 days, as its users write it."""

    initial = "new"
    states = ["new", "trial", "grace", State("paid", ignore=["lapse"]), State("closed", final=True)]
    transitions = [
        {"trigger": "try_out", "source": "new", "dest": "trial", "after": "begin"},
        {"trigger": "extend", "source": ["trial", "grace"], "dest": None, "before": "begin"},
        {"trigger": "pay", "source": ["trial", "grace"], "dest": "paid", "before": "forget"},
        {"trigger": "slip", "source": "trial", "dest": "grace"},
        {"trigger": "lapse", "source": ["trial", "grace"], "dest": "closed"},
        ["close", "paid", "closed"],
        {"trigger": "nudge", "source": "*", "dest": None, "before": "note"},
        ["back", "grace", "trial"],
    ]
    try_out: Trigger
    extend: Trigger
    pay: Trigger
    slip: Trigger
    lapse: Trigger
    nudge: Trigger
    back: Trigger

    def begin(self) -> None:
        self.send("lapse", after=timedelta(days=self.event.payload.get("days", 14)), name="trial")

    def forget(self) -> None:
        self.data["was_there"] = self.unsend("trial")

    def note(self) -> None:
        self.data["nudges"] = self.data.get("nudges", 0) + 1

    def on_enter_trial(self) -> None:
        self.send("nudge", after=3_600, until_left=True)


def is_sound(box: Any) -> None:
    report = verify(box._runtime.store, box._runtime.machines.all(), strict=True)
    assert report.violations == []


def kinds(machine: Any) -> list[str]:
    return [entry.kind for entry in machine.refresh().history]


def test_what_is_taken_back_is_never_delivered() -> None:
    with sandbox(machines=[Account]) as box:
        account = Account.start("1")
        account.try_out()
        account.pay()
        assert account.refresh().data["was_there"] is True
        told = account.history[-2]
        assert (told.kind, told.trigger, told.dest) == ("unsent", "lapse", "paid")
        assert told.reason is not None
        assert "'trial' to account:1, due " in told.reason
        box.advance(days=30)
        assert "ignored" not in kinds(account)
        assert account.state == "paid"
        is_sound(box)


def test_what_has_been_delivered_is_not_taken_back() -> None:
    class Relaxed(Account):
        name = "account"
        transitions = [
            {"trigger": "lapse", "source": "trial", "dest": "grace"},
            *[way for way in Account.transitions if not (isinstance(way, dict) and way["trigger"] == "lapse")],
        ]

    with sandbox(machines=[Relaxed]) as box:
        account = Relaxed.start("1")
        account.try_out()
        box.advance(days=15)
        assert account.refresh().state == "grace"
        account.pay()
        assert account.refresh().data["was_there"] is False
        assert "unsent" not in [entry.kind for entry in account.history if entry.trigger == "lapse"]
        is_sound(box)


def test_a_name_that_is_used_again_replaces_what_it_was_used_for() -> None:
    with sandbox(machines=[Account]) as box:
        account = Account.start("1")
        account.try_out(days=1)
        account.extend(days=3)
        account.extend(days=5)
        box.advance(days=4)
        assert account.refresh().state == "trial"
        box.advance(days=2)
        assert account.refresh().state == "closed"
        assert [entry.trigger for entry in account.history].count("lapse") == 1
        is_sound(box)


class Trial(Machine):
    """Its own message ends the visit that it would end with."""

    initial = "new"
    states = ["new", "trying", State("over", final=True)]
    transitions = [
        {"trigger": "begin", "source": "new", "dest": "trying", "after": "set_end"},
        {"trigger": "expire", "source": "trying", "dest": "over", "before": "forget"},
    ]
    begin: Trigger

    def set_end(self) -> None:
        self.send("expire", after=60, name="end", until_left=True)

    def forget(self) -> None:
        self.data["was_there"] = self.unsend("end")


def test_a_message_that_is_delivered_is_not_taken_back_by_what_it_leads_to() -> None:
    with sandbox(machines=[Trial]) as box:
        trial = Trial.start("1")
        trial.begin()
        box.advance(minutes=2)
        assert kinds(trial) == ["start", "transition", "transition"]
        assert trial.data == {"was_there": False}
        is_sound(box)


def test_a_message_until_its_state_is_left_ends_with_the_visit() -> None:
    with sandbox(machines=[Account]) as box:
        account = Account.start("1")
        account.try_out()
        account.extend()  # internal: the visit goes on
        account.slip()
        box.advance(hours=2)
        assert "nudges" not in account.refresh().data
        told = next(entry for entry in account.history if entry.kind == "unsent")
        assert (told.reason or "").endswith("the visit that it was for is over")
        account.back()
        box.advance(hours=2)
        assert account.refresh().data["nudges"] == 1
        account.pay()
        is_sound(box)


@pytest.mark.parametrize("leave", ["cancel", "force", "rewind"])
def test_it_ends_with_the_visit_however_that_is_left(leave: str) -> None:
    with sandbox(machines=[Account]) as box:
        account = Account.start("1")
        account.try_out()
        getattr(account, leave)(*({"cancel": [], "force": ["grace"], "rewind": ["new"]}[leave]))
        box.advance(hours=2)
        assert "nudges" not in account.refresh().data
        is_sound(box)


class Asker(Machine):
    """A job that asks and waits, and one whose attempts fail."""

    initial = "asking"
    states = [State("asking", job="ask", wait=True), State("checking", job="check"), State("over", final=True)]
    transitions = [
        ["answer", "asking", "checking"],
        ["done", "checking", "over"],
        {"trigger": "remind", "source": "*", "dest": None, "before": "note"},
    ]
    answer: Trigger

    def ask(self) -> None:
        self.send("remind", after=3_600, until_left=True)
        self.send("remind", after=7_200, name="second")

    def check(self) -> None:
        assert self.unsend("second") is None
        self.send("remind", after=60, until_left=True)
        if not self.data.get("mended"):
            raise ValueError("not yet")

    def note(self) -> None:
        self.data["reminders"] = self.data.get("reminders", 0) + 1


def test_a_job_takes_back_with_its_end_and_not_where_it_fails() -> None:
    with sandbox(machines=[Asker]) as box:
        asker = Asker.start("1")
        box.run()
        asker.answer()
        box.run()
        assert asker.refresh().state == "failed_from_checking"
        asker.retry(data={"mended": True})
        box.run()
        assert asker.refresh().state == "over"
        assert kinds(asker).count("unsent") == 3  # with the visit of asking; the second; with that of checking
        box.advance(days=1)
        assert "reminders" not in asker.refresh().data
        is_sound(box)


def test_a_job_that_asked_is_reminded_as_long_as_it_waits() -> None:
    with sandbox(machines=[Asker]) as box:
        asker = Asker.start("1")
        box.advance(hours=3)
        assert asker.refresh().data["reminders"] == 2


class Saver(Machine):
    initial = "busy"
    states = [State("busy", job="work"), State("over", final=True)]
    transitions = [["done", "busy", "over"], {"trigger": "tick", "source": "*", "dest": None}]

    def work(self) -> None:
        self.send("tick", after=60, name="a")
        self.send("tick", after=60, name="b", until_left=True)
        self.save()
        self.unsend("a")
        self.unsend("never sent")


def test_what_was_saved_is_taken_back_with_the_end_of_the_job() -> None:
    with sandbox(machines=[Saver]) as box:
        saver = Saver.start("1")
        box.advance(hours=1)
        assert kinds(saver) == ["start", "saved", "transition", "unsent", "unsent"]
        is_sound(box)


class Parent(Machine):
    initial = "spreading"
    states = [State("spreading", job="part", each="items"), "spread", State("closed", final=True)]
    transitions = [
        ["done", "spreading", "spread"],
        ["close", "spread", "closed"],
        {"trigger": "late", "source": "*", "dest": None},
    ]

    def part(self, item: int) -> None:
        self.send("late", after=600 + item, name="mine")
        if item == 1:
            self.unsend("mine")


def test_a_branch_has_names_of_its_own() -> None:
    with sandbox(machines=[Parent]) as box:
        parent = Parent.start("1", items=[0, 1, 2])
        box.advance(hours=1)
        assert [entry.trigger for entry in parent.refresh().history].count("late") == 2
        is_sound(box)


class Caller(Machine):
    """Sends to another entity, and may take it back."""

    initial = "new"
    states = ["new", "called", State("over", final=True)]
    transitions = [
        {"trigger": "call", "source": "new", "dest": "called", "after": "send_it"},
        {"trigger": "hang_up", "source": "called", "dest": "over", "before": "take_back"},
    ]
    call: Trigger
    hang_up: Trigger

    def send_it(self) -> None:
        self.send("nudge", to="account:2", after=60, name="call")

    def take_back(self) -> None:
        self.data["taken"] = self.unsend("call")


def test_what_is_taken_back_while_it_is_being_delivered_is_not_delivered() -> None:
    with sandbox(machines=[Account, Caller]) as box:
        account, caller = Account.start("2"), Caller.start("1")
        caller.call()
        # The addressee has been read, and its commit is about to use the message up.
        with after_nth(box._runtime.store.entities, "load", 1, lambda: caller.hang_up()):
            box.advance(minutes=2)
        assert caller.refresh().data == {"taken": True}
        assert kinds(caller)[-1] == "unsent"
        assert account.refresh().data == {}
        is_sound(box)


def test_what_is_delivered_while_it_is_being_taken_back_is_not_taken_back() -> None:
    with sandbox(machines=[Account, Caller]) as box:
        account, caller = Account.start("2"), Caller.start("1")
        caller.call()
        # It was found to be on its way, and the commit of who takes it back is to come.
        with after_nth(box._runtime.store.events, "sent", 1, lambda: box.advance(minutes=2)):
            caller.hang_up()
        assert caller.refresh().data == {"taken": False}
        assert "unsent" not in kinds(caller)
        assert account.refresh().data == {"nudges": 1}
        is_sound(box)


def test_what_is_on_its_way_is_explained() -> None:
    with sandbox(machines=[Account]):
        account = Account.start("1")
        account.try_out()
        found = account.explain()
        assert len(found.scheduled) == 2
        assert any(line.startswith("'trial': lapse to account:1 at ") for line in found.scheduled)
        assert "scheduled:" in str(found)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"name": ""}, "send: the name is empty"), ({"until_left": 1}, "until_left=1; it is True or False")],
)
def test_names_and_ends_that_cannot_be_meant_are_refused(options: dict[str, Any], words: str) -> None:
    class Wrong(Machine):
        name = "wrong"
        initial = "sending"
        states = [State("sending", job="tell"), State("sent", final=True)]
        transitions = [["done", "sending", "sent"]]

        def tell(self) -> None:
            self.send("add", **options)

    with sandbox(machines=[Wrong]) as box:
        wrong = Wrong.start("1")
        box.run()
        assert words in wrong.refresh().failure.message  # type: ignore[union-attr]
