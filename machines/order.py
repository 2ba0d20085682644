"""An order from its payment to its parcel."""

from datetime import timedelta
from typing import Any

from fsmflow import Machine, Retry, State

from . import gateway


class Order(Machine):
    """Charge, have large orders approved, reserve stock, pack, ship."""

    name = "order"
    initial = "pending"
    states = [
        State("pending"),
        State("charging", job="charge", retry=Retry(max=2, interval=1), timeout=30),
        State("awaiting_approval", timeout=timedelta(days=2)),
        State("reserving", job="reserve"),
        State("packing", job="pack"),
        State("shipping", job="ship", queue="slow"),
        State("shipped", final=True),
        State("rejected", final=True),
    ]
    transitions = [
        ["submit", "pending", "charging"],
        ["done", "charging", "awaiting_approval", "is_large"],
        ["done", "charging", "reserving"],
        {"trigger": "approve", "source": "awaiting_approval", "dest": "reserving", "roles": ["manager"]},
        ["reject", "awaiting_approval", "rejected"],
        ["timeout", "awaiting_approval", "rejected"],
        ["done", "reserving", "packing"],
        ["done", "packing", "shipping"],
        ["done", "shipping", "shipped"],
    ]

    def is_large(self) -> bool:
        return self.data["amount"] > 1000

    def charge(self) -> dict[str, Any]:
        # The key is the same however often the step runs, so the gateway takes the money once.
        return {"charge_id": gateway.charge(self.entity_id, self.data["amount"], key=self.idempotency_key)}

    def reserve(self) -> dict[str, Any]:
        return {"reserved": len(self.data.get("lines", []))}

    def pack(self) -> dict[str, Any]:
        self.log.info("packing %d item(s)", self.data["reserved"])
        return {"parcels": 1 + self.data["reserved"] // 4}

    def ship(self) -> dict[str, Any]:
        label = gateway.home() / "labels" / f"order-{self.entity_id}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(f"order {self.entity_id}, {self.data['parcels']} parcel(s)\n", encoding="utf-8")
        return {"label": str(label)}
