"""A delivery brings one message to one channel, and tells what was answered."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from fsmflow import EntityNotFound, Fail, Machine, State, Tell, clock
from fsmflow.channels import Log
from fsmflow.engine.runtime import current
from fsmflow.operations.deliveries import deliver
from fsmflow.operations.notice import Notice
from fsmflow.store.entities import Entities
from tests.support.interruptions import after_nth
from tests.support.sandbox import every_database, sandbox

__all__ = ["every_database"]  # a fixture


def told(key: str = "1", channel: str = "log") -> Notice:
    now, data = clock.to_datetime(current().now()), {"text": "payment:7 is in 'shipped'", "address": "payment:7"}
    address = deliver(current(), channel, "payment.shipped", now, data, about="payment:7", key=key)
    return Notice.get(address.removeprefix("notice:"))


def test_a_message_is_delivered_once_however_often_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with sandbox(machines=[], channels={}) as box, caplog.at_level(logging.WARNING, "fsmflow"):
        first, again, other = told(), told(), told("2")
        assert first.address == again.address != other.address
        assert box.run() == 2
        for each in (first, other):
            assert (each.refresh().state, each.data["answered"]) == ("delivered", "written to the log")
    assert caplog.messages == ["message.told: payment.shipped: payment:7 is in 'shipped'"] * 2


def test_it_is_tried_for_a_day_and_rests_where_it_can_be_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The channel is looked up by its name each time: what is mended meanwhile is what is used."""
    with sandbox(machines=[], channels={"ops": Log("INFO")}) as box:
        delivery = told(channel="oops")
        box.advance(hours=22)
        assert (delivery.refresh().state, delivery.attempt) == ("sending", 10)
        box.advance(hours=4)
        failure = delivery.refresh().failure
        assert failure is not None
        assert (delivery.state, failure.attempts) == ("failed_from_sending", 10)
        assert failure.message.startswith("there is no channel 'oops' here; did you mean 'ops'?")
        channels: Any = current().settings.channels
        monkeypatch.setitem(channels, "oops", Log("INFO"))
        delivery.retry()
        box.advance(days=6)
        assert delivery.refresh().state == "delivered"
        box.advance(days=2)
        with pytest.raises(EntityNotFound):
            delivery.refresh()


class Parcel(Machine):
    name = "parcel"
    initial = "new"
    redact = ("card",)
    tell = {
        "sent": ["shop", "log"],
        "failed_from_*": Tell("ops", fields=["to", "size.kg", "none"]),
        "back": Tell("shop"),
    }
    states = [
        State("new"),
        State("sending", jobs={"label": "label", "truck": "truck"}),
        State("sent"),
        State("back", final=True),
    ]
    transitions = [
        ["send_off", "new", "sending"],
        ["done", "sending", "sent"],
        ["take_back", "*", "back"],
    ]

    def label(self) -> None:
        if self.data["to"] == "nowhere":
            raise Fail(f"no label for card {self.data['card']}")

    def truck(self) -> None:
        """It is there."""


def messages(about: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Of an entity, in the order in which they were told: channel, type, data."""
    found = Notice.find(data={"about": about})
    told = [(each.data["channel"], each.data["type"], each.data["message"]["data"]) for each in found]
    return sorted(told, key=lambda one: (one[2]["seq"], one[0]))


@pytest.mark.usefixtures("every_database")
def test_what_is_told_is_committed_with_the_transition() -> None:
    with sandbox(machines=[Parcel]) as box:
        parcel = Parcel.start("7", to="nowhere", size={"kg": 3}, card="4711-0815")
        parcel.trigger("send_off")
        forecast = parcel.what_if("take_back")
        assert forecast.sends == ("parcel.back to channel 'shop', at once",)
        box.run()
        ((channel, type_, data),) = messages("parcel:7")
        assert (channel, type_) == ("ops", "parcel.failed_from_sending")
        entry = parcel.refresh().history[-1]
        assert {name: data[name] for name in ("state", "source", "trigger", "seq", "epoch", "fields")} == {
            "state": "failed_from_sending",
            "source": "sending",
            "trigger": "fail",
            "seq": entry.seq,
            "epoch": entry.epoch,
            "fields": {"to": "nowhere", "size.kg": 3},
        }
        assert data["failure"]["error_type"] == "BranchesFailed"
        assert "0815" not in str(data)
        parcel.retry(data={"to": "Ulm"}, actor="alice", reason="the card 4711-0815 is new")
        box.run()
        parcel.trigger("take_back", actor="bob", reason="4711-0815 was wrong")
        box.run()
        told = messages("parcel:7")[1:]
        assert [one[:2] for one in told] == [("log", "parcel.sent"), ("shop", "parcel.sent"), ("shop", "parcel.back")]
        assert (told[2][2]["actor"], told[2][2]["reason"]) == ("bob", "[redacted] was wrong")
        assert {each.state for each in Notice.find()} == {"delivered"}
        kinds = {entry.kind for entry in parcel.refresh().history}
        assert kinds == {"start", "transition"}, "the sender has no line for what is told"


def test_what_is_decided_anew_is_told_once() -> None:
    """Somebody else was first, and the decision that told of it was thrown away."""
    with sandbox(machines=[Parcel]) as box:
        parcel = Parcel.start("7", to="Ulm")
        with after_nth(Entities, "load", 1, lambda: Parcel.get("7").pause()):
            parcel.trigger("take_back")
        box.run()
        assert [entry.kind for entry in parcel.history] == ["start", "paused", "transition"]
        assert len(messages("parcel:7")) == 1


def test_fields_that_are_too_large_are_left_out_and_the_transition_is_not() -> None:
    with sandbox(machines=[Parcel]) as box:
        parcel = Parcel.start("7", to="x" * 70_000)
        parcel.force("failed_from_sending", reason="lost")
        box.run()
        ((_, _, data),) = messages("parcel:7")
        assert (data["fields"], data["kind"]) == ({}, "forced")
        assert data["left_out"] == "the fields have 70,009 bytes, and 65,536 are told"


class Claim(Machine):
    name = "claim"
    initial = "open"
    tell = {
        "paid": [Tell("shop", trigger="approve", fields=["sum"]), Tell("shop", "boss", source="disputed")],
        "checked": Tell("shop", trigger="done"),
        "*": Tell("ops", trigger=["force", "rewind", "note"]),
    }
    states = [
        State("open"),
        State("disputed"),
        State("paid"),
        State("weighing", job="weigh"),
        State("checked", final=True),
    ]
    transitions = [
        ["approve", ["open", "disputed"], "paid"],
        ["settle", ["open", "disputed"], "paid"],
        ["dispute", ["open", "paid"], "disputed"],
        ["note", ["open", "paid"], None],
        ["weigh_it", "disputed", "weighing"],
        ["done", "weighing", "checked"],
    ]

    def weigh(self) -> None:
        raise Fail("no scales")


def test_transitions_can_be_chosen_and_each_channel_is_told_once() -> None:
    """What enters nothing has a type of its own: whoever acts on ``claim.paid`` must not be called for a note."""
    with sandbox(machines=[Claim]) as box:
        claim = Claim.start("7", sum=5)
        for trigger in ("settle", "note", "dispute", "approve", "dispute", "settle"):
            claim.trigger(trigger)
        claim.rewind("disputed")
        claim.trigger("weigh_it")
        box.run()
        claim.skip()
        Claim.start("8").force("paid", reason="it was")
        box.run()
        told = [(channel, type_, data["kind"], data["trigger"]) for channel, type_, data in messages("claim:7")]
        assert told == [
            ("ops", "claim.note", "internal", "note"),
            ("boss", "claim.paid", "transition", "approve"),
            ("shop", "claim.paid", "transition", "approve"),
            ("boss", "claim.paid", "transition", "settle"),
            ("shop", "claim.paid", "transition", "settle"),
            ("ops", "claim.disputed", "rewound", "rewind"),
            ("shop", "claim.checked", "skipped", "done"),
        ]
        assert [(one[:2], one[2]["kind"]) for one in messages("claim:8")] == [(("ops", "claim.paid"), "forced")]
        noted, _, approved = (data for _, _, data in messages("claim:7")[:3])
        assert (noted["text"], approved["fields"]) == ("claim:7 took 'note' in 'paid'", {"sum": 5})
