"""Something to decide by a link or a webhook: a purchase that a manager approves, and a bank pays."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from fsmflow import Hook, Machine, State
from fsmflow.signatures import Hmac

_SECRET = b"whsec-of-tests"
MANAGER = "manager@example.org"


class Purchase(Machine):
    """A purchase that a manager approves before it is paid."""

    initial = "asked"
    redact = ["iban"]
    hooks = [
        Hook(
            "bank",
            trigger="paid",
            entity="data.purchase",
            verify=Hmac(_SECRET.decode(), "X-Bank-Signature", id="id", event="type"),
            event="payment.*",
            payload={"amount": "data.amount"},
        )
    ]
    states = ["asked", "approved", State("rejected", final=True), State("paid", final=True)]
    transitions = [
        {"trigger": "approve", "source": "asked", "dest": "approved", "roles": ["manager"], "unless": "is_closed"},
        {"trigger": "reject", "source": "asked", "dest": "rejected", "roles": ["manager"]},
        {"trigger": "close", "source": "asked", "dest": None, "after": "shut"},
        ["paid", "approved", "paid"],
    ]

    def is_closed(self) -> bool:
        return bool(self.data.get("closed"))

    def shut(self) -> None:
        self.data["closed"] = True


def bank_says(purchase: Any, **more: Any) -> tuple[bytes, dict[str, str]]:
    """What the bank sends of a payment: the body, and the headers."""
    event = {"id": "evt-1", "type": "payment.done", "data": {"purchase": purchase, "amount": 90}, **more}
    body = json.dumps(event).encode()
    return body, {"X-Bank-Signature": hmac.new(_SECRET, body, hashlib.sha256).hexdigest()}
