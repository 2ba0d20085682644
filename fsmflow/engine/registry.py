"""Finds the machines in the modules that the settings name. Nothing is registered by being imported."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Final

from fsmflow.causes import told_of_import
from fsmflow.definition.hooks import Hook
from fsmflow.definition.model import Definition
from fsmflow.errors import ConfigurationError, DefinitionError, UnknownMachine
from fsmflow.settings import MachineSource
from fsmflow.settings.limits import Limit

#: Machines that come with fsmflow; each is as any other, and stands above this floor.
BUILT_IN: Final = ("fsmflow.operations.repair", "fsmflow.operations.notice", "fsmflow.operations.alarm")


class Registry:
    """The machines by name, found at the first look: those of the user, and those that come with fsmflow."""

    def __init__(self, sources: Iterable[MachineSource]) -> None:
        self._sources = tuple(sources)
        self._found: dict[str, Definition] | None = None
        self._own: dict[str, Definition] = {}
        self._hooks: dict[str, tuple[Definition, tuple[Hook, ...]]] = {}

    def all(self) -> dict[str, Definition]:
        """All machines by name, those that come with fsmflow too. Raises ConfigurationError for a module that cannot be
        imported and for two machines of one name, with hooks of one name, or with limits of one name that allow
        different numbers, and DefinitionError for a machine that is wrong."""
        if self._found is None:
            found: dict[str, Definition] = {}
            for source in self._sources:
                for definition in _machines_of(source):
                    _add(found, definition)
            self._own = dict(found)
            for built_in in BUILT_IN:
                for definition in _machines_of(built_in):
                    _add_built_in(found, definition)
            self._hooks = _hooks_of(self._own.values())
            _check_limits(self._own.values())
            self._found = found
        return self._found

    def of_user(self) -> dict[str, Definition]:
        """The machines that the settings name. Raises what ``all`` raises."""
        self.all()
        return self._own

    def hooks(self) -> dict[str, tuple[Definition, tuple[Hook, ...]]]:
        """The hooks of each name, with the machine that has them. Raises what ``all`` raises."""
        self.all()
        return self._hooks

    def get(self, name: str) -> Definition:
        """The machine of this name. Raises UnknownMachine."""
        definition = self.all().get(name)
        if definition is None:
            raise UnknownMachine(name, self.of_user())
        return definition


def is_built_in(machine: str) -> bool:
    """Whether a machine comes with fsmflow: who means all entities of the user's means none of those."""
    return f"fsmflow.operations.{machine}" in BUILT_IN


def definition_of(kind: object) -> Definition | None:
    """The definition of a machine's class; None for anything else, and for a class without states."""
    found = vars(kind).get("_definition") if isinstance(kind, type) else None
    return found if isinstance(found, Definition) else None


def _add(found: dict[str, Definition], definition: Definition) -> None:
    other = found.setdefault(definition.name, definition)
    if other.owner is not definition.owner:
        names = " and ".join(f"{kind.__module__}.{kind.__qualname__}" for kind in (other.owner, definition.owner))
        raise ConfigurationError(f"two machines are called {definition.name!r}: {names}; give one another name=")


def _add_built_in(found: dict[str, Definition], definition: Definition) -> None:
    other = found.setdefault(definition.name, definition)
    if other.owner is not definition.owner:
        kind = f"{other.owner.__module__}.{other.owner.__qualname__}"
        raise ConfigurationError(
            f"machine {other.name!r} of {kind} has the name of one that comes with fsmflow; give it another name="
        )


def _hooks_of(definitions: Iterable[Definition]) -> dict[str, tuple[Definition, tuple[Hook, ...]]]:
    found: dict[str, tuple[Definition, tuple[Hook, ...]]] = {}
    for definition in definitions:
        for name in dict.fromkeys(hook.name for hook in definition.wide.hooks):
            if name in found:
                names = f"{found[name][0].name!r} and {definition.name!r}"
                raise ConfigurationError(f"two machines have a hook {name!r}: {names}; give one another name")
            found[name] = definition, tuple(hook for hook in definition.wide.hooks if hook.name == name)
    return found


def _check_limits(definitions: Iterable[Definition]) -> None:
    """Who names a limit means the same one: each would count what the others began by a number of its own."""
    found: dict[str, tuple[str, Limit]] = {}
    for definition in definitions:
        for limit in (limit for spec in definition.states.values() for limit in spec.limits):
            machine, other = found.setdefault(limit.name, (definition.name, limit))
            if other.numbers != limit.numbers:
                raise ConfigurationError(
                    f"limit {limit.name!r} is {other.numbers} in machine {machine!r} and {limit.numbers} in "
                    f"{definition.name!r}; give it one number, or another name"
                )


def _machines_of(source: MachineSource) -> Iterator[Definition]:
    if isinstance(source, type):
        definition = definition_of(source)
        if definition is None:
            raise ConfigurationError(f"{source!r} is no machine with states")
        yield definition
        return
    for module in _modules_of(source):
        for value in list(vars(module).values()):
            definition = definition_of(value)
            if definition is not None:
                yield definition


def _modules_of(source: str | ModuleType) -> Iterator[ModuleType]:
    module = source if isinstance(source, ModuleType) else _import(source, is_default=source == "machines")
    if module is None:
        return
    yield module
    for found in pkgutil.walk_packages(getattr(module, "__path__", ()), module.__name__ + "."):
        if not found.name.endswith(".__main__"):
            submodule = _import(found.name)
            if submodule is not None:
                yield submodule


def _import(name: str, *, is_default: bool = False) -> ModuleType | None:
    try:
        if is_default and name not in sys.modules and importlib.util.find_spec(name) is None:
            return None
        return importlib.import_module(name)
    except (DefinitionError, ConfigurationError):
        raise
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            why = (
                f"there is no module {error.name!r}, neither in {os.getcwd()} nor where else Python looks; "
                f"FSMFLOW_MACHINES or configure(machines=...) names it"
            )
        else:
            why = told_of_import(error)
        raise ConfigurationError(f"the module {name!r}, searched for machines, cannot be imported: {why}") from error
