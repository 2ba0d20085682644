"""A machine whose job ends, and tells of that."""

from __future__ import annotations

from fsmflow import Machine, State, Tell


class Parcel(Machine):
    name = "told_parcel"
    initial = "packing"
    tell = {"packed": Tell("shop", fields=["to"])}
    states = [State("packing", job="pack"), State("packed", final=True)]
    transitions = [["done", "packing", "packed"]]

    def pack(self) -> None:
        """It is packed."""
