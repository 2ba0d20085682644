"""Who may do what operators do to the entities of a machine: ``operators``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Final

from fsmflow.definition.names import CANCEL, RETRY, UNDO
from fsmflow.errors import did_you_mean, shown
from fsmflow.values import dataclass

EDIT: Final = "edit"
PRUNE: Final = "prune"
RESUME: Final = "resume"
SCHEDULE: Final = "schedule"
SEE: Final = "see"
#: What moves one entity.
MOVES: Final = (RETRY, RESUME, "pause", CANCEL, "skip", "rewind", UNDO, "force", "drop")
#: What a machine can close.
OPERATIONS: Final = (*MOVES, EDIT, "hold", "repair", "erase", PRUNE, SCHEDULE, SEE)


@dataclass(frozen=True, kw_only=True)
class Closed:
    """Who may do something: whoever has one of ``roles``."""

    roles: frozenset[str]


def read_operators(owner: type, faults: list[str]) -> dict[str, Closed]:
    """Which actions of operators a class closes, and for whom they are open."""
    given = getattr(owner, "operators", None)
    if given is None or inspect.isroutine(given) or isinstance(given, property):
        return {}
    if not isinstance(given, Mapping):
        faults.append(f"operators={shown(given)}; it is a dict of actions and roles, as in {{'skip': ['lead']}}")
        return {}
    found = {}
    for action, who in given.items():
        if action not in OPERATIONS:
            hint = did_you_mean(action, OPERATIONS) or f"; they are {', '.join(OPERATIONS)}"
            faults.append(f"operators: {shown(action)} is no action of operators{hint}")
        elif roles := _roles(who):
            found[action] = Closed(roles=roles)
        else:
            faults.append(f"operators: {action!r} is {shown(who)}; it takes one or several names of roles")
    return found


def _roles(who: object) -> frozenset[str]:
    names = [who] if isinstance(who, str) else who
    if not isinstance(names, list | tuple | set | frozenset) or not all(isinstance(n, str) and n for n in names):
        return frozenset()
    return frozenset(names)
