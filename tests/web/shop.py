"""What people of the tests of pages meet: a machine whose texts try to be markup, and whose job fails where told to."""

from __future__ import annotations

from typing import Any, Final

from fsmflow import Machine, State

#: What tries to leave its place on a page.
HOSTILE: Final = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{7*7}}</textarea>\u202e"


class Sale(Machine):
    """Charge a card, then wait for a manager."""

    initial = "pending"
    redact = ["card"]
    search = ["amount"]
    states = [
        State("pending"),
        State("charging", job="charge", undo="refund"),
        State("approval", expect=60, defer=["hurry"]),
        State("packing", jobs=["box", "label"]),
        State("sold", final=True),
    ]
    transitions = [
        ["submit", "pending", "charging"],
        ["done", "charging", "approval"],
        {"trigger": "approve", "source": "approval", "dest": "packing", "roles": ["manager"]},
        ["hurry", "packing", "sold"],
        ["note", "*", None],
        ["done", "packing", "sold"],
    ]

    def charge(self) -> dict[str, Any]:
        if not self.data.get("card"):
            raise ValueError(self.data.get("complaint", "no card"))
        return {"charged": True}

    def refund(self) -> None:
        pass

    def box(self) -> None:
        if self.data.get("torn"):
            raise ValueError("the box is torn")

    def label(self) -> None:
        if self.data.get("smudged"):
            raise ValueError("nobody can read it")
