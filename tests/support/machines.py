"""Machines that several test files share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from fsmflow import HistoryEntry, Machine, Retry, State

#: A trigger as a method. It appears at run time, so a machine declares it for the type checker.
Trigger: TypeAlias = Callable[..., HistoryEntry]

#: What the jobs of these machines do in this process, by state: a test fills it in. Without a word a job returns None.
play: dict[str, Callable[[Any], Any]] = {}


class Order(Machine):
    """Every kind of state and transition that an order may need."""

    initial = "pending"
    states = [
        State("pending"),
        State("charging", job="act", retry=Retry(max=2, interval=10, backoff=3, jitter=0, never=LookupError)),
        State("approval", timeout=3_600),
        State("cooling", delay="cooling_time"),
        State("shipping", job="act", queue="slow", timeout=0.2),
        State("checking", job="act_later"),
        State("shipped", final=True),
        State("rejected", final=True),
    ]
    transitions = [
        ["submit", "pending", "charging"],
        ["done", "charging", "approval", "is_large"],
        ["done", "charging", "shipping", "is_small"],
        ["declined", "charging", "rejected"],
        ["fail", "charging", "rejected", "is_hopeless"],
        {"trigger": "approve", "source": "approval", "dest": "shipping", "roles": ["manager", "boss"]},
        ["reject", ["approval", "charging"], "rejected"],
        ["timeout", "approval", "rejected"],
        ["cool", "pending", "cooling"],
        ["done", "cooling", "approval"],
        ["check", "pending", "checking"],
        ["done", "checking", "shipped"],
        ["done", "shipping", "shipped"],
        ["again", "charging", "="],
        {"trigger": "note", "source": "*", "dest": None, "before": "take_note"},
        ["stop_if", ["pending", "charging"], "rejected", "payload_says_so"],
    ]
    submit: Trigger
    approve: Trigger
    reject: Trigger
    cool: Trigger
    check: Trigger
    note: Trigger
    stop_if: Trigger

    def is_large(self) -> bool:
        return bool(self.data.get("amount", 0) > 1000)

    def is_small(self) -> bool:
        """A guard whose code a test may replace, as a deployment does."""
        return bool(play.get("is_small", lambda machine: True)(self))

    def is_hopeless(self) -> bool:
        return self.failure is not None and self.failure.message == "hopeless"

    def payload_says_so(self) -> bool:
        return bool(self.event.payload["stop"])

    def cooling_time(self) -> Any:
        return play.get("cooling_time", lambda machine: machine.data.get("cooling", 60))(self)

    def take_note(self) -> None:
        self.data["notes"] = [*self.data.get("notes", []), self.event.payload.get("text", "")]

    def act(self) -> Any:
        return play.get(self.state, lambda machine: None)(self)

    async def act_later(self) -> Any:
        return play.get(self.state, lambda machine: None)(self)


class Counter(Machine):
    """Counts, for tests in which many count at once."""

    initial = "open"
    states = ["open", "closed", State("busy", job="act"), State("over", final=True)]
    transitions = [
        {"trigger": "add", "source": ["open", "busy", "failed_from_busy"], "dest": None, "before": "count"},
        ["close", "open", "closed"],
        ["reopen", "closed", "open"],
        ["work", "open", "busy"],
        ["done", "busy", "over"],
    ]
    work: Trigger

    def count(self) -> None:
        self.data["n"] = self.data.get("n", 0) + 1

    def act(self) -> Any:
        return play.get(self.state, lambda machine: None)(self)
