"""Machines whose steps go from one queue to another and back, for queues on several Redis servers."""

from __future__ import annotations

from fsmflow import Machine, State
from tests.support.process_flows import leave_effect


class Ferry(Machine):
    """Three steps, the second of which waits in a queue of its own."""

    initial = "moored"
    states = [
        "moored",
        State("loading", job="sail"),
        State("crossing", job="sail", queue="slow-boat"),
        State("landing", job="sail"),
        State("home", final=True),
    ]
    transitions = [
        ["go", "moored", "loading"],
        ["done", "loading", "crossing"],
        ["done", "crossing", "landing"],
        ["done", "landing", "home"],
    ]

    def sail(self) -> None:
        leave_effect(self)


class Dinghy(Machine):
    """Two steps in the usual queue."""

    initial = "moored"
    states = ["moored", State("out", job="sail"), State("back", job="sail"), State("home", final=True)]
    transitions = [["go", "moored", "out"], ["done", "out", "back"], ["done", "back", "home"]]

    def sail(self) -> None:
        leave_effect(self)
