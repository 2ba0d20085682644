"""What a caller hands in: what an outsider wrote comes as a mapping, and an option of the wrong type is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import pytest

from fsmflow import DataError, Machine, State, TransitionConflict
from fsmflow.testing import Sandbox, sandbox

#: As an outsider may write it: each name is one of an option.
BODY = {
    "actor": "mallory",
    "reason": 7,
    "key": "same",
    "epoch": "3",
    "to": "bill:2",
    "after": 5,
    "start": {},
    "self": 1,
}


class Bill(Machine):
    """Takes payments, and tells another one of each."""

    initial = "open"
    states = [State("open"), State("telling", job="tell"), State("paid", final=True)]
    transitions = [
        {"trigger": "note", "source": "open", "dest": None, "before": "take"},
        ["go", "open", "telling"],
        ["done", "telling", "open"],
        ["pay", "open", "paid"],
    ]

    def take(self) -> None:
        self.data["seen"] = dict(self.event.payload)

    def tell(self) -> None:
        self.send("note", self.data["body"], to="bill:other", start=True, more=1)


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(machines=[Bill]) as box:
        yield box


@pytest.fixture
def bill(box: Sandbox) -> Bill:
    return Bill.start("1")


@pytest.mark.parametrize("body", [BODY, MappingProxyType(BODY)])
def test_a_payload_given_as_a_mapping_may_have_the_names_of_options(bill: Bill, body: Any) -> None:
    entry = bill.trigger("note", body, key="evt-1", actor="bank")
    assert (entry.payload, entry.key, entry.actor, entry.reason) == (BODY, "evt-1", "bank", None)
    assert bill.data["seen"] == BODY
    assert bill.trigger("note", {"other": 1}, key="evt-1") == entry


def test_fields_win_over_the_mapping_and_neither_is_changed(bill: Bill) -> None:
    body = {"amount": 1, "currency": "EUR"}
    assert bill.trigger("note", body, amount=2).payload == {"amount": 2, "currency": "EUR"}
    assert body == {"amount": 1, "currency": "EUR"}


def test_the_method_of_a_trigger_takes_the_mapping_too(bill: Bill) -> None:
    fire: Callable[..., Any] = vars(Bill)["note"]
    assert fire(bill, BODY, actor="bank").payload == BODY


@pytest.mark.parametrize("there", [True, False])
def test_start_or_trigger_takes_the_mapping_too(box: Sandbox, there: bool) -> None:
    if there:
        Bill.start("2")
    bill = Bill.start_or_trigger("2", "note", {**BODY, "data": 9}, data={"size": 1}, key="evt-1", more=1)
    assert bill.data["seen"] == {**BODY, "data": 9, "more": 1}
    assert bill.history[-1].key == "evt-1"


def test_send_takes_the_mapping_too(box: Sandbox, bill: Bill) -> None:
    bill.trigger("go")
    Bill.start("3", {"body": BODY}).trigger("go")
    box.run()
    assert Bill.get("other").data["seen"] == {**BODY, "more": 1}
    assert Bill.get("3").state == "open"


def test_an_address_in_the_place_of_the_payload_is_told_its_own(box: Sandbox, bill: Bill) -> None:
    Bill.start("4", {"body": "bill:2"}).trigger("go")
    box.run()
    failure = Bill.get("4").failure
    assert failure is not None
    assert (
        failure.message
        == "send: the payload (an address is given as to=) is 'bill:2'; it is a mapping of names to values"
    )


@pytest.mark.parametrize("epoch", ["3", "", b"1", 1.0, True, False, -1, [1], {"epoch": 1}])
@pytest.mark.parametrize("act", ["trigger", "retry", "cancel", "undo"])
def test_an_epoch_that_is_none_is_refused_by_its_type_and_not_as_a_conflict(bill: Bill, act: str, epoch: Any) -> None:
    options: tuple[str, ...] = ("note",) if act == "trigger" else ()
    with pytest.raises(DataError, match=r"^epoch is .*; it is a whole number from 0, as the entity's epoch is$"):
        getattr(bill, act)(*options, epoch=epoch)
    assert len(bill.history) == 1


def test_an_epoch_of_another_time_is_a_conflict_still(bill: Bill) -> None:
    with pytest.raises(TransitionConflict):
        bill.trigger("note", epoch=7)
    assert bill.trigger("note", epoch=bill.epoch).kind == "internal"


#: What is given, and how the refusal begins.
WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a payload of text": (lambda bill: bill.trigger("note", "amount=5"), "payload is 'amount=5'; it is a mapping"),
    "a payload of pairs": (lambda bill: bill.trigger("note", [("a", 1)]), "payload is "),
    "a key that is no text": (lambda bill: bill.trigger("note", {1: 2}), "payload has the key 1"),
    "a number for the key": (lambda bill: bill.trigger("note", key=5), "key is 5; it must be text"),
    "a mapping for the actor": (lambda bill: bill.trigger("note", actor={"name": "x"}), "actor is "),
    "a number for the reason": (lambda bill: bill.trigger("note", reason=0), "reason is 0; it must be text"),
    "a number for a trigger": (lambda bill: bill.trigger(5), "a trigger is named by text, not by 5"),
    "the first trigger": (lambda bill: Bill.start_or_trigger("new", 5), "a trigger is named by text, not by 5"),  # type: ignore[arg-type]
    "the first key": (lambda bill: Bill.start_or_trigger("new", "note", key=5), "key is 5; it must be text"),  # type: ignore[arg-type]
    "the first reason": (lambda bill: Bill.start_or_trigger("new", "note", reason=5), "reason is 5; it must be text"),  # type: ignore[arg-type]
    "the first payload": (lambda bill: Bill.start_or_trigger("new", "note", "x"), "payload is 'x'; it is a mapping"),  # type: ignore[arg-type]
    "text for new_key": (lambda bill: bill.retry(new_key="no"), "new_key is 'no'; it is True or False"),
    "text for a timeout": (lambda bill: bill.wait("paid", timeout="5"), "timeout is '5'; it is seconds or a timedelta"),
    "no number for a timeout": (lambda bill: bill.wait("paid", timeout=float("nan")), "timeout is nan"),
    "a number to wait for": (lambda bill: bill.wait(5), "until is 5; it is a state, several, a phase, or a function"),
    "text for branches": (lambda bill: Bill.find(branches="no"), "branches is 'no'; it is True or False"),  # type: ignore[arg-type]
    "text for newest": (lambda bill: Bill.find(newest="no"), "newest is 'no'; it is True or False"),  # type: ignore[arg-type]
    "several phases": (lambda bill: Bill.find(phase=["failed"]), "phase is ['failed']; it is one of"),  # type: ignore[arg-type]
    "branches to count": (lambda bill: Bill.counts(branches="no"), "branches is 'no'; it is True or False"),  # type: ignore[arg-type]
    "a list for if_exists": (lambda bill: Bill.start("1", if_exists=["return"]), "if_exists is ['return']"),  # type: ignore[call-overload]
    "a text of roles": (lambda bill: bill.allowed_triggers(actor=5), "actor is 5; it must be text"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_no_option_can_be_is_refused_by_name(bill: Bill, name: str) -> None:
    act, begins = WRONG[name]
    with pytest.raises(DataError) as refused:
        act(bill)
    assert str(refused.value).startswith(begins)
    assert len(bill.history) == 1
    assert Bill.counts() == {"open": 1}


def test_a_wait_is_limited_by_a_timedelta_too(bill: Bill) -> None:
    with pytest.raises(TimeoutError):
        bill.wait("paid", timeout=timedelta(0))
