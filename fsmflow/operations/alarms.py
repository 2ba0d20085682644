"""What somebody is told of: ``fsmflow.alarms``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fsmflow import clock
from fsmflow.decision.entity import Snapshot
from fsmflow.engine.runtime import current
from fsmflow.engine.signs import ALARM, Signs, rules_of, signs
from fsmflow.operations.alarm import RAISED, RAISING
from fsmflow.store.listing import Filter
from fsmflow.values import dataclass

__all__ = ["Raised", "check", "raised"]


@dataclass(frozen=True, kw_only=True)
class Raised:
    """Something to be alarmed about. ``address``: of the alarm, which is an entity with a history.

    ``kind``: ``overdue``, ``failing`` and the like; ``machine``: of which it is, where it is of one. ``text`` says what
    there is now, ``todo`` what to type next, ``values`` the same for programs; ``began`` what was told when it began.
    ``goes_on``: there is a sign of it now; without one for two minutes it is over. ``tell``: the channels. ``since``:
    when it was raised; None where it is found just now. ``silent``: it is paused, and nobody is told of it.
    """

    address: str
    kind: str
    machine: str | None
    text: str
    began: str
    goes_on: bool
    todo: str
    values: Mapping[str, Any]
    tell: tuple[str, ...]
    since: datetime | None
    silent: bool


def raised() -> list[Raised]:
    """The alarms that are raised, the oldest first, with what there is of them now; none where neither the settings nor
    a machine names any, as nobody ends them then. One query, and some for each alarm where any is raised."""
    runtime = current()
    rules = rules_of(runtime)
    there = list(runtime.store.listing.find(Filter(machine=ALARM, states=(RAISED, RAISING)))) if rules else []
    seen = signs(runtime, rules, {alarm.entity_id for alarm in there}) if there else None
    found = [_raised(alarm, seen) for alarm in there if seen is not None]
    return sorted(found, key=lambda each: (each.since or clock.to_datetime(0), each.address))


def _raised(alarm: Snapshot, seen: Signs) -> Raised:
    told: dict[str, Any] = {name: alarm.data.get(name) for name in ("kind", "machine", "text", "todo", "values")}
    began = str(told["text"])
    sign = seen.found.get(alarm.entity_id)
    goes_on = sign is not None or alarm.data.get("rule") in seen.unknown
    if sign is not None:
        told |= {"text": sign.text, "todo": sign.todo, "values": sign.values}
    elif not goes_on:
        told["text"] = f"there is no sign of it any more; when it began: {began}"
    return Raised(
        address=alarm.address,
        **told,
        began=began,
        goes_on=goes_on,
        tell=tuple(alarm.data.get("tell", ())),
        since=clock.to_datetime(alarm.data.get("since") or alarm.entered_at),
        silent=alarm.paused,
    )


def check() -> list[Raised]:
    """What there is to be alarmed about right now, whether a worker runs or not. Nothing is written and nobody is told.

    Some queries for each alarm that the settings and the machines name. A look that fails is logged, and left out."""
    runtime = current()
    seen = signs(runtime, rules_of(runtime))
    return [
        Raised(
            address=f"{ALARM}:{sign.id}",
            kind=sign.kind,
            machine=sign.machine,
            text=sign.text,
            began=sign.text,
            goes_on=True,
            todo=sign.todo,
            values=sign.values,
            tell=sign.tell,
            since=None,
            silent=False,
        )
        for sign in seen.found.values()
        if sign.begins
    ]
