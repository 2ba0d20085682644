"""What happens to an order."""

from typing import cast

from fsmflow import Machine, State

from models import Charge, Order

#: A number with which payment providers let you try what happens.
DECLINED = "4000 0000 0000 0002"


class CardDeclined(Exception):
    """The bank does not want to."""


class OrderFlow(Machine):
    """Charges the card, then ships."""

    name = "order"
    initial = "placed"
    status_field = Order.state
    states = [
        State("placed"),
        State("charging", job="charge", transactional=True),
        State("shipping", job="ship"),
        State("shipped", final=True),
    ]
    transitions = [
        ["submit", "placed", "charging"],
        ["done", "charging", "shipping"],
        ["done", "shipping", "shipped"],
    ]

    @property
    def order(self) -> Order:
        """The row of this order, as the model has it."""
        return cast(Order, self.record)

    def charge(self) -> None:
        """The charge is committed together with the step, or not at all."""
        if self.order.card == DECLINED:
            raise CardDeclined("the card was declined")
        Charge.create(order=self.order, key=self.idempotency_key)

    def ship(self) -> dict[str, str]:
        return {"parcel": f"parcel-{self.entity_id}"}
