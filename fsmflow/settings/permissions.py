"""The permissions of an installation: what each role opens, which roles people have, and who is asked first."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any, Final

from fsmflow.errors import ConfigurationError, name_of, shown, text_of
from fsmflow.settings.toml import read_toml
from fsmflow.values import dataclass

#: ``permit(actor, permission, entity)``: True, False, ``Refuse("why")``, or None, which leaves it to the rest.
Permit = Callable[[Any, str, Any], Any]

#: Where they are read who are in no file.
IN_CODE: Final = "configure(permissions=...)"
_EVERYTHING: Final = "*"
_TABLES: Final = ("people", "roles", "permit")
_OF_A_PERSON: Final = ("roles", "teams")


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody at the command line, by login."""

    roles: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Permissions:
    """``roles``: the patterns of what each opens. ``permit``: a function that is asked first, or ``module:function``.
    ``source``: where all of this was read."""

    people: Mapping[str, Person] = field(default_factory=dict)
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    permit: Permit | str | None = None
    source: str = field(default=IN_CODE, compare=False)

    @property
    def closes(self) -> bool:
        """Whether the actions of operators are closed to whoever has no permission."""
        return bool(self.roles) or self.permit is not None

    def opening(self, names: Sequence[str], *, by_name: bool = False) -> frozenset[str]:
        """The roles that have a permission of one of these names. ``by_name``: not by a pattern for any action of a
        machine, but by one that names this action, or ``*`` alone."""
        return frozenset(
            role
            for role, patterns in self.roles.items()
            if any(
                is_meant(pattern, name)
                for pattern in patterns
                for name in names
                if not by_name
                or pattern in (_EVERYTHING, name)
                or pattern.rpartition(".")[2] == name.rpartition(".")[2]
            )
        )

    def as_plain(self) -> dict[str, Any]:
        """The same as ``read_permissions`` takes it and JSON can hold it. Raises ConfigurationError for a function that
        another process could not import."""
        permit = self.permit
        if permit is not None and not isinstance(permit, str):
            name = getattr(permit, "__qualname__", "")
            module = getattr(permit, "__module__", "__main__")
            if module == "__main__" or not name.isidentifier():
                raise ConfigurationError(
                    f"{self.source}: permit is {shown(permit)}, which worker processes cannot import; make it a "
                    f"function of a module"
                )
            permit = f"{module}:{name}"
        people = {name: {"roles": sorted(one.roles), "teams": sorted(one.teams)} for name, one in self.people.items()}
        return {"people": people, "roles": {name: list(one) for name, one in self.roles.items()}, "permit": permit}

    def asked(self) -> Permit | None:
        """The function that is asked first, imported where it is named. Raises ConfigurationError."""
        if not isinstance(self.permit, str):
            return self.permit
        module, _, name = self.permit.partition(":")
        try:
            found = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            why = f"{name_of(type(error))}: {text_of(error)}"
            raise ConfigurationError(f"{self.source}: permit = {self.permit!r} cannot be imported: {why}") from error
        if not callable(found):
            raise ConfigurationError(f"{self.source}: permit = {self.permit!r} is {shown(found)}, and no function")
        return found  # type: ignore[no-any-return]


def is_meant(pattern: str, name: str) -> bool:
    """Whether a pattern means a permission: part by part, between the dots. ``*`` alone means everything."""
    if pattern == _EVERYTHING:
        return True
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def read_permissions(given: object, source: str = IN_CODE) -> Permissions:
    """What ``configure`` or a file says. Raises ConfigurationError, with the key, for what cannot be."""
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{source} is {shown(given)}; it is a mapping with {', '.join(_TABLES)}")
    for key, value in given.items():
        if key not in _TABLES and value is not None:
            near = difflib.get_close_matches(str(key), _TABLES, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(_TABLES)}"
            raise ConfigurationError(f"{source}: {shown(key)} means nothing there{hint}")
    permit = given.get("permit")
    if permit is not None and not callable(permit) and not _is_place(permit):
        raise ConfigurationError(f"{source}: permit is {shown(permit)}; it is a function, or 'module:function'")
    people, roles = (_table(given, key, source) for key in ("people", "roles"))
    return Permissions(
        people={name: _person(person, f"{source}: people.{name}") for name, person in people.items()},
        roles={name: tuple(_names(patterns, f"{source}: roles.{name}")) for name, patterns in roles.items()},
        permit=permit,
        source=source,
    )


def read_file(path: str) -> Permissions:
    """What a file of TOML says. Raises ConfigurationError."""
    return read_permissions(read_toml(path, "permissions"), path)


def _table(given: Mapping[str, Any], key: str, source: str) -> Mapping[str, Any]:
    table = given.get(key, {})
    if not isinstance(table, Mapping) or not all(isinstance(name, str) and name for name in table):
        raise ConfigurationError(f"{source}: {key} is {shown(table)}; it is a table of names")
    return table


def _person(given: object, where: str) -> Person:
    if not isinstance(given, Mapping):
        return Person(roles=frozenset(_names(given, where)))
    strange = next((key for key in given if key not in _OF_A_PERSON), None)
    if strange is not None:
        raise ConfigurationError(f"{where}: {shown(strange)} means nothing there; a person has roles and teams")
    roles, teams = (frozenset(_names(given.get(key, ()), f"{where}.{key}")) for key in _OF_A_PERSON)
    return Person(roles=roles, teams=teams)


def _names(given: object, where: str) -> list[str]:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list | tuple | set | frozenset) or not all(isinstance(n, str) and n for n in names):
        raise ConfigurationError(f"{where} is {shown(given)}; it is a name or a list of names")
    return sorted(names) if isinstance(names, set | frozenset) else list(names)


def _is_place(permit: object) -> bool:
    parts = permit.split(":") if isinstance(permit, str) else []
    return len(parts) == 2 and all(parts)
