"""What is not wrong with a machine but worth a look; shown by ``fsmflow check``."""

from __future__ import annotations

from collections.abc import Mapping

from fsmflow.definition.model import Definition
from fsmflow.definition.names import DONE, TIMEOUT
from fsmflow.definition.sends import refused_sends


def advice(definition: Definition) -> list[str]:
    """One sentence for each thing that is worth a look."""
    states = definition.states.values()
    notes = []
    if not any(spec.is_final and not spec.generated for spec in states):
        notes.append("no state is final: an entity never finishes but by 'cancel'")
    for spec in states:
        if spec.generated or spec.is_final:
            continue
        # What was just started is moved on by who has started it.
        if (spec.is_waiting or spec.waits) and spec.timer is None and spec.name != definition.initial:
            notes.append(f"state {spec.name!r} waits without a deadline: an entity may stay there for ever")
        if spec.is_working and spec.retry is None and spec.job_name:
            notes.append(f"job {spec.job_name!r} in state {spec.name!r} has no retry: its first failure needs somebody")
        notes += _refusable(definition, spec.name)
    return notes


def refused(definition: Definition, known: Mapping[str, Definition]) -> list[str]:
    """What a machine sends to another one that could never take it, as its messages act with none of the roles."""
    found: list[str] = []
    for name, other in known.items():
        found += refused_sends(
            definition.sends, name, definition.wide.sends_as, other.transitions, other.wide.operators
        )
    return found


def _refusable(definition: Definition, state: str) -> list[str]:
    notes = []
    spec = definition.states[state]
    fired = {DONE} if spec.is_working else {spec.timer.trigger} if spec.timer else set()
    for trigger in sorted(fired & {DONE, TIMEOUT}):
        offered = [item for item in definition.transitions if (item.trigger, item.source) == (trigger, state)]
        if offered and all(item.is_guarded for item in offered):
            guards = ", ".join(dict.fromkeys(guard for item in offered for guard in item.guards))
            notes.append(f"state {state!r}: the guards of {trigger!r} ({guards}) may all refuse, and then it rests")
    return notes
