"""What the benchmark runs: a chain of steps that do nothing, as a machine."""

from __future__ import annotations

from _bench_marks import STEPS, mark
from fsmflow import Machine, State


class BenchChain(Machine):
    """Five steps that do nothing."""

    initial = "new"
    states = ["new", *[State(f"step_{number}", job="step") for number in range(STEPS)], State("ended", final=True)]
    transitions = [
        ["go", "new", "step_0"],
        *[["done", f"step_{number}", f"step_{number + 1}"] for number in range(STEPS - 1)],
        ["done", f"step_{STEPS - 1}", "ended"],
    ]

    def step(self) -> None:
        mark()
