"""Machines for the commands that run in this process and in a sandbox."""

from __future__ import annotations

from typing import Any

from fsmflow import Machine, Retry, State
from tests.support.machines import Trigger
from tests.support.traces import failing


class Order(Machine):
    """Packs line by line, has somebody asked, and ships by a machine of its own."""

    initial = "new"
    states = [
        State("new", defer=["approve"]),
        State("charging", job="charge", undo="refund"),
        State("packing", job="pack", each="lines", undo="unpack"),
        State("asking", job="ask", wait=True, timeout=3_600),
        State("shipping", machine="shipment", each="lines", limit=1),
        State("shipped", final=True),
    ]
    transitions = [
        ["go", "new", "charging"],
        ["done", "charging", "packing"],
        ["done", "packing", "asking"],
        ["approve", "asking", "shipping"],
        ["timeout", "asking", "shipped"],
        ["done", "shipping", "shipped"],
    ]
    approve: Trigger
    go: Trigger

    def charge(self) -> dict[str, Any]:
        if self.data.get("card") == "bad":
            raise ValueError(f"card of {self.entity_id} was declined")
        return {"charged": True}

    def refund(self) -> None: ...

    def pack(self, item: Any) -> Any:
        if item in failing:
            raise ValueError(f"no box for {item}")
        return {"box": item}

    def unpack(self) -> None: ...

    def ask(self) -> None:
        self.send("remind", after=600)
        self.send("answer", to="order:nobody")


class Shipment(Machine):
    initial = "sending"
    states = [State("sending", job="send_it", retry=Retry(max=1, interval=60, jitter=0)), State("arrived", final=True)]
    transitions = [["done", "sending", "arrived"]]

    def send_it(self) -> None:
        if "lost" in failing:
            raise ConnectionError("no lorry")
