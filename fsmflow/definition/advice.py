"""What is not wrong with a machine but worth a look; shown by ``fsmflow check``."""

from __future__ import annotations

from collections.abc import Mapping

from fsmflow.definition.model import Definition
from fsmflow.definition.names import DONE, ENGINE_TRIGGERS, METHOD_TRIGGERS, TIMEOUT
from fsmflow.definition.sends import refused_sends
from fsmflow.errors import DefinitionError


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
    return [*notes, *_types(definition)]


def untyped(definition: Definition) -> list[str]:
    """The triggers that can be fired from outside, and have no type."""
    fired = dict.fromkeys(spec.trigger for spec in definition.transitions if not spec.generated)
    closed = {*ENGINE_TRIGGERS, *METHOD_TRIGGERS, TIMEOUT, *definition.wide.internal, *definition.wide.payloads}
    return [trigger for trigger in fired if trigger not in closed]


def _types(definition: Definition) -> list[str]:
    """What is to be said of declared types: those that cannot be read, and triggers without one beside others."""
    notes = []
    for declared in (*definition.wide.payloads.values(), definition.wide.data):
        try:
            _ = declared.shape if declared is not None else None
        except DefinitionError as error:
            notes.append(error.faults[0])
    missing = untyped(definition) if definition.wide.payloads else []
    if missing:
        them = ", ".join(map(repr, missing))
        notes.append(f"{them} has no type, as other triggers have: 'fsmflow types {definition.name} --write' adds it")
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
