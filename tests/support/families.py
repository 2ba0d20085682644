"""Parents, their branches and their children, for the tests of what comes in between them."""

from __future__ import annotations

from typing import Any

from fsmflow import Fail, Machine, State
from tests.support.machines import Trigger
from tests.support.traces import failing, ran


class Batch(Machine):
    initial = "new"
    states = ["new", State("packing", job="pack", each="lines"), State("shipped", final=True)]
    transitions = [["go", "new", "packing"], ["done", "packing", "shipped"]]
    go: Trigger

    def pack(self, item: Any) -> Any:
        ran.append(item)
        if item in failing:
            raise ValueError(f"no box for {item}")
        return item


class Child(Machine):
    initial = "busy"
    states = [State("busy", job="act"), State("over", final=True)]
    transitions = [["done", "busy", "over"]]

    def act(self) -> None:
        ran.append(self.data["item"])
        if self.data["item"] in failing:
            raise ValueError("no")


class Family(Machine):
    initial = "raising"
    states = [State("raising", machine="child", each="children"), State("raised", final=True)]
    transitions = [["done", "raising", "raised"]]


class Booking(Machine):
    initial = "booking"
    on_cancel = "undo"
    states = [
        State("booking", job="book", undo="unbook"),
        State("confirming", job="confirm"),
        State("booked", final=True),
    ]
    transitions = [["done", "booking", "confirming"], ["done", "confirming", "booked"]]

    def book(self) -> dict[str, Any]:
        ran.append(f"book {self.data['item']}")
        return {"booking": self.data["item"]}

    def confirm(self) -> None:
        if self.data["item"] in failing:
            raise Fail("no")

    def unbook(self) -> None:
        ran.append(f"unbook {self.data['item']} {self.undoing.completed}")


class Box(Machine):
    initial = "closed"
    states = ["closed", "open", State("gone", final=True)]
    transitions = [["unlock", "closed", "open"], ["put", "open", "="], ["burn", ["open", "closed"], "gone"]]
    unlock: Trigger
