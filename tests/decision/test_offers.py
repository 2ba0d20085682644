"""What could be fired now, asked with a supposed event: by whom, where it leads, and what stands against it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta
from typing import Any

import pytest

from fsmflow import Actor, Machine, NotPermitted, Offer, Refuse, State, Way
from fsmflow.decision.entity import Standing
from fsmflow.decision.offers import offers
from tests.support.walk import Walk

ANN, BEN = Actor("ann", {"manager"}), Actor("ben", {"manager"})


class Claim(Machine):
    """An expense claim, which two people approve."""

    initial = "new"
    states = [
        "new",
        State("one_approval", ignore=["recall"]),
        State("approved", defer=["pay"]),
        State("paid", final=True),
        State("rejected", final=True),
    ]
    transitions = [
        {"trigger": "approve", "source": "new", "dest": "one_approval", "roles": "manager", "before": "sign"},
        {
            "trigger": "approve",
            "source": "one_approval",
            "dest": "approved",
            "conditions": ["is_another"],
            "roles": "manager",
        },
        ["expire", "one_approval", "rejected", "is_late"],
        {"trigger": "reject", "source": ["new", "one_approval"], "dest": "rejected", "conditions": "is_reasoned"},
        {"trigger": "check", "source": "new", "dest": "approved", "conditions": "is_small", "prepare": "count"},
        {"trigger": "check", "source": "new", "dest": None, "unless": "is_small"},
        ["settle", "approved", "paid"],
        ["recall", "new", "rejected"],
        ["pay", "new", "new"],
    ]

    def sign(self) -> None:
        self.data["signed"] = self.event.actor

    def is_another(self) -> bool | Refuse:
        return self.event.actor != self.data["signed"] or Refuse("somebody else has to approve it too")

    def is_late(self) -> bool:
        return bool(self.event.at - timedelta(days=7) > self.data["began"])

    def is_reasoned(self) -> bool:
        return bool(self.event.payload.get("reason"))

    def is_small(self) -> bool:
        return bool(self.data["amount"] <= 500)

    def count(self) -> None:
        self.data["checks"] = self.data.get("checks", 0) + 1
        self.send("checked")


def offered(walk: Walk, actor: Actor | None = None) -> dict[str, Offer]:
    return {offer.trigger: offer for offer in offers(walk.definition, walk.snapshot, actor, walk.now)}


def told(walk: Walk, actor: Actor | None = None) -> list[str]:
    return [str(offer) for offer in offers(walk.definition, walk.snapshot, actor, walk.now)]


@pytest.fixture
def walk() -> Walk:
    walk = Walk(Claim, {"amount": 900, "began": None})
    walk.snapshot = replace(walk.snapshot, data_text='{"amount": 900}')
    return walk


def test_four_eyes_the_one_who_has_approved_is_refused_and_the_other_may(walk: Walk) -> None:
    walk.trigger("approve", actor=ANN)
    assert walk.snapshot.event.actor == "ann"
    assert offered(walk, ANN)["approve"].why == "somebody else has to approve it too"
    assert offered(walk, ANN)["approve"].allowed is False
    assert "approve" not in walk.allowed(ANN)
    second = offered(walk, BEN)["approve"]
    assert (second.allowed, second.dest, second.why) == (True, "approved", None)
    assert "approve" in walk.allowed(BEN)
    walk.trigger("approve", actor=BEN)
    assert walk.state == "approved"


def test_guards_are_asked_about_now_and_not_about_the_day_on_which_the_state_was_entered() -> None:
    class Offer_(Machine):
        name = "offer"
        initial = "open"
        states = ["open", State("over", final=True)]
        transitions = [["close", "open", "over", "is_late"]]

        def is_late(self) -> bool:
            return self.event.at.isoformat() >= "2026-01-09"

    walk = Walk(Offer_)
    assert walk.allowed() == ["cancel"]
    walk.advance(7 * 86_400)
    assert walk.allowed() == ["close", "cancel"]


def test_a_missing_role_is_told_with_its_name(walk: Walk) -> None:
    for actor in (None, Actor("eve"), Actor("eve", {"clerk"})):
        offer = offered(walk, actor)["approve"]
        assert str(offer) == "approve (needs role manager)"
        assert (offer.allowed, offer.dest, offer.needs_roles) == (False, None, ("manager",))
        assert offer.ways == (
            Way(dest="one_approval", allowed=False, why="needs role manager", needs_roles=("manager",)),
        )
    assert offered(walk, ANN)["approve"].needs_roles == ()


def test_each_transition_is_told_up_to_the_one_that_would_be_taken(walk: Walk) -> None:
    assert offered(walk)["check"].ways == (
        Way(dest="approved", allowed=False, why="guard 'is_small' is false"),
        Way(dest=None, allowed=True),
    )
    assert (offered(walk)["check"].allowed, offered(walk)["check"].dest) == (True, None)
    walk.snapshot = replace(walk.snapshot, data_text='{"amount": 5}')
    assert offered(walk)["check"].ways == (Way(dest="approved", allowed=True),)


def test_a_guard_that_needs_the_payload_is_told_as_such_and_not_as_allowed(walk: Walk) -> None:
    offer = offered(walk)["reject"]
    assert (offer.allowed, offer.dest) == (None, None)
    assert str(offer) == "reject (guard 'is_reasoned' needs the payload)"
    assert "reject" not in walk.allowed(ANN)


READS: list[Callable[[Any], Any]] = [
    lambda payload: payload["reason"],
    lambda payload: payload.get("reason"),
    lambda payload: "reason" in payload,
    lambda payload: payload,
    lambda payload: bool(payload),
    lambda payload: len(payload) > 0,
    lambda payload: list(payload.items()),
    lambda payload: {**payload},
    lambda payload: dict(payload).get("reason"),
    lambda payload: payload == {"reason": "x"},
    lambda payload: payload.reason,
    lambda payload: payload.get("lines")[0],
]


@pytest.mark.parametrize("number", range(len(READS)))
def test_however_a_guard_looks_into_the_payload_it_is_noticed(number: int) -> None:
    class Door(Machine):
        initial = "open"
        states = ["open", State("shut", final=True)]
        transitions = [["close", "open", "shut", lambda machine: READS[number](machine.event.payload)]]

    walk = Walk(Door)
    assert offered(walk)["close"].allowed is None
    assert "payload" in str(offered(walk)["close"]) or "raised" in str(offered(walk)["close"])
    assert walk.allowed() == ["cancel"]


def test_words_that_hang_on_the_payload_leave_it_open() -> None:
    class Door(Machine):
        initial = "open"
        states = ["open", State("shut", final=True)]
        transitions = [["close", "open", "shut", "is_reasoned"]]

        def is_reasoned(self) -> bool | Refuse:
            return "reason" in self.event.payload or Refuse("say why")

    offer = offered(Walk(Door))["close"]
    assert (offer.allowed, offer.why) == (None, "say why")


def test_a_guard_that_raises_is_told_with_its_error(walk: Walk) -> None:
    walk.snapshot = replace(walk.snapshot, data_text="{}")
    offer = offered(walk)["check"]
    assert (offer.allowed, offer.dest) == (None, None)
    assert offer.why == "guard 'is_small' of 'check' raised KeyError: 'amount'"


def test_a_later_way_does_not_make_an_open_question_a_yes() -> None:
    class Door(Machine):
        initial = "open"
        states = ["open", "ajar", State("shut", final=True)]
        transitions = [
            ["close", "open", "shut", lambda machine: machine.event.payload["hard"]],
            ["close", "open", "ajar"],
            ["go", "ajar", "shut"],
        ]

    offer = offered(Walk(Door))["close"]
    assert [way.allowed for way in offer.ways] == [None, True]
    assert offer.allowed is None


def test_asking_changes_and_sends_nothing(walk: Walk) -> None:
    before = walk.snapshot
    for _ in range(3):
        assert "check" in offered(walk)
    assert walk.snapshot is before
    assert "checks" not in walk.data


def test_what_comes_too_early_or_is_ignored_is_told(walk: Walk) -> None:
    walk.trigger("approve", actor=ANN)
    recall = offered(walk)["recall"]
    assert (recall.allowed, str(recall), recall.ways) == (False, "recall (it is ignored here)", ())
    walk.trigger("approve", actor=BEN)
    assert str(offered(walk)["pay"]) == "pay (too early: it is kept for later)"


def test_a_branch_that_waits_for_its_turn_takes_nothing_but_cancel(walk: Walk) -> None:
    walk.snapshot = replace(walk.snapshot, standing=Standing.QUEUED)
    assert walk.allowed(ANN) == ["cancel"]
    assert offered(walk)["approve"].why == "it waits for its turn, as its parent has a limit"


def test_what_a_machine_redacts_is_not_told() -> None:
    class Door(Machine):
        initial = "open"
        redact = {"card"}
        states = ["open", State("shut", final=True)]
        transitions = [["close", "open", "shut", lambda machine: Refuse(f"card {machine.data['card']} is blocked")]]

    assert "4242" not in " ".join(told(Walk(Door, {"card": "4242-1111"})))


def test_undo_is_told_where_nothing_is_left_to_undo() -> None:
    class Trip(Machine):
        initial = "new"
        states = ["new", State("booking", job="book", undo="unbook"), State("booked", final=True)]
        transitions = [["go", "new", "booking"], ["done", "booking", "booked"]]

        def book(self) -> None:
            pass

        def unbook(self) -> None:
            pass

    assert "undo (no step is left to be undone)" in told(Walk(Trip))


def test_offers_cannot_be_changed(walk: Walk) -> None:
    offer = offered(walk)["check"]
    with pytest.raises(FrozenInstanceError):
        offer.allowed = True  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        offer.ways[0].dest = "paid"  # type: ignore[misc]


def test_nothing_is_offered_in_a_state_that_the_code_lacks(walk: Walk) -> None:
    for snapshot in (replace(walk.snapshot, state="gone"), replace(walk.snapshot, version=2)):
        assert offers(walk.definition, snapshot, ANN, walk.now) == []


def test_a_way_that_a_role_is_missing_for_hides_those_behind_it_as_it_does_when_it_is_fired() -> None:
    class Door(Machine):
        name = "door_with_a_role"
        initial = "shut"
        states = ["shut", State("open", final=True), State("broken", final=True)]
        transitions = [
            {"trigger": "pull", "source": "shut", "dest": "open", "roles": "owner", "conditions": "has_a_key"},
            ["pull", "shut", "broken"],
        ]

        def has_a_key(self) -> bool:
            return not self.data.get("lost")

    walk = Walk(Door)
    offer = offered(walk)["pull"]
    assert (offer.allowed, offer.dest, [way.dest for way in offer.ways]) == (False, None, ["open"])
    with pytest.raises(NotPermitted):
        walk.trigger("pull")
    assert offered(Walk(Door, {"lost": True}))["pull"].dest == "broken"
