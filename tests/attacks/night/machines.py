"""Orders whose gateway fails at night for two reasons, until files say that it is mended."""

from __future__ import annotations

import os
from pathlib import Path

from fsmflow import Fail, Machine, State

#: Every so many-th order fails again while the gateway is mended in part.
FLAKY = 7


def is_open(gate: str) -> bool:
    return (Path(os.environ["EFFECTS"]) / gate).exists()


class Order(Machine):
    name = "order"
    initial = "charging"
    states = [State("charging", job="charge"), State("packing", job="pack"), State("packed", final=True)]
    transitions = [["done", "charging", "packing"], ["done", "packing", "packed"]]

    def charge(self) -> None:
        if self.data["reason"] == "card":
            raise Fail("the card was declined")
        mended = is_open("mended") or (is_open("half mended") and int(self.entity_id) % FLAKY)
        if not mended:
            raise Fail("the gateway does not answer")

    def pack(self) -> None:
        """Nothing goes wrong here."""
