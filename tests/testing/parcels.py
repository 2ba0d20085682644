"""Machines for the tests of the sandbox, what their jobs did, and what a test has them do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fsmflow import Machine, Retry, State
from tests.support.machines import Trigger

START = datetime(2030, 1, 1, tzinfo=UTC)
#: What jobs did, in order; what a test has them do, by state.
done: list[Any] = []
play: dict[str, Any] = {}


class Parcel(Machine):
    """Jobs, a retry with backoff, a deadline and a delay."""

    initial = "new"
    states = [
        State("new"),
        State("charging", job="charge", retry=Retry(max=3, interval=10, backoff=2, jitter=0)),
        State("cooling", delay=timedelta(hours=1)),
        State("packing", job="pack", queue="slow", transactional=True),
        State("resting", timeout=timedelta(days=2)),
        State("lost", final=True),
        State("arrived", final=True),
    ]
    transitions = [
        ["submit", "new", "charging"],
        ["done", "charging", "cooling"],
        ["declined", "charging", "lost"],
        ["done", "cooling", "packing"],
        ["done", "packing", "resting"],
        ["timeout", "resting", "lost"],
        ["arrive", "resting", "arrived"],
    ]
    submit: Trigger

    def charge(self) -> Any:
        done.append(("charge", self.entity_id, self.attempt))
        return play["charge"](self) if "charge" in play else {"charged": self.attempt}

    async def pack(self) -> Any:
        done.append(("pack", self.entity_id, self.attempt))
        return play["pack"](self) if "pack" in play else None


class Ring(Machine):
    """Goes round in circles."""

    initial = "one"
    states = [State("one"), State("two", job="turn"), State("three", delay=0), State("over", final=True)]
    transitions = [
        ["go", "one", "two"],
        ["done", "two", "three"],
        ["done", "three", "two"],
        ["stop", "*", "over"],
    ]
    go: Trigger
    stop: Trigger

    def turn(self) -> Any:
        return play["turn"](self) if "turn" in play else None


class Once(Machine):
    """A job that is never repeated by itself."""

    initial = "new"
    states = [State("new"), State("acting", job="act", at_most_once=True), State("over", final=True)]
    transitions = [["go", "new", "acting"], ["done", "acting", "over"]]
    go: Trigger

    def act(self) -> None:
        pass


def when(machine: Machine) -> list[tuple[str, timedelta]]:
    """When the entity's history happened, after the start."""
    return [(entry.dest, entry.at - START) for entry in machine.history]
