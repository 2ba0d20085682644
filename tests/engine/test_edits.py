"""History tells what became of the data: by a retry, a callback, a timer, a message, or on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fsmflow import Edit, Machine, State
from fsmflow.testing import Sandbox, sandbox
from tests.support.terminal import Terminal
from tests.support.traces import failing


class Loan(Machine):
    """Is paid back, by a card that is nobody's business."""

    initial = "new"
    states = [
        State("new", defer=["pay"], on_enter="open_book"),
        State("charging", job="charge"),
        State("open", timeout=60, on_enter="greet"),
        State("over", final=True),
    ]
    transitions = [
        ["begin", "new", "charging"],
        ["done", "charging", "open"],
        {"trigger": "pay", "source": "open", "dest": None, "before": "book"},
        {"trigger": "timeout", "source": "open", "dest": "over", "before": "close_book"},
        {"trigger": "ask", "source": "*", "dest": None},
        {"trigger": "tell", "source": "open", "dest": None, "before": "pass_on"},
    ]
    redact = ["card"]

    def open_book(self) -> None:
        self.data["log"] = []

    def charge(self) -> dict[str, Any]:
        if failing:
            raise ValueError("no")
        return {"charged": True}

    def greet(self) -> None:
        self.data["greeted"] = True

    def book(self) -> None:
        self.data["log"].append(self.event.payload["amount"])
        self.data["payer"] = {"card": "4111-2222", "name": "ada"}

    def close_book(self) -> None:
        del self.data["log"]

    def pass_on(self) -> None:
        self.send("pay", {"amount": 7})


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(machines=[Loan]) as box:
        yield box


def edits(loan: Loan) -> list[tuple[str | None, Edit | None]]:
    return [(entry.trigger, entry.edit) for entry in loan.history]


PAID = {"log": [5], "payer": {"card": "[redacted]", "name": "ada"}}


def test_each_line_tells_what_was_changed_by_hand_or_by_a_callback(box: Sandbox) -> None:
    failing.add("charging")
    loan = Loan.start("1", card="4111-1111", limit=1)
    assert edits(loan) == [(None, Edit(changed={"log": []}))]
    loan.trigger("begin")
    box.run()
    failing.clear()
    loan.retry(data={"card": "4111-3333", "limit": 2, "house": {"no": 1}})
    box.run()
    loan.refresh().trigger("pay", {"amount": 5})
    loan.trigger("pay", {"amount": 6})
    loan.trigger("tell")
    box.run()
    loan.trigger("ask")
    box.advance(60)
    assert edits(loan)[1:] == [
        ("begin", None),
        ("fail", None),
        ("retry", Edit(changed={"card": "[redacted]", "limit": 2, "house": {"no": 1}})),
        # What the job returned is told by the data; what the callback made of them, here.
        ("done", Edit(changed={"greeted": True})),
        ("pay", Edit(changed=PAID)),
        ("pay", Edit(changed={"log[1]": 6})),
        ("tell", None),
        ("pay", Edit(changed={"log[2]": 7})),
        ("ask", None),
        ("timeout", Edit(removed=("log",))),
    ]
    assert "4111" not in repr(loan.history)


def test_an_event_that_was_kept_tells_it_when_it_fires(box: Sandbox) -> None:
    loan = Loan.start("1")
    loan.trigger("pay", {"amount": 5})
    loan.trigger("begin")
    box.run()
    assert edits(loan)[1:] == [
        ("pay", None),
        ("begin", None),
        ("done", Edit(changed={"greeted": True})),
        ("pay", Edit(changed=PAID)),
    ]


def test_what_begins_to_be_redacted_is_hidden_in_what_was_written_before(box: Sandbox) -> None:
    failing.add("charging")
    loan = Loan.start("1", limit=1)
    loan.trigger("begin")
    box.run()
    loan.retry(data={"limit": 2})

    class Later(Loan):
        name = "loan"
        states, transitions, redact = Loan.states, Loan.transitions, ["card", "limit"]

    later = Later._handle(loan._view.snapshot)
    assert [entry.edit for entry in later.history if entry.trigger == "retry"] == [
        Edit(changed={"limit": "[redacted]"})
    ]


def test_the_command_line_shows_it(
    box: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Terminal(capsys, monkeypatch)
    failing.add("charging")
    Loan.start("1", limit=1).trigger("begin")
    box.run()
    shell.ok("retry", "loan:1", "--set", "limit:=2", "--set", "card=4111-5555")
    told = shell.ok("history", "loan:1")
    assert "limit=2, card='[redacted]'" in told
    assert "4111" not in told
    last = shell.json("history", "loan:1")[-1]
    assert last["edit"] == {
        "changed": {"limit": 2, "card": "[redacted]"},
        "removed": [],
        "overwritten": {},
        "more": 0,
    }
