"""Reads what a user wrote as ``states`` and ``transitions``: strings, dicts, lists, enums, ``State``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, EnumMeta
from typing import Any

from fsmflow.definition.states import STATE_PARAMETERS, State
from fsmflow.errors import did_you_mean

#: The positional order of ``transitions``.
TRANSITION_PARAMETERS = ("trigger", "source", "dest", "conditions", "unless", "before", "after", "prepare")
ALL_TRANSITION_PARAMETERS = (*TRANSITION_PARAMETERS, "roles")


@dataclass(frozen=True, kw_only=True)
class Written:
    """A transition as it was written; ``position`` counts from 1. ``sources`` None stands for ``"*"``."""

    position: int
    trigger: str
    sources: tuple[str, ...] | None
    dest: str | None
    parts: Mapping[str, Any]

    @property
    def where(self) -> str:
        return f"transition {self.position}"

    @property
    def context(self) -> str:
        source = "*" if self.sources is None else ", ".join(self.sources)
        return f"{self.trigger!r} from {source!r}"


def read_states(declared: Any, faults: list[str]) -> list[State]:
    """The declared states, each as a ``State`` whose name is text."""
    if isinstance(declared, EnumMeta):
        declared = list(declared)
    if isinstance(declared, (str, State, Mapping, Enum)) or not isinstance(declared, Sequence):
        faults.append(f"states is {declared!r}; it takes a list of states or an Enum")
        return []
    if not declared:
        faults.append("states is empty; a machine has at least one state")
    found = (_read_state(item, index, faults) for index, item in enumerate(declared, 1))
    return [state for state in found if state is not None]


def _read_state(item: Any, position: int, faults: list[str]) -> State | None:
    where = f"state {position}"
    if isinstance(item, (str, Enum)):
        return State(enum_name(item))
    if isinstance(item, State):
        return _named(item, enum_name(item.name))
    if isinstance(item, Mapping):
        wrong = [key for key in item if key not in STATE_PARAMETERS]
        for key in wrong:
            faults.append(f"{where}: a state has no parameter {key!r}{did_you_mean(str(key), STATE_PARAMETERS)}")
        if "name" not in item:
            faults.append(f"{where}: {dict(item)!r} has no name")
            return None
        known = {key: value for key, value in item.items() if key in STATE_PARAMETERS}
        return State(**{**known, "name": enum_name(known["name"])})
    faults.append(f"{where} is {item!r}; a state is a name, State(...), a dict or an enum member")
    return None


def _named(state: State, name: str) -> State:
    if state.name == name:
        return state
    return State(**{**{key: getattr(state, key) for key in STATE_PARAMETERS}, "name": name})


def read_transitions(declared: Any, faults: list[str]) -> list[Written]:
    """The declared transitions, in their order."""
    if isinstance(declared, (str, Mapping)) or not isinstance(declared, Sequence):
        faults.append(f"transitions is {declared!r}; it takes a list of transitions")
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
        faults.append(f"{where}: {item!r} has no {' and no '.join(missing)}")
        return None
    trigger = enum_name(parts["trigger"])
    source = parts["source"]
    if isinstance(source, EnumMeta):
        source = list(source)
    sources = source if isinstance(source, (list, tuple, set, frozenset)) else [source]
    names = tuple(enum_name(_state_name(item)) for item in sources)
    dest = parts["dest"]
    return Written(
        position=position,
        trigger=trigger,
        sources=None if "*" in names else names,
        dest=None if dest is None else enum_name(_state_name(dest)),
        parts={key: value for key, value in parts.items() if key not in ("trigger", "source", "dest")},
    )


def _transition_parts(item: Any, where: str, faults: list[str]) -> dict[str, Any] | None:
    if isinstance(item, Mapping):
        for key in item:
            if key not in ALL_TRANSITION_PARAMETERS:
                hint = did_you_mean(str(key), ALL_TRANSITION_PARAMETERS)
                faults.append(f"{where}: a transition has no parameter {key!r}{hint}")
        return {key: value for key, value in item.items() if key in ALL_TRANSITION_PARAMETERS}
    if isinstance(item, (list, tuple)):
        if len(item) > len(TRANSITION_PARAMETERS):
            faults.append(f"{where}: {item!r} has {len(item)} parts; the order is {', '.join(TRANSITION_PARAMETERS)}")
            return None
        return dict(zip(TRANSITION_PARAMETERS, item, strict=False))
    faults.append(f"{where} is {item!r}; a transition is [trigger, source, dest, ...] or a dict")
    return None


def enum_name(item: Any) -> Any:
    """An enum member's value where that is text, else its name in lower case; anything else as it is."""
    if isinstance(item, Enum):
        return str(item.value) if isinstance(item.value, str) else item.name.lower()
    return item


def _state_name(item: Any) -> Any:
    return item.name if isinstance(item, State) else item
