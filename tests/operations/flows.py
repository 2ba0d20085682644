"""A machine whose gateway fails when it is told to, for two reasons."""

from __future__ import annotations

from fsmflow import Fail, Machine, State, repairs
from fsmflow.operations.repair import Repair

FAILED = "failed_from_charging"


class Gateway:
    """What fails for whom: by the customer of the payment."""

    down: dict[str, str] = {}
    charged: list[str] = []


class Payment(Machine):
    name = "payment"
    initial = "charging"
    states = [
        State("charging", job="charge"),
        State("shipping", job="ship"),
        State("shipped", final=True),
    ]
    transitions = [
        ["done", "charging", "shipping"],
        ["done", "shipping", "shipped"],
        {"trigger": "write_off", "source": "failed_from_charging", "dest": "shipped", "roles": ["lead"]},
    ]

    def charge(self) -> None:
        why = Gateway.down.get(self.data["customer"])
        if why is not None and not self.data.get("card"):
            raise Fail(why)
        Gateway.charged.append(self.entity_id)

    def ship(self) -> None:
        """Nothing to do."""


def failed(count: int, customer: str = "acme", why: str = "no answer", *, first: int = 0) -> list[Payment]:
    """So many payments that fail, once the sandbox runs."""
    Gateway.down[customer] = why
    return [Payment.start(str(number), customer=customer) for number in range(first, first + count)]


def mend(*customers: str) -> None:
    for customer in customers:
        Gateway.down.pop(customer, None)


def start(action: str = "retry", **options: object) -> Repair:
    """A repair of the payments that failed."""
    return repairs.start(action, **{"machine": "payment", "state": FAILED, **options})  # type: ignore[arg-type]
