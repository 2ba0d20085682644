"""Patterns of permissions that mean nothing in these machines: what is misspelt would open nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Final

from fsmflow.definition.model import Definition
from fsmflow.definition.operators import OF_INSTALLATION, OPERATIONS
from fsmflow.errors import did_you_mean

_EVERYTHING: Final = "*"
#: ``machine.action``, and ``machine.state.action``.
_LENGTHS: Final = (2, 3)


def strange_patterns(roles: Mapping[str, Iterable[str]], machines: Mapping[str, Definition]) -> Iterator[str]:
    """What of the permissions of roles no machine has, in words."""
    for role, patterns in roles.items():
        for pattern in patterns:
            why = None if pattern in (_EVERYTHING, *OF_INSTALLATION) else _strange(pattern.split("."), machines)
            if why is not None:
                yield f"role {role!r}: {pattern!r} opens nothing: {why}"


def strange_roles(
    people: Mapping[str, Iterable[str]], roles: Iterable[str], machines: Mapping[str, Definition]
) -> Iterator[str]:
    """The roles of people that neither the permissions nor a machine has, in words."""
    known = {*roles}
    for one in machines.values():
        every = (one, *one.branches.values())
        known.update(role for own in every for spec in own.transitions for role in spec.roles)
        known.update(role for closed in one.wide.operators.values() for role in closed.roles)
    for name, theirs in people.items():
        for role in sorted(theirs):
            if role not in known:
                yield f"people.{name}: no machine and no [roles] has a role {role!r}{did_you_mean(role, known)}"


def _strange(parts: list[str], machines: Mapping[str, Definition]) -> str | None:
    if len(parts) not in _LENGTHS:
        return "it is machine.action, machine.state.action or '*'"
    machine, action = parts[0], parts[-1]
    meant = [one for name, one in machines.items() if fnmatchcase(name, machine)]
    if not meant:
        return f"there is no machine {machine!r}{did_you_mean(machine, machines)}"
    if len(parts) > len(_LENGTHS):
        states = {state for one in meant for own in (one, *one.branches.values()) for state in own.states}
        if not any(fnmatchcase(state, parts[1]) for state in states):
            return f"there is no state {parts[1]!r}{did_you_mean(parts[1], states)}"
    actions = {spec.trigger for one in meant for spec in one.transitions} | set(OPERATIONS)
    if not any(fnmatchcase(name, action) for name in actions):
        return f"there is no trigger or action {action!r}{did_you_mean(action, actions)}"
    return None
