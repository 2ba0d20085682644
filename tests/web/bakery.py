"""A bakery that delivers: what the tour shows, and what the stories in a browser are about. Its jobs do what the data
of an order say, so that real workers succeed and fail as they are told."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

from fsmflow import Machine, State

NO_CARD = "no card"
CLOSED = "the bank is closed"


class Order(Machine):
    """An order, from the basket to the door."""

    initial = "pending"
    redact = ["card"]
    search = ["customer", "amount"]
    states = [
        State("pending"),
        State("charging", job="charge", expect=timedelta(minutes=30)),
        State("approval", timeout=timedelta(days=2), expect=timedelta(hours=4)),
        State("baking", jobs=["bread", "cake"]),
        State("delivery", job="deliver"),
        State("delivered", final=True),
        State("rejected", final=True),
    ]
    transitions = [
        ["submit", "pending", "charging"],
        ["done", "charging", "approval"],
        {"trigger": "approve", "source": "approval", "dest": "baking", "roles": ["manager"]},
        {"trigger": "reject", "source": "approval", "dest": "rejected", "roles": ["manager"]},
        ["timeout", "approval", "rejected"],
        ["done", "baking", "delivery"],
        ["done", "delivery", "delivered"],
    ]

    def charge(self) -> dict[str, Any]:
        if self.data.get("bank") == "closed":
            raise ConnectionError(CLOSED)
        if not self.data.get("card"):
            raise ValueError(NO_CARD)
        return {"charge": f"ch-{self.entity_id}"}

    def bread(self) -> None:
        if self.data.get("oven") == "cold":
            raise RuntimeError("the oven is cold")

    def cake(self) -> None:
        pass

    def deliver(self) -> dict[str, Any]:
        if self.data.get("far"):
            threading.Event().wait(600)
        return {"parcel": f"p-{self.entity_id}"}


class Payout(Machine):
    """What a supplier gets, once a manager has looked at it."""

    initial = "asked"
    redact = ["iban"]
    search = ["supplier"]
    states = [State("asked", timeout=timedelta(days=1)), State("paid", final=True), State("refused", final=True)]
    transitions = [
        {"trigger": "pay", "source": "asked", "dest": "paid", "roles": ["manager"]},
        {"trigger": "refuse", "source": "asked", "dest": "refused", "roles": ["manager"]},
        ["timeout", "asked", "refused"],
    ]


class Closing(Machine):
    """Add up the day, each night."""

    initial = "adding"
    schedule = "0 3 * * *"
    states = [State("adding", job="add"), State("added", final=True)]
    transitions = [["done", "adding", "added"]]

    def add(self) -> dict[str, Any]:
        return {"sum": 1842}


MACHINES = (Order, Payout, Closing)
