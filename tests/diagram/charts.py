"""Machines that are hard to draw, and what is laid over them."""

from __future__ import annotations

from datetime import UTC, datetime

from fsmflow import Machine, State
from fsmflow.diagram import Journey
from fsmflow.diagram.overlay import Move

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LONG = "x" * 10_000
HOSTILE = f"<script>alert(\"1\")</script> ]]> &amp; 'a' \u202e\x07 שלום \U0001f468\u200d\U0001f469 {LONG}"


def _hostile(machine: object) -> bool:
    return True


_hostile.__name__ = HOSTILE


class Hostile(Machine):
    """<b>"quoted"</b> ]]> `text`"""

    initial = "begin"
    states = ["begin", State("end", final=True)]
    transitions = [
        ["go", "begin", "end", _hostile],
        {"trigger": "stop", "source": "begin", "dest": "end", "roles": ["מנהל", "管理者", "\U0001f680 & boss"]},
    ]


class Ticket(Machine):
    """Many ways there and back."""

    initial = "opened"
    states = [
        "opened",
        "assigned",
        "in_progress",
        "waiting_for_the_customer_who_has_not_answered_for_a_while",
        "escalated",
        State("billing", job="bill", timeout=90),
        State("closed", final=True),
        State("spam", final=True),
    ]
    transitions = [
        ["assign", "opened", "assigned"],
        ["spam", ["opened", "assigned", "escalated"], "spam"],
        ["assign", "assigned", "="],
        ["comment", "in_progress", None],
        ["begin", "assigned", "in_progress"],
        ["ask", "in_progress", "waiting_for_the_customer_who_has_not_answered_for_a_while"],
        ["answer", "waiting_for_the_customer_who_has_not_answered_for_a_while", "in_progress"],
        ["escalate", ["in_progress", "waiting_for_the_customer_who_has_not_answered_for_a_while"], "escalated"],
        ["assign", "escalated", "assigned"],
        ["finish", "in_progress", "billing"],
        ["done", "billing", "closed"],
        ["give_up", "failed_from_billing", "closed"],
    ]

    def bill(self) -> None: ...


class Long(Machine):
    """Twenty-five states, and leaps over many of them, forth and back."""

    names = [f"state_{number}" for number in range(24)]
    initial = "state_0"
    states = [*names, State("over", final=True)]
    transitions = [
        *[["go", *pair] for pair in zip(names, [*names[1:], "over"], strict=True)],
        *[["leap", "state_3", "state_12"], ["leap", "state_8", "over"], ["back", "state_20", "state_2"]],
        *[["back", "state_15", "state_14"], ["leap", "state_0", "state_23"], ["back", "state_23", "state_0"]],
    ]


class Hub(Machine):
    """Ten ways from one state, and ten back to it."""

    spokes = [f"spoke_{number}" for number in range(10)]
    initial = "hub"
    states = ["hub", *spokes, State("over", final=True)]
    transitions = [
        *[[f"to_{spoke}", "hub", spoke] for spoke in spokes],
        ["home", spokes, "hub"],
        ["finish", "hub", "over"],
    ]


class Checked(Machine):
    """Two jobs by name, side by side."""

    initial = "checking"
    states = [State("checking", jobs={"credit": "ask_bank", "stock": "look"}), State("over", final=True)]
    transitions = [["done", "checking", "over"]]

    def ask_bank(self) -> None: ...

    def look(self) -> None: ...


def journey(address: str, *ways: tuple[str | None, str, str], failure: str | None = None) -> Journey:
    """The way of an entity that ends where its last step led."""
    moves = tuple(Move(source=source, trigger=trigger, dest=dest, at=AT) for source, trigger, dest in ways)
    return Journey(address=address, state=moves[-1].dest, since=AT, failure=failure, moves=moves)
