"""Waiting and deferral as their users know them: webhooks, dunning, reminders, superseding. With virtual time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fsmflow import Actor, Fail, Machine, NotPermitted, Retry, State
from tests.support.concurrency import by_others
from tests.support.machines import Trigger
from tests.support.sandbox import every_database, sandbox

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")

done: list[Any] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    done.clear()


class Subscription(Machine):
    """Charged each month; when that fails, reminders after 1, 3 and 7 days; paying ends it at any moment."""

    initial = "active"
    states = [
        State("active", delay=timedelta(days=30)),
        State("charging", job="charge", undo=None),
        State("dunning", timeout="until_next"),
        State("reminding", job="remind", defer=["pay"]),
        State("expired", final=True),
    ]
    transitions = [
        ["done", "active", "charging"],
        ["done", "charging", "active"],
        {"trigger": "fail", "source": "charging", "dest": "dunning", "before": "begin_dunning"},
        {"trigger": "timeout", "source": "dunning", "dest": "reminding", "conditions": "has_more"},
        ["timeout", "dunning", "expired"],
        ["done", "reminding", "dunning"],
        ["pay", "dunning", "active"],
        ["pay", "failed_from_reminding", "active"],
    ]
    pay: Trigger
    days = (1, 3, 7)

    def charge(self) -> None:
        done.append("charge")
        if self.data.get("broke"):
            raise Fail("card declined")

    def begin_dunning(self) -> None:
        self.data["reminded"] = 0

    def until_next(self) -> timedelta:
        sent = self.data["reminded"]
        if sent >= len(self.days):
            return timedelta(days=1)
        return timedelta(days=self.days[sent] - (self.days[sent - 1] if sent else 0))

    def has_more(self) -> bool:
        return bool(self.data["reminded"] < len(self.days))

    def remind(self) -> dict[str, Any]:
        done.append(f"reminder {self.data['reminded'] + 1}")
        return {"reminded": self.data["reminded"] + 1}


def test_dunning_after_one_three_and_seven_days_then_the_end() -> None:
    with sandbox(machines=[Subscription]) as box:
        begun = box.now
        subscription = Subscription.start("1", broke=True)
        box.advance(days=60)
        assert subscription.refresh().state == "expired"
        assert done == ["charge", "reminder 1", "reminder 2", "reminder 3"]
        at = [entry.at - begun for entry in subscription.history if entry.dest == "reminding"]
        assert [moment.days for moment in at] == [31, 33, 37]


@pytest.mark.parametrize("days", [30.5, 32, 36])
def test_paying_ends_the_dunning_at_any_moment(days: float) -> None:
    with sandbox(machines=[Subscription]) as box:
        subscription = Subscription.start("1", broke=True)
        box.advance(days=days)
        subscription.pay()
        assert subscription.state == "active"


def test_a_payment_that_comes_while_a_reminder_is_sent_counts_afterwards() -> None:
    class Eager(Subscription):
        name = "eager"
        initial = "active"

        def remind(self) -> dict[str, Any]:
            # The customer pays while the job runs.
            entry = by_others(Eager.get(self.entity_id)).pay(key="payment-1")
            done.append(entry.kind)
            return super().remind()

    with sandbox(machines=[Eager]) as box:
        subscription = Eager.start("1", broke=True)
        box.advance(days=31, hours=1)
        assert subscription.refresh().state == "active"
        assert done == ["charge", "deferred", "reminder 1"]
        kinds = [(entry.kind, entry.trigger) for entry in subscription.history[-3:]]
        assert kinds == [("deferred", "pay"), ("transition", "done"), ("transition", "pay")]


class Payment(Machine):
    """A webhook may come before the state that waits for it."""

    initial = "new"
    states = [
        State("new", defer=["paid"]),
        State("opening", job="open_page", defer=["paid", "void"], ignore="viewed"),
        "awaiting",
        State("settled", final=True),
        State("voided", final=True),
    ]
    transitions = [
        ["submit", "new", "opening"],
        ["done", "opening", "awaiting"],
        {"trigger": "paid", "source": "awaiting", "dest": "settled", "unless": "is_too_little"},
        {"trigger": "void", "source": "awaiting", "dest": "voided", "roles": ["clerk"]},
        ["viewed", "awaiting", None],
    ]
    paid: Trigger
    void: Trigger
    viewed: Trigger
    submit: Trigger

    def open_page(self) -> None:
        if self.data.get("breaks"):
            raise Fail("no page")

    def is_too_little(self) -> bool:
        return bool(self.event.payload.get("amount", 10) < 10)


def test_a_webhook_that_comes_before_its_state_is_kept_and_fires_in_it() -> None:
    with sandbox(machines=[Payment]) as box:
        payment = Payment.start("1")
        entry = payment.paid(amount=10, key="hook-1")
        assert (entry.kind, entry.dest, payment.state) == ("deferred", "new", "new")
        assert payment.paid(amount=10, key="hook-1") == entry
        payment.submit()
        assert payment.viewed().kind == "ignored"
        box.run()
        assert payment.refresh().state == "settled"
        last = payment.history[-1]
        assert (last.trigger, last.payload, last.kind) == ("paid", {"amount": 10}, "transition")
        assert [entry.seq for entry in payment.history] == list(range(1, 7))


def test_kept_events_fire_in_order_and_what_is_left_is_discarded_at_the_end() -> None:
    with sandbox(machines=[Payment]) as box:
        payment = Payment.start("1")
        payment.paid(amount=1)
        payment.paid(amount=20, actor="bank")
        payment.paid(amount=30)
        payment.submit()
        box.run()
        tail = [(entry.kind, entry.payload.get("amount"), entry.actor) for entry in payment.history[-3:]]
        assert tail == [("transition", 20, "bank"), ("discarded", 1, None), ("discarded", 30, None)]
        assert payment.refresh().state == "settled"


def test_what_is_deferred_is_kept_in_the_failure_of_the_state_too() -> None:
    with sandbox(machines=[Payment]) as box:
        payment = Payment.start("1", breaks=True)
        payment.submit()
        box.run()
        assert payment.refresh().state == "failed_from_opening"
        assert payment.paid().kind == "deferred"
        payment.retry(data={"breaks": False})
        box.run()
        assert payment.refresh().state == "settled"


def test_roles_are_asked_for_when_an_event_is_kept() -> None:
    with sandbox(machines=[Payment]) as box:
        payment = Payment.start("1")
        payment.submit()
        with pytest.raises(NotPermitted):
            payment.void(actor="anybody")
        assert payment.void(actor=Actor("carla", {"clerk"})).kind == "deferred"
        box.run()
        assert payment.refresh().state == "voided"
        assert payment.history[-1].actor == "carla"


class Invoice(Machine):
    """Asks another system, and waits for its answer: reminders every 24 hours until confirmed, or 7 days are over."""

    initial = "asking"
    states = [
        State("asking", job="ask", wait=True, timeout=timedelta(days=7)),
        State("confirmed", final=True),
        State("given_up", final=True),
    ]
    transitions = [
        ["confirm", "asking", "confirmed"],
        ["timeout", "asking", "given_up"],
        {"trigger": "remind", "source": "asking", "dest": None, "before": "send_reminder"},
    ]
    confirm: Trigger

    def ask(self) -> dict[str, Any]:
        done.append("asked")
        if self.data.get("quick"):
            by_others(Invoice.get(self.entity_id)).confirm()
        if self.data.get("breaks"):
            raise Fail("no line")
        self.send("remind", after=timedelta(days=1))
        return {"asked": True}

    def send_reminder(self) -> None:
        self.data["reminders"] = self.data.get("reminders", 0) + 1
        self.send("remind", after=timedelta(days=1))


def test_reminders_every_day_until_seven_days_are_over() -> None:
    with sandbox(machines=[Invoice]) as box:
        invoice = Invoice.start("1")
        box.run()
        assert (invoice.refresh().state, invoice.phase, invoice.data["asked"]) == ("asking", "waiting", True)
        box.advance(days=3, hours=1)
        assert invoice.refresh().data["reminders"] == 3
        box.advance(days=10)
        assert invoice.refresh().state == "given_up"
        assert invoice.data["reminders"] == 6
        assert done == ["asked"]
        assert invoice.history[-1].kind == "discarded"  # the reminder of the eighth day


def test_a_confirmation_ends_the_reminders_and_one_may_beat_the_return_of_the_job() -> None:
    with sandbox(machines=[Invoice]) as box:
        invoice = Invoice.start("1")
        box.advance(days=2, hours=1)
        invoice.confirm()
        quick = Invoice.start("2", quick=True)
        box.advance(days=10)
        assert (invoice.refresh().state, invoice.data["reminders"]) == ("confirmed", 2)
        assert (quick.refresh().state, quick.data.get("asked")) == ("confirmed", None)


def test_the_deadline_of_a_state_that_asks_goes_on_over_the_retries_of_its_job() -> None:
    with sandbox(machines=[Invoice]) as box:
        invoice = Invoice.start("1", breaks=True)
        box.run()
        assert invoice.refresh().state == "failed_from_asking"
        invoice.retry(data={"breaks": False})
        invoice.pause()
        box.advance(days=8)
        assert invoice.refresh().state == "asking"
        invoice.resume()
        box.advance(days=6, hours=23)
        assert invoice.refresh().state == "asking"
        box.advance(hours=2)
        assert invoice.refresh().state == "given_up"


def test_a_deadline_comes_before_a_retry_that_would_be_later() -> None:
    class Slow(Invoice):
        name = "slow"
        states = [
            State("asking", job="ask", wait=True, timeout=60, retry=Retry(max=1, interval=3_600, jitter=0)),
            *Invoice.states[1:],
        ]

        def ask(self) -> dict[str, Any]:
            raise ConnectionError

    with sandbox(machines=[Slow]) as box:
        slow = Slow.start("1")
        box.advance(seconds=61)
        assert slow.refresh().state == "given_up"


class Upload(Machine):
    """A newer upload supersedes the one that is being worked on."""

    initial = "busy"
    states = [State("busy", job="convert"), State("ready")]
    transitions = [
        ["done", "busy", "ready"],
        {
            "trigger": "upload",
            "source": ["busy", "ready", "failed_from_busy"],
            "dest": "busy",
            "before": "take",
        },
    ]
    upload: Trigger

    def take(self) -> None:
        self.data["file"] = self.event.payload["file"]

    def convert(self) -> dict[str, Any]:
        done.append(self.data["file"])
        if self.data["file"] == "a":
            by_others(Upload.get(self.entity_id)).upload(file="b")
        return {"converted": self.data["file"]}


def test_a_newer_upload_supersedes_the_one_that_is_being_worked_on() -> None:
    with sandbox(machines=[Upload]) as box:
        upload = Upload.start_or_trigger("1", "upload", file="a")
        box.run()
        assert upload.refresh().state == "ready"
        assert done == ["a", "b"]
        assert upload.data == {"file": "b", "converted": "b"}
        Upload.start_or_trigger("1", "upload", file="c")
        box.run()
        assert upload.refresh().data["converted"] == "c"
