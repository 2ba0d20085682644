"""The users of the web as a file of TOML names them: the hash of each password, and who is disabled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final

from fsmflow.errors import ConfigurationError, shown
from fsmflow.settings.toml import read_toml
from fsmflow.values import dataclass

_TABLE: Final = "users"
_OF_A_USER: Final = ("password", "disabled", "roles", "teams")
_HASH: Final = "$argon2"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A user of the file. ``password`` is its hash."""

    password: str
    disabled: bool = False
    roles: frozenset[str] = field(default_factory=frozenset)
    teams: frozenset[str] = field(default_factory=frozenset)


def read_users(path: str) -> dict[str, Listed]:
    """What a file says. Raises ConfigurationError, and tells no hash."""
    given = read_toml(path, "users")
    strange = next((key for key in given if key != _TABLE), None)
    users = given.get(_TABLE, {})
    if strange is not None or not isinstance(users, Mapping):
        raise ConfigurationError(f"{path}: it has one table, [{_TABLE}]; {shown(strange or _TABLE)} is something else")
    return {name: _user(one, f"{path}: {_TABLE}.{name}") for name, one in users.items()}


def _user(given: Any, where: str) -> Listed:
    found = given if isinstance(given, Mapping) else {"password": given}
    strange = next((key for key in found if key not in _OF_A_USER), None)
    if strange is not None:
        raise ConfigurationError(f"{where}: {shown(strange)} means nothing there; a user has {', '.join(_OF_A_USER)}")
    password, disabled = found.get("password"), found.get("disabled", False)
    if not isinstance(password, str) or not password.startswith(_HASH):
        raise ConfigurationError(f"{where} has no hash of a password; 'fsmflow users add' prints a line with one")
    if not isinstance(disabled, bool):
        raise ConfigurationError(f"{where}.disabled is {shown(disabled)}; it is true or false")
    roles, teams = (_names(found.get(key, []), f"{where}.{key}") for key in ("roles", "teams"))
    return Listed(password=password, disabled=disabled, roles=roles, teams=teams)


def _names(given: object, where: str) -> frozenset[str]:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ConfigurationError(f"{where} is {shown(given)}; it is a name or a list of names")
    return frozenset(names)
