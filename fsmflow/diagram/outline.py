"""A machine as plain values, for other programs: the shape that ``fsmflow draw --as json`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsmflow.clock import iso, to_ms
from fsmflow.definition.model import Definition, StateSpec, TransitionSpec, source_name
from fsmflow.diagram.labels import marks
from fsmflow.diagram.overlay import Journey, Tally


def outline(
    definition: Definition, *, journey: Journey | None = None, tallies: Mapping[str, Tally] | None = None
) -> dict[str, Any]:
    """All states and transitions, those that fsmflow makes included. With a ``journey`` where the entity is and how
    often it came by; with ``tallies`` how many are in each state."""
    taken = journey.taken if journey else None
    transitions = [_transition(spec) for spec in definition.transitions]
    if taken is not None:
        for found in transitions:
            found["taken"] = taken[found["source"], found["dest"] or found["source"], found["trigger"]]
    return {
        "machine": definition.name,
        "summary": definition.summary,
        "version": definition.version,
        "initial": definition.initial,
        "final": [spec.name for spec in definition.states.values() if spec.is_final],
        "address": journey.address if journey else None,
        "state": journey.state if journey else None,
        "since": iso(journey.since) if journey else None,
        "way": [{**vars(move), "at": iso(move.at)} for move in journey.moves] if journey else None,
        "states": [_state(spec, journey, tallies) for spec in definition.states.values()],
        "transitions": transitions,
        "unknown": _unknown(definition, tallies),
    }


def _state(spec: StateSpec, journey: Journey | None, tallies: Mapping[str, Tally] | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": spec.name,
        "kind": spec.phase,
        "generated": spec.generated,
        "failed_from": spec.failed_from,
        "undoes": spec.undoes,
        "job": spec.job_name or None,
        "marks": list(marks(spec)),
        "timer": _timer(spec),
        "expect": None if spec.expect_ms is None else spec.expect_ms / 1000,
    }
    if journey is not None:
        found["visited"] = spec.name in journey.visited
    if tallies is not None:
        tally = tallies.get(spec.name)
        found["entities"] = tally.count if tally else 0
        found["oldest"] = iso(tally.since) if tally and tally.since else None
    return found


def _timer(spec: StateSpec) -> dict[str, Any] | None:
    if spec.timer is None:
        return None
    after = spec.timer.after
    if callable(after):
        return {"trigger": spec.timer.trigger, "seconds": None, "method": source_name(after)}
    return {"trigger": spec.timer.trigger, "seconds": to_ms(after) / 1000, "method": None}


def _transition(spec: TransitionSpec) -> dict[str, Any]:
    asked = len(spec.conditions)
    return {
        "trigger": spec.trigger,
        "source": spec.source,
        "dest": spec.dest,
        "conditions": list(spec.guards[:asked]),
        "unless": list(spec.guards[asked:]),
        "roles": sorted(spec.roles),
        "generated": spec.generated,
    }


def _unknown(definition: Definition, tallies: Mapping[str, Tally] | None) -> dict[str, int]:
    """How many are in states that the code does not have."""
    return {state: tally.count for state, tally in (tallies or {}).items() if state not in definition.states}
