"""What the benchmark runs: a chain of steps that do nothing, as a machine."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

from fsmflow import Machine, State

STEPS = 5
_MARK = struct.Struct("<d")


def mark() -> None:
    """Append the time of one step to the file of marks; small appends are whole."""
    descriptor = os.open(os.environ["BENCH_MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, _MARK.pack(time.monotonic()))
    finally:
        os.close(descriptor)


def marks(path: Path) -> list[float]:
    """The times of all steps so far, in order."""
    data = path.read_bytes() if path.exists() else b""
    return sorted(moment for (moment,) in _MARK.iter_unpack(data[: len(data) // _MARK.size * _MARK.size]))


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
