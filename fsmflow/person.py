"""The people of an installation: the system's user, and which roles and teams somebody is given."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable
from typing import Final

from fsmflow import settings
from fsmflow.decision.inputs import Actor
from fsmflow.decision.team import EVERY
from fsmflow.engine.runtime import current, stand_in
from fsmflow.engine.users import person_named
from fsmflow.settings.permissions import Permissions, Person

_NOBODY: Final = Person()


def login() -> str:
    """The system's user that this process runs as: what the kernel says, not the environment, which anybody sets."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # in a container of a user that nobody has named
        return f"uid-{os.getuid()}"


def permissions_in_force() -> Permissions | None:
    """Who may do what in this installation; None where nothing is said of it."""
    installed = stand_in()
    return (settings.current() if installed is None else installed.settings).permissions


def listed(name: str, user: str) -> Actor:
    """Somebody of that name, with the roles and teams that the installation gives; where it says nothing of anybody,
    with no roles and of all teams. ``user``: the login of who really sits there."""
    permissions = permissions_in_force()
    if permissions is None:
        return Actor(name, login=user, teams=EVERY)
    one = permissions.people.get(name, _NOBODY)
    return Actor(name, one.roles, login=user, teams=one.teams)


def person_with(name: str, groups: Iterable[str]) -> Actor | None:
    """Somebody whom others have let in under this name: the roles and teams that the installation gives, and the groups
    that these others know as roles besides. None for a user who is disabled. Raises DataError."""
    person = person_named(current(), name)
    return None if person is None else Actor(person.name, person.roles | set(groups), teams=person.teams)
