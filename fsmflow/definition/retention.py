"""Reads for how long a machine keeps what is finished, and the keys that were used up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import Any, Final

from fsmflow.definition.model import StateSpec
from fsmflow.definition.names import MAX_NAME
from fsmflow.definition.parse import plain_name
from fsmflow.definition.retry import as_seconds, is_duration
from fsmflow.errors import did_you_mean, shown

_TAKES: Final = "it takes seconds or a timedelta of at least 1 s, as in {name} = timedelta(days=90)"
#: Shorter than this, nobody could ask how something has ended.
_LEAST_S: Final = 1.0


def read_retention(owner: type, states: Mapping[str, StateSpec], faults: list[str]) -> dict[str, int]:
    """For how many milliseconds entities are kept in each final state; empty where they are kept for good."""
    given = getattr(owner, "retention", None)
    if given is None:
        return {}
    finals = [name for name, spec in states.items() if spec.is_final]
    if not isinstance(given, Mapping):
        kept = _milliseconds("retention", given, faults)
        return {} if kept is None else dict.fromkeys(finals, kept)
    found = {}
    for written, duration in given.items():
        name = plain_name(written)
        if name not in finals:
            told = name if isinstance(name, str) and len(name) <= MAX_NAME else shown(written)
            faults.append(_not_final(told, states, finals))
            continue
        kept = _milliseconds(f"retention[{name!r}]", duration, faults)
        if kept is not None:
            found[name] = kept
    return found


def _not_final(name: str, states: Mapping[str, StateSpec], finals: list[str]) -> str:
    if name in states:
        return f"retention: {name!r} is not final, and only what is finished is ever deleted; leave it out"
    return f"retention: unknown state {name!r}{did_you_mean(name, finals)}; its final states are {', '.join(finals)}"


def read_key_retention(owner: type, faults: list[str]) -> int | None:
    """For how many milliseconds a key that was used up is kept; None for as long as its entity."""
    given = getattr(owner, "key_retention", None)
    return None if given is None else _milliseconds("key_retention", given, faults)


def _milliseconds(name: str, given: Any, faults: list[str]) -> int | None:
    if isinstance(given, Enum) or not is_duration(given, least=_LEAST_S):
        faults.append(f"{name}={shown(given)}; {_TAKES.format(name=name.partition('[')[0])}")
        return None
    seconds = given.total_seconds() if isinstance(given, timedelta) else as_seconds(given)
    return round(seconds * 1000)
