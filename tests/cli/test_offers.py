"""What is allowed, and why not: told by commands to whoever asks, and recorded where nobody does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsmflow import Actor, Machine, Refuse, State
from fsmflow.testing import Sandbox, sandbox
from tests.support.terminal import Terminal


class Payout(Machine):
    initial = "submitted"
    states = ["submitted", "approved_once", State("approved", final=True)]
    transitions = [
        {"trigger": "approve", "source": "submitted", "dest": "approved_once", "roles": "manager", "before": "sign"},
        {
            "trigger": "approve",
            "source": "approved_once",
            "dest": "approved",
            "conditions": "is_another",
            "roles": "manager",
        },
        ["check", ["submitted", "approved_once"], "approved", "has_amount"],
        ["comment", "*", None, "is_said"],
    ]

    def sign(self) -> None:
        self.data["approved_by"] = self.event.actor

    def is_another(self) -> bool | Refuse:
        return self.event.actor != self.data["approved_by"] or Refuse("somebody else has to approve it, too")

    def has_amount(self) -> bool:
        return bool(self.data["amount"] > 0)

    def is_said(self) -> bool:
        return bool(self.event.payload.get("text"))


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox([Payout]) as box:
        payout = Payout.start("1")
        payout.trigger("approve", actor=manager("ann"))
        yield box


def manager(name: str) -> Actor:
    return Actor(name, roles={"manager"})


ANN = ("--actor", "ann", "--role", "manager")
BEN = ("--actor", "ben", "--role", "manager")


def test_explain_tells_whoever_asks_what_is_allowed_and_why_not(shell: Terminal, box: Sandbox) -> None:
    lines = shell.ok("explain", "payout:1").splitlines()
    assert "waiting for: a trigger: approve (needs role manager), check, comment, cancel" in lines
    assert "allowed now: cancel" in lines
    assert "with a role: approve (manager)" in lines
    told = next(line for line in lines if line.startswith("not now:"))
    assert "approve" not in told
    assert "check (guard 'has_amount' of 'check' raised KeyError: 'amount')" in told
    assert "comment (guard 'is_said' needs the payload)" in told
    assert "approve (somebody else has to approve it, too)" in shell.ok("explain", "payout:1", *ANN)
    assert "allowed now: approve, cancel" in shell.ok("explain", "payout:1", *BEN)
    assert "with a role: approve (manager)\n" in shell.ok("explain", "payout:1", "--actor", "eve")


def test_show_tells_it_too(shell: Terminal, box: Sandbox) -> None:
    assert "  allowed   approve, cancel\n" in shell.ok("show", "payout:1", *BEN)
    assert "  not now   approve (somebody else has to approve it, too)\n" in shell.ok("show", "payout:1", *ANN)
    assert "  by role   approve (manager)\n" in shell.ok("show", "payout:1", "--actor", "eve")
    assert "  allowed   approve, cancel\n" in shell.ok("show", "payout:1", "--role", "manager"), "the system's user"


def test_json_has_each_trigger_with_where_it_leads(shell: Terminal, box: Sandbox) -> None:
    for command in ("show", "explain"):
        offers = {offer["trigger"]: offer for offer in shell.json(command, "payout:1", *BEN)["triggers"]}
        assert offers["approve"] == {
            "trigger": "approve",
            "allowed": True,
            "why": None,
            "dest": "approved",
            "ways": [{"dest": "approved", "allowed": True, "why": None, "needs_roles": []}],
        }
        assert (offers["check"]["allowed"], offers["check"]["dest"]) == (None, None)


def test_a_refusal_in_words_is_told_as_it_is(shell: Terminal, box: Sandbox) -> None:
    told = shell.refused("trigger", "payout:1", "approve", *ANN)
    assert told == (
        "Error: payout:1 is in 'approved_once': 'approve' was refused: somebody else has to approve it, too. "
        "Allowed now: cancel\n"
    )


def test_a_guard_that_raises_is_told_in_one_line_and_nothing_is_changed(shell: Terminal, box: Sandbox) -> None:
    told = shell.refused("trigger", "payout:1", "check")
    begin = "Error: payout:1 is in 'approved_once': guard 'has_amount' of 'check' raised KeyError: 'amount' "
    assert told.startswith(f"{begin}(raised in has_amount, ")
    assert told.count("\n") == 1
    assert len(Payout.get("1").history) == 2


def test_a_message_that_is_refused_in_words_has_them_in_its_history(box: Sandbox) -> None:
    class Strict(Machine):
        initial = "new"
        states = ["new", State("over", final=True)]
        transitions = [["approve", "new", "over", lambda machine: Refuse("over the limit of 500")]]
        name = "strict"

    class Sender(Machine):
        initial = "sending"
        states = [State("sending", job="tell"), State("sent", final=True)]
        transitions = [["done", "sending", "sent"]]

        def tell(self) -> None:
            self.send("approve", to="strict:1")

    with sandbox([Strict, Sender]) as inner:
        strict = Strict.start("1")
        Sender.start("1")
        inner.run()
        last = strict.history[-1]
        assert (last.kind, last.trigger) == ("discarded", "approve")
        assert "over the limit of 500" in (last.reason or "")


def test_a_handle_tells_what_it_could_do(box: Sandbox) -> None:
    payout = Payout.get("1")
    assert str(payout.triggers(actor=manager("ann"))[0]) == ("approve (somebody else has to approve it, too)")
    assert payout.allowed_triggers(manager("ben")) == ["approve", "cancel"]
    assert payout.explain(manager("ben")).allowed == ("approve", "cancel")
    assert len(payout.history) == 2
