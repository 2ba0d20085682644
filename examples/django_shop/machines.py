"""What happens to an order, whoever serves the pages."""

from typing import Any

from fsmflow import Machine, State

#: A number with which payment providers let you try what happens.
DECLINED = "4000 0000 0000 0002"


class CardDeclined(Exception):
    """The bank does not want to."""


class Order(Machine):
    """Charges the card, then ships."""

    initial = "placed"
    search = ["customer"]
    operators = {"retry": ["support"], "edit": ["support"], "cancel": ["support"]}
    states = [
        State("placed"),
        State("charging", job="charge"),
        State("shipping", job="ship"),
        State("shipped", final=True),
    ]
    transitions = [
        ["submit", "placed", "charging"],
        ["done", "charging", "shipping"],
        ["done", "shipping", "shipped"],
    ]

    def charge(self) -> dict[str, Any]:
        """Here your payment provider is called, with ``self.idempotency_key``."""
        if self.data["card"] == DECLINED:
            raise CardDeclined("the card was declined")
        return {"charge": f"ch-{self.entity_id}"}

    def ship(self) -> dict[str, Any]:
        return {"parcel": f"parcel-{self.entity_id}"}
