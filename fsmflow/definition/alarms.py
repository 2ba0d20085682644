"""Reads what a machine wants to be told of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsmflow.definition.model import StateSpec
from fsmflow.errors import shown
from fsmflow.settings.alarms import KINDS, Alarm, Overdue


def read_machine_alarms(owner: type, states: Mapping[str, StateSpec], faults: list[str]) -> tuple[Alarm, ...]:
    """The alarms of a class; a method or job of that name is the user's own."""
    given = getattr(owner, "alarms", ())
    if callable(given) or isinstance(given, property):
        return ()
    several: list[Any] = list(given) if isinstance(given, (list, tuple)) else [given]
    wrong = next((each for each in several if not isinstance(each, Alarm)), None)
    if wrong is not None or not isinstance(given, (list, tuple)):
        kinds = ", ".join(each.__name__ for each in KINDS.values())
        faults.append(f"alarms={shown(given)}; it is a list of {kinds}, as in alarms = [Overdue()]")
        return ()
    if any(isinstance(each, Overdue) for each in several) and not any(spec.expect_ms for spec in states.values()):
        faults.append("alarms has Overdue(), and no state has expect=, so there is nothing to be told of")
    return tuple(several)
