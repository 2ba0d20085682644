"""Who may do what operators do to the entities of a machine: ``operators``, and ``Two`` people for one action."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from fsmflow.definition.names import CANCEL, RETRY, UNDO
from fsmflow.definition.retry import is_duration
from fsmflow.errors import DataError, did_you_mean, shown
from fsmflow.values import dataclass

ALL_TEAMS: Final = "all_teams"
EDIT: Final = "edit"
FAILURES: Final = "failures"
HOLD: Final = "hold"
HOOKS: Final = "hooks"
PRUNE: Final = "prune"
RESUME: Final = "resume"
SCHEDULE: Final = "schedule"
SEE: Final = "see"
#: What is done beside all machines: to be somebody else at the command line, and to make approval links void.
ACT_AS: Final = "act_as"
REVOKE_LINKS: Final = "revoke_links"
#: To say who may log in, and so to become anybody; to give somebody else an API token.
USERS: Final = "users"
TOKENS: Final = "tokens"
#: To have the workers of a host take nothing new.
DRAIN: Final = "drain"
OF_INSTALLATION: Final = (ACT_AS, DRAIN, REVOKE_LINKS, USERS, TOKENS)
#: What moves one entity.
MOVES: Final = (RETRY, RESUME, "pause", CANCEL, "skip", "rewind", UNDO, "force", "drop", "erase")
#: What a machine can close.
OPERATIONS: Final = (*MOVES, EDIT, HOLD, HOOKS, "repair", FAILURES, PRUNE, SCHEDULE, SEE, ALL_TEAMS)
#: A resume comes to other actions, and each of these is asked about.
_FOR_TWO: Final = frozenset(MOVES) - {RESUME}


@dataclass(frozen=True, kw_only=True)
class Closed:
    """Who may do something: whoever has one of ``roles``. ``within_ms``: two of them, the second one that soon."""

    roles: frozenset[str]
    within_ms: int | None = None


class Two:
    """Two people have to ask for the same, each with one of these roles: the second does it. ``within``: how soon after
    the first, in seconds or as a timedelta. Raises DataError."""

    __slots__ = ("roles", "within")

    def __init__(self, *roles: str, within: float | timedelta = 3600) -> None:
        if not roles or not all(isinstance(role, str) and role for role in roles):
            raise DataError(f"Two({', '.join(map(shown, roles))}): it takes one or several names of roles")
        if not is_duration(within) or not within:
            raise DataError(f"Two(..., within={shown(within)}): it takes seconds or a timedelta, more than none")
        self.roles = frozenset(roles)
        self.within = within if isinstance(within, timedelta) else timedelta(seconds=within)

    def __repr__(self) -> str:
        roles = ", ".join(map(repr, sorted(self.roles)))
        return f"Two({roles}, within={self.within.total_seconds():g})"


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
        elif isinstance(who, Two) and action not in _FOR_TWO:
            faults.append(f"operators: {action!r} takes roles, not Two(...): it is not one action on one entity")
        elif isinstance(who, Two):
            found[action] = Closed(roles=who.roles, within_ms=max(1, round(who.within.total_seconds() * 1000)))
        elif roles := _roles(who):
            found[action] = Closed(roles=roles)
        else:
            faults.append(f"operators: {action!r} is {shown(who)}; it takes one or several names of roles, or Two(...)")
    return found


def _roles(who: object) -> frozenset[str]:
    names = [who] if isinstance(who, str) else who
    if not isinstance(names, list | tuple | set | frozenset) or not all(isinstance(n, str) and n for n in names):
        return frozenset()
    return frozenset(names)
