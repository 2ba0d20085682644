"""Reads the limits of states, and those of a machine, which are limits of each of its jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fsmflow.definition.model import StateSpec, Wide
from fsmflow.errors import did_you_mean, shown
from fsmflow.settings.limits import QUEUE, Limit

#: More of them would be locked at each claim.
MAX_LIMITS = 10


def read_limits(given: Any, where: str, faults: list[str]) -> tuple[Limit, ...]:
    """Those of a state or a machine; ``where`` is what a fault begins with."""
    if given is None:
        return ()
    several: list[Any] = list(given) if isinstance(given, (list, tuple)) else [given]
    wrong = next((each for each in several if not isinstance(each, Limit)), None)
    if wrong is not None or not isinstance(given, (list, tuple)):
        faults.append(f'{where}limits={shown(given)}; it is a list of limits, as in [Limit("gateway", running=5)]')
        return ()
    if len(several) > MAX_LIMITS:
        faults.append(f"{where}limits= has {len(several)} limits; {MAX_LIMITS} are allowed")
    faults += [
        f"{where}{limit} has the name of a limit of a queue; choose another one"
        for limit in several
        if limit.name.startswith(QUEUE)
    ]
    faults += [f"{where}{fault}" for fault in differing(several)]
    return tuple(several)


def differing(limits: list[Limit]) -> list[str]:
    """What is wrong with limits that share a name: they have to allow the same."""
    found: dict[str, Limit] = {}
    faults = []
    for limit in limits:
        other = found.setdefault(limit.name, limit)
        if other.numbers != limit.numbers:
            faults.append(f"limit {limit.name!r} is {other.numbers} in one place and {limit.numbers} in another")
    return faults


def limits_everywhere(owner: type, states: Mapping[str, StateSpec], faults: list[str]) -> dict[str, StateSpec]:
    """The states with the limits of the machine added to those that run jobs."""
    given = getattr(owner, "limits", None)
    if not isinstance(given, (list, tuple, Limit)):
        given = None  # a method, a job or a constant of this name is the user's own
    wide = read_limits(given, "", faults)
    if wide and not any(map(_runs_jobs, states.values())):
        faults.append("limits= limits jobs, and no state has one")
    every = [limit for spec in states.values() for limit in spec.limits]
    faults += [fault for fault in differing([*wide, *every]) if not any(fault in each for each in faults)]
    return {
        name: replace(spec, limits=tuple(dict.fromkeys((*spec.limits, *wide)))) if _runs_jobs(spec) else spec
        for name, spec in states.items()
    }


def _runs_jobs(spec: StateSpec) -> bool:
    return spec.is_working and not (spec.fan is not None and spec.fan.has_children)


def check_fields(states: Mapping[str, StateSpec], wide: Wide, faults: list[str]) -> None:
    """What limits ask of the data has to be there, where its type is declared; and is no secret, as it is stored once
    more, and shown."""
    declared = None if wide.data is None or "shape" not in vars(wide.data) else wide.data.shape.fields
    limits = dict.fromkeys(limit for spec in states.values() for limit in spec.limits)
    for limit in limits:
        for name in limit.fields:
            first = name.partition(".")[0]
            if declared is not None and first not in declared:
                hint = did_you_mean(first, declared) or f"; it has {', '.join(declared)}"
                faults.append(f"limit {limit.name!r}: the data have no {first!r}{hint}")
            if {first, *name.split(".")} & wide.redact:
                faults.append(f"limit {limit.name!r}: {name!r} is redacted, and a limit is shown by its value")
