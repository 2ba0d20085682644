"""Turns the names and functions of a definition into callables that take the machine."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

from fsmflow.causes import told_of_import
from fsmflow.definition.jobmethod import as_written
from fsmflow.definition.model import Bound
from fsmflow.definition.parse import plain_name
from fsmflow.errors import did_you_mean, shown

#: The name of the type, alone or as a part of another.
_OUTCOME = re.compile(r"(?<![A-Za-z_])Outcome\b")


class Binder:
    """Resolves what one class refers to; collects a fault for each reference that is wrong.

    ``taken``: the names of Machine itself, which are no guards, callbacks or jobs.
    """

    def __init__(self, owner: type, taken: frozenset[str], faults: list[str]) -> None:
        self._owner = owner
        self._taken = taken
        self._faults = faults

    def callbacks(self, refs: Any, role: str, where: str) -> tuple[Bound, ...]:
        """Bind one or several guards or callbacks."""
        bound = (self.callable(ref, role, where) for ref in as_list(refs))
        return tuple(item for item in bound if item is not None)

    def callable(
        self,
        ref: Any,
        role: str,
        where: str,
        *,
        may_be_async: bool = False,
        may_yield: bool = False,
        takes_item: bool = False,
    ) -> Bound | None:
        """Bind one reference; None, and a fault, where it is wrong. ``role``: "guard", "job", ..."""
        found = self._find(ref, role, where)
        if found is None:
            return None
        function, is_method, bound = found
        fault = _signature_fault(function, is_method, takes_item) or _kind_fault(
            function, role, may_be_async, may_yield
        )
        if fault:
            self._faults.append(f"{where}: {role} {shown(ref_name(ref))} {fault}")
            return None
        return bound

    def takes_item(self, ref: Any) -> bool:
        """Whether a reference is to something that takes an item besides the machine. Tells of no faults."""
        silent = Binder(self._owner, self._taken, [])
        return silent.callable(ref, "job", "", may_be_async=True, takes_item=True) is not None

    def may_return_outcome(self, ref: Any) -> bool:
        """Whether a reference is to something that says, as its annotation, that it returns an Outcome. Tells of no
        faults."""
        found = Binder(self._owner, self._taken, [])._find(ref, "job", "")  # noqa: SLF001 - its own kind
        returns = None if found is None else getattr(found[0], "__annotations__", {}).get("return")
        text = returns if isinstance(returns, str) else getattr(returns, "__qualname__", None) or str(returns)
        return _OUTCOME.search(text) is not None

    def has_method(self, name: str) -> bool:
        """Whether the class has an attribute of this name that is not Machine's own."""
        return name not in self._taken and any(name in vars(kind) for kind in self._owner.__mro__)

    def _find(self, ref: Any, role: str, where: str) -> tuple[Callable[..., Any], bool, Bound] | None:
        if isinstance(ref, str):
            name = plain_name(ref)
            return self._dotted(name, role, where) if "." in name else self._method(name, role, where)
        if callable(ref):
            return ref, False, ref
        self._faults.append(f"{where}: {role} {shown(ref)} is neither a name nor a function")
        return None

    def _method(self, name: str, role: str, where: str) -> tuple[Callable[..., Any], bool, Bound] | None:
        found = [kind.__dict__[name] for kind in self._owner.__mro__ if name in kind.__dict__]
        if not found:
            hint = did_you_mean(name, self._method_names())
            self._faults.append(f"{where}: there is no method {shown(name)} for {role}{hint}")
            return None
        if name in self._taken or name.startswith("__"):
            self._faults.append(f"{where}: {role} {name!r} is a name of Machine itself; choose another")
            return None
        attribute = as_written(found[0])
        if isinstance(attribute, property) and attribute.fget is not None:
            return attribute.fget, True, attribute.fget
        if isinstance(attribute, (staticmethod, classmethod)):
            function = getattr(self._owner, name)
            if isinstance(attribute, classmethod):
                return attribute.__func__, True, _of_class(function, attribute.__func__)
            return function, False, function
        if not callable(attribute):
            self._faults.append(f"{where}: {role} {name!r} is {shown(attribute)}, not a method")
            return None
        return attribute, True, attribute

    def _dotted(self, path: str, role: str, where: str) -> tuple[Callable[..., Any], bool, Bound] | None:
        module_name, _, name = path.rpartition(".")
        try:
            module = importlib.import_module(module_name)
            function = getattr(module, name, None)
        except Exception as error:  # noqa: BLE001 - the module is the user's, and may raise whatever it likes
            self._faults.append(f"{where}: {role} {shown(path)} cannot be imported: {told_of_import(error)}")
            return None
        if function is None:
            hint = did_you_mean(name, dir(module))
            self._faults.append(
                f"{where}: {role} {shown(path)}: module {shown(module_name)} has no {shown(name)}{hint}"
            )
            return None
        if not callable(function):
            self._faults.append(f"{where}: {role} {shown(path)} is {shown(function)}, not a function")
            return None
        return function, False, function

    def _method_names(self) -> list[str]:
        return [name for name in dir(self._owner) if not name.startswith("__") and name not in self._taken]


def _of_class(function: Callable[..., Any], written: Any) -> Bound:
    """A class method, as all else that is bound: it takes the machine."""

    def call(machine: Any, *item: Any) -> Any:
        return function(*item)

    call.__name__ = written.__name__
    call.__wrapped__ = written  # type: ignore[attr-defined]
    return call


def as_list(refs: Any) -> list[Any]:
    """One, several or no references, as a list."""
    if refs is None:
        return []
    if isinstance(refs, Sequence) and not isinstance(refs, str):
        return list(refs)
    return [refs]


def ref_name(ref: Any) -> str:
    """How a reference is called in messages, diagrams and refusals."""
    name = plain_name(ref) if isinstance(ref, str) else getattr(ref, "__name__", None)
    return name if isinstance(name, str) else shown(ref)


def _signature_fault(function: Callable[..., Any], is_method: bool, takes_item: bool) -> str | None:
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return None
    try:
        signature.bind(*[object()] * (2 if takes_item else 1))
    except TypeError:
        if takes_item:
            wanted = "with each= it takes " + ("self and the item" if is_method else "the machine and the item")
        else:
            wanted = "a method takes nothing but self" if is_method else "a function takes one argument, the machine"
        return f"has the wrong signature {signature}: {wanted}"
    return None


def _kind_fault(function: Callable[..., Any], role: str, may_be_async: bool, may_yield: bool) -> str | None:
    # An object with a __call__ is what its __call__ is.
    called = [function, getattr(type(function), "__call__", None)]  # noqa: B004 - it is asked what it is
    if any(inspect.isasyncgenfunction(item) for item in called):
        return f"is an async generator; a {role} is none"
    if any(inspect.isgeneratorfunction(item) for item in called) and not may_yield:
        return f"is a generator; a {role} returns its result"
    if any(inspect.iscoroutinefunction(item) for item in called) and not may_be_async:
        return f"is async; only jobs may be, as a {role} does no I/O"
    return None
