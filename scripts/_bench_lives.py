"""Lives of orders, each lived once by the engine, so that copies of them are as true as what it has written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from _bench_machines import BenchOrder, BenchParcel
from fsmflow import Actor
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.history import HistoryEntry
from fsmflow.engine.runtime import current
from fsmflow.testing import sandbox
from fsmflow.values import dataclass

_MANAGER: Final = Actor("mia", roles=["manager"])
#: Of a thousand orders, so many lived like this.
SHARES: Final = {
    "shipped": 745,
    "shipped_parcel": 84,
    "rejected": 60,
    "cancelled": 20,
    "awaiting_approval": 45,
    "gateway": 7,
    "declined": 7,
    "amount": 6,
    "new": 10,
    "shipping": 11,
    "charging": 5,
}
_ERRORS: Final = {
    "gateway": type("GatewayDown", (Exception,), {})("no answer within 30 s"),
    "declined": type("CardDeclined", (Exception,), {})("code 51"),
    "amount": KeyError("amount"),
}


@dataclass(frozen=True)
class Life:
    """An entity, all of its history, and its parcel where it has one."""

    entity: Snapshot
    lines: Sequence[HistoryEntry]
    parcel: Life | None = None


def lives(history: int) -> dict[str, Life]:
    """Each of SHARES, with so many lines of history or as many as it needs."""
    return {name: _lived(name, history) for name in SHARES}


def _lived(name: str, history: int) -> Life:
    """Look at it as often as it takes to have so many lines."""
    short = _life(name, 0)
    more = history - len(short.lines)
    return _life(name, more) if more > 0 else short


def _life(name: str, looks: int) -> Life:
    with sandbox([BenchOrder, BenchParcel]) as box:
        has_parcel = name in ("shipping", "shipped_parcel")
        order = BenchOrder.start("0", parcels=[{"tracking": "T0"}] if has_parcel else [])
        for _ in range(looks):
            order.trigger("looked_at")
        if name in _ERRORS:
            box.fail("work", _ERRORS[name])
        for step in _steps(name, order):
            step()
            if name != "charging":
                box.run()
        parcel = None
        if has_parcel:
            child = BenchParcel.get("bench_order:0/shipping/0")
            if name == "shipped_parcel":
                child.trigger("deliver")
                box.run()
            parcel = _read("bench_parcel", "bench_order:0/shipping/0", None)
        return _read("bench_order", "0", parcel)


def _steps(name: str, order: BenchOrder) -> Sequence[Callable[[], object]]:
    """What is asked of it, one after the other."""
    if name == "new":
        return []
    submit = [lambda: order.trigger("submit")]
    if name in ("charging", "awaiting_approval", *_ERRORS):
        return submit
    if name == "rejected":
        return [*submit, lambda: order.trigger("reject")]
    if name == "cancelled":
        return [*submit, lambda: order.cancel()]
    return [*submit, lambda: order.trigger("approve", actor=_MANAGER)]


def _read(machine: str, entity_id: str, parcel: Life | None) -> Life:
    entities = current().store.entities
    found = entities.load(machine, entity_id)
    assert found is not None
    [(entity, lines)] = entities.whole([found.row])
    return Life(entity, lines, parcel)
