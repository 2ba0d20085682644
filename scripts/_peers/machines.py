"""What fsmflow's own side runs: chains of steps that do nothing, and what is measured besides."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from _bench_marks import STEPS, mark
from fsmflow import Machine, State

#: How long the job of a victim goes on before it gives up; somebody is to kill its worker before.
_HANGS_S = 60.0


def _chain() -> dict[str, Any]:
    """The steps of a chain, one job after the other, from the start on."""
    names = [f"step_{number}" for number in range(STEPS)]
    return {
        "states": [*[State(name, job="step") for name in names], State("ended", final=True)],
        "transitions": [["done", name, after] for name, after in zip(names, [*names[1:], "ended"], strict=True)],
    }


class BenchSteps(Machine):
    """Five steps that do nothing."""

    initial = "step_0"
    states = _chain()["states"]
    transitions = _chain()["transitions"]

    def step(self) -> None:
        mark()


class BenchSearched(Machine):
    """The same, found by two fields of its data, which no step changes."""

    initial = "step_0"
    states = _chain()["states"]
    transitions = _chain()["transitions"]
    search = ["customer", "amount"]

    def step(self) -> None:
        mark()


class BenchAwaited(Machine):
    """The same as coroutines."""

    initial = "step_0"
    states = _chain()["states"]
    transitions = _chain()["transitions"]

    async def step(self) -> None:
        mark()


class BenchWait(Machine):
    """One job that waits for as long as its data say, as for an answer over the network; its mark is at the start."""

    initial = "waiting_for_answer"
    states = [State("waiting_for_answer", job="ask"), State("answered", final=True)]
    transitions = [["done", "waiting_for_answer", "answered"]]

    async def ask(self) -> None:
        mark()
        await asyncio.sleep(self.data["seconds"])


class BenchCall(Machine):
    """Waits for somebody who triggers it, and has a job then."""

    initial = "new"
    states = ["new", State("called", job="step"), State("ended", final=True)]
    transitions = [["call", "new", "called"], ["done", "called", "ended"]]

    def step(self) -> None:
        mark()


class BenchCallAwaited(Machine):
    """The same with a job that is a coroutine."""

    initial = "new"
    states = ["new", State("called", job="step"), State("ended", final=True)]
    transitions = [["call", "new", "called"], ["done", "called", "ended"]]

    async def step(self) -> None:
        mark()


class BenchVictim(Machine):
    """A job that tells its process, for somebody to kill that; when it is run again, it leaves a mark and is done."""

    initial = "begun"
    states = [State("begun", job="step"), State("ended", final=True)]
    transitions = [["done", "begun", "ended"]]

    def step(self) -> None:
        if self.attempt != 1:
            mark()
            return
        with open(os.environ["BENCH_VICTIM"] + ".new", "w") as file:
            file.write(str(os.getpid()))
        os.replace(file.name, os.environ["BENCH_VICTIM"])
        time.sleep(_HANGS_S)


class BenchFan(Machine):
    """A step with a branch for each number up to ``count``, and a job when they have joined."""

    initial = "fanned"
    states = [State("fanned", job="work", each="numbers"), State("joined", job="step"), State("ended", final=True)]
    transitions = [["done", "fanned", "joined"], ["done", "joined", "ended"]]

    def numbers(self) -> list[int]:
        return list(range(self.data["count"]))

    def work(self, number: int) -> None:
        """Nothing is done here."""

    def step(self) -> None:
        mark()


class BenchFanAwaited(BenchFan):
    """The same with jobs that are coroutines."""

    states = [State("fanned", job="ask", each="numbers"), State("joined", job="step"), State("ended", final=True)]

    async def ask(self, number: int) -> None:
        """Nothing is done here."""
