"""Reads what a user wrote as ``states`` and ``transitions``: strings, dicts, lists, enums, ``State``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, EnumMeta
from typing import Any

from fsmflow.definition.state import STATE_PARAMETERS, State
from fsmflow.errors import did_you_mean, shown
from fsmflow.values import dataclass

#: The positional order of ``transitions``.
TRANSITION_PARAMETERS = ("trigger", "source", "dest", "conditions", "unless", "before", "after", "prepare")
ALL_TRANSITION_PARAMETERS = (*TRANSITION_PARAMETERS, "roles")


@dataclass(frozen=True, kw_only=True)
class Written:
    """A transition as it was written; ``position`` counts from 1. ``sources`` None stands for ``"*"``.

    The names in it are text, but need not be names of anything.
    """

    position: int
    trigger: str
    sources: tuple[str, ...] | None
    dest: str | None
    parts: Mapping[str, Any]

    @property
    def where(self) -> str:
        return f"transition {self.position}"


def read_states(declared: Any, faults: list[str]) -> list[State]:
    """The declared states, each as a ``State`` whose name is plain text, where it is text at all."""
    if isinstance(declared, EnumMeta):
        declared = list(declared)
    if isinstance(declared, (str, bytes)) or not isinstance(declared, Sequence):
        faults.append(f"states is {shown(declared)}; it takes a list of states or an Enum")
        return []
    if not declared:
        faults.append("states is empty; a machine has at least one state")
    found = (_read_state(item, index, faults) for index, item in enumerate(declared, 1))
    return [state for state in found if state is not None]


def names_members(declared: Any) -> bool:
    """Whether any declared state is named by a member of an Enum that is no text itself."""
    if isinstance(declared, EnumMeta):
        declared = list(declared)
    named = (item.name if isinstance(item, State) else item for item in declared)
    names = (item.get("name") if isinstance(item, Mapping) else item for item in named)
    return any(isinstance(name, Enum) and not isinstance(name, str) for name in names)


def _read_state(item: Any, position: int, faults: list[str]) -> State | None:
    where = f"state {position}"
    if isinstance(item, (str, Enum)):
        return State(plain_name(item))
    if isinstance(item, State):
        return replace(item, name=plain_name(item.name))
    if isinstance(item, Mapping):
        for key in item:
            if key not in STATE_PARAMETERS:
                hint = did_you_mean(key, STATE_PARAMETERS)
                faults.append(f"{where}: a state has no parameter {shown(key)}{hint}")
        if "name" not in item:
            faults.append(f"{where}: {shown(dict(item))} has no name")
            return None
        known = {key: value for key, value in item.items() if key in STATE_PARAMETERS}
        return State(**{**known, "name": plain_name(known["name"])})
    faults.append(f"{where} is {shown(item)}; a state is a name, State(...), a dict or an enum member")
    return None


def read_transitions(declared: Any, faults: list[str]) -> list[Written]:
    """The declared transitions, in their order."""
    if isinstance(declared, (str, bytes)) or not isinstance(declared, Sequence):
        faults.append(f"transitions is {shown(declared)}; it takes a list of transitions")
        return []
    found = (_read_transition(item, index, faults) for index, item in enumerate(declared, 1))
    return [written for written in found if written is not None]


def _read_transition(item: Any, position: int, faults: list[str]) -> Written | None:
    where = f"transition {position}"
    parts = _transition_parts(item, where, faults)
    if parts is None:
        return None
    missing = [name for name in ("trigger", "source", "dest") if name not in parts]
    if missing:
        faults.append(f"{where}: {shown(item)} has no {' and no '.join(missing)}")
        return None
    sources = _sources(parts["source"], where, faults)
    return Written(
        position=position,
        trigger=plain_name(parts["trigger"]),
        sources=None if "*" in sources else sources,
        dest=None if parts["dest"] is None else _state_name(parts["dest"]),
        parts={key: value for key, value in parts.items() if key not in ("trigger", "source", "dest")},
    )


def _sources(source: Any, where: str, faults: list[str]) -> tuple[str, ...]:
    if isinstance(source, EnumMeta):
        source = list(source)
    # A set has no order of its own, and the order of transitions is part of their meaning.
    several = sorted(source, key=shown) if isinstance(source, (set, frozenset)) else source
    if not isinstance(several, (list, tuple)):
        several = [several]
    elif not several:
        faults.append(f"{where}: the list of sources is empty; where does it start from?")
    return tuple(dict.fromkeys(_state_name(item) for item in several))


def _transition_parts(item: Any, where: str, faults: list[str]) -> dict[str, Any] | None:
    if isinstance(item, Mapping):
        for key in item:
            if key not in ALL_TRANSITION_PARAMETERS:
                hint = did_you_mean(key, ALL_TRANSITION_PARAMETERS)
                faults.append(f"{where}: a transition has no parameter {shown(key)}{hint}")
        return {key: value for key, value in item.items() if key in ALL_TRANSITION_PARAMETERS}
    if isinstance(item, (list, tuple)):
        if len(item) > len(TRANSITION_PARAMETERS):
            order = ", ".join(TRANSITION_PARAMETERS)
            faults.append(f"{where}: {shown(item)} has {len(item)} parts; the order is {order}")
            return None
        return dict(zip(TRANSITION_PARAMETERS, item, strict=False))
    faults.append(f"{where} is {shown(item)}; a transition is [trigger, source, dest, ...] or a dict")
    return None


def _state_name(item: Any) -> str:
    """The name of a state that is referred to; what is no name becomes a text that no state bears."""
    name = plain_name(item.name if isinstance(item, State) else item)
    return name if isinstance(name, str) else f"<{shown(item)}>"


def plain_name(item: Any) -> Any:
    """An enum member's value where that is text, else its name in lower case; other text as plain text, not as the
    subclass that it may be; anything else as it is."""
    if isinstance(item, Enum):
        item = item.value if isinstance(item.value, str) else item.name.lower()
    return str.__str__(item) if isinstance(item, str) else item
