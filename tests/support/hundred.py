"""A parent with many children of ten steps each; every step leaves a line."""

from __future__ import annotations

import os
from pathlib import Path

from fsmflow import Machine, State

STEPS = 10


class Runner(Machine):
    name = "runner"
    initial = "s0"
    states = [*(State(f"s{number}", job="run") for number in range(STEPS)), State("over", final=True)]
    transitions = [["done", f"s{number}", f"s{number + 1}"] for number in range(STEPS - 1)]
    transitions += [["done", f"s{STEPS - 1}", "over"]]

    def run(self) -> None:
        line = f"{self.idempotency_key}\n".encode()
        file = os.open(Path(os.environ["EFFECTS"]) / "steps", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, line)
        finally:
            os.close(file)


class Race(Machine):
    name = "race"
    initial = "running"
    states = [State("running", machine="runner", each="numbers"), State("over", final=True)]
    transitions = [["done", "running", "over"]]

    def numbers(self) -> range:
        return range(self.data["count"])
