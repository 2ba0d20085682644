"""Waiting, deferral and messages as their users know them: webhooks, dunning, reminders, superseding. Virtual time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fsmflow import (
    Actor,
    EntityNotFound,
    Fail,
    FsmflowError,
    Machine,
    NotPermitted,
    Outcome,
    Retry,
    State,
    TransitionNotAllowed,
)
from tests.support.sandbox import every_database, sandbox

done: list[Any] = []


__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")


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
            entry = Eager.get(self.entity_id).pay(key="payment-1")
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

    def ask(self) -> dict[str, Any]:
        done.append("asked")
        if self.data.get("quick"):
            Invoice.get(self.entity_id).confirm()
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

    initial = "working"
    states = [State("working", job="convert"), State("ready")]
    transitions = [
        ["done", "working", "ready"],
        {
            "trigger": "upload",
            "source": ["working", "ready", "failed_from_working"],
            "dest": "working",
            "before": "take",
        },
    ]

    def take(self) -> None:
        self.data["file"] = self.event.payload["file"]

    def convert(self) -> dict[str, Any]:
        done.append(self.data["file"])
        if self.data["file"] == "a":
            Upload.get(self.entity_id).upload(file="b")
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
