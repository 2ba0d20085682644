"""Machines for supervisors that delete what has finished: one that is kept for a day, and one that has work to do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from fsmflow import Machine, State
from tests.support import doomed

__all__ = ["doomed"]  # what listens to the points that are passed


class Parcel(Machine):
    """It has three branches."""

    initial = "new"
    retention: ClassVar[Any] = timedelta(days=1)
    states = ["new", State("packing", job="pack", each="lines"), State("shipped", final=True)]
    transitions = [["go", "new", "packing"], ["done", "packing", "shipped"]]

    def pack(self, line: Any) -> Any:
        return line


class Journey(Machine):
    """Five steps, one after the other."""

    initial = "leg_1"
    states = [*(State(f"leg_{number}", job="travel") for number in range(1, 6)), State("there", final=True)]
    transitions = [
        *(["done", f"leg_{number}", f"leg_{number + 1}"] for number in range(1, 5)),
        ["done", "leg_5", "there"],
    ]

    def travel(self) -> None:
        return None
