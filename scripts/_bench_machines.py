"""The machines of a large database, as shops have them."""

from __future__ import annotations

from fsmflow import Machine, State


class BenchOrder(Machine):
    """An order as shops have it."""

    initial = "new"
    states = [
        "new",
        State("charging", job="work"),
        "awaiting_approval",
        State("packing", job="work"),
        State("shipping", machine="bench_parcel", each="parcels"),
        State("shipped", final=True),
        State("rejected", final=True),
    ]
    search = ["customer", "amount"]
    transitions = [
        ["looked_at", "new", None],
        ["submit", "new", "charging"],
        ["done", "charging", "awaiting_approval"],
        {"trigger": "approve", "source": "awaiting_approval", "dest": "packing", "roles": ["manager"]},
        ["reject", "awaiting_approval", "rejected"],
        ["done", "packing", "shipping"],
        ["done", "shipping", "shipped"],
    ]

    def work(self) -> None:
        """Nothing is done here."""


class BenchParcel(Machine):
    """A parcel of an order."""

    initial = "labelled"
    states = ["labelled", State("delivered", final=True)]
    transitions = [["deliver", "labelled", "delivered"]]
    search = ["tracking"]


class BenchTick(Machine):
    """Something that is done every night."""

    initial = "begun"
    states = ["begun", State("ended", final=True)]
    transitions = [["end", "begun", "ended"]]
    schedule = "0 3 * * *"
