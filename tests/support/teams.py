"""A shop of two tenants: orders with parcels of their own and lines that are branches, and notes that are nobody's."""

from __future__ import annotations

from typing import Any

from fsmflow import Actor, Machine, State

#: What nobody but the people of globex may read, wherever it would stand.
SECRET = "globex"


class Order(Machine):
    initial = "packing"
    search = ["tenant", "amount"]
    team = "tenant"
    redact = ["card"]
    states = [
        State("packing", machine="parcel", each="parcels"),
        State("checking", job="check", each="lines"),
        State("charging", job="charge", undo="pay_back", on_enter="remind"),
        State("paid", final=True),
    ]
    transitions = [
        ["done", "packing", "checking"],
        ["done", "checking", "charging"],
        ["done", "charging", "paid"],
        {"trigger": "move", "source": "*", "dest": None, "after": "take"},
        ["nudge", "*", None],
    ]

    def parcels(self) -> list[dict[str, Any]]:
        return [{"to": f"{self.data['tenant']} street"}]

    def lines(self) -> list[str]:
        return [f"{self.data['tenant']} line"]

    def check(self, line: str) -> None:
        if self.data.get("torn"):
            raise ValueError(f"torn: {self.data['tenant']}")

    def remind(self) -> None:
        if not self.data.get("quiet"):
            self.send("nudge", after=3600)

    def charge(self) -> None:
        raise ConnectionError(f"the bank does not know {self.data['tenant']}")

    def pay_back(self) -> None:
        """Nothing was paid."""

    def take(self) -> None:
        self.data.update(self.event.payload)


class Parcel(Machine):
    initial = "sending"
    states = [State("sending", job="send_it"), State("sent", final=True)]
    transitions = [["done", "sending", "sent"]]

    def send_it(self) -> None:
        """On its way."""


class Note(Machine):
    initial = "written"
    states = ["written", State("gone", final=True)]
    transitions = [["drop_it", "written", "gone"]]


MACHINES = [Order, Parcel, Note]


def filled(box: Any) -> tuple[Order, Order]:
    """One order of acme and two of globex that rest in the same failure; the first of each."""
    Note.start("n")
    Order.start(f"{SECRET}-0", tenant=SECRET, amount=90)
    theirs = Order.start(f"{SECRET}-1", tenant=SECRET, amount=70)
    ours = Order.start("a1", tenant="acme", amount=50)
    box.run()
    assert ours.refresh().state == theirs.refresh().state == "failed_from_charging"
    return ours, theirs


__all__ = ["MACHINES", "SECRET", "Actor", "Note", "Order", "Parcel", "filled"]
