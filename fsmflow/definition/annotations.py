"""Reads the types that a class declares: ``approve: Trigger[Approval]`` in its body, and ``Machine[OrderData]``."""

from __future__ import annotations

import sys
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from types import GenericAlias
from typing import Any, Final, TypeVar, get_args, get_origin

from fsmflow import shapes
from fsmflow.definition.names import ENGINE_TRIGGERS, METHOD_TRIGGERS
from fsmflow.errors import DefinitionError, did_you_mean

#: What the class ``Trigger`` says of itself, which is above this floor.
TRIGGER_MARK: Final = "_is_trigger"


class Declared:
    """A type, as it was declared ``where``. It is read as the class is created; where a name in it is not there yet,
    when it is first needed."""

    def __init__(self, where: str, written: Any, owner: type) -> None:
        self.where = where
        self.written = written
        self._owner = owner

    @cached_property
    def shape(self) -> shapes.Shape:
        """What it says. Raises DefinitionError."""
        try:
            return shapes.shape_of(self._kind({}))
        except (NameError, TypeError) as error:
            fault = f"{self.where}: {_told(error)}"
            raise DefinitionError(self._owner.__name__, [fault]) from error

    def read(self) -> str | None:
        """Read it as far as it can be already; the fault of one that is none."""
        try:
            self.shape = shapes.shape_of(self._kind({}))
        except NameError:
            return self._read_with_locals()
        except TypeError as error:
            return f"{self.where}: {error}"
        return None

    def _read_with_locals(self) -> str | None:
        """The same for a class in a function, whose names only that has."""
        try:
            self.shape = shapes.shape_of(self._kind(_locals()))
        except NameError:
            return None  # it may be there later, and is asked for then
        except TypeError as error:
            return f"{self.where}: {error}"
        return None

    def _kind(self, local: Mapping[str, Any]) -> Any:
        """The type itself. Raises NameError."""
        kind = _evaluated(self.written, self._owner, local)
        if get_origin(kind) is None and hasattr(kind, TRIGGER_MARK):
            return None
        if hasattr(get_origin(kind), TRIGGER_MARK):
            (kind,) = get_args(kind) or (None,)
        return _evaluated(kind, self._owner, local) if isinstance(kind, str) else kind


class _NotImported:
    """Stands for ``Trigger`` where that is imported for type checkers alone."""

    _is_trigger = True
    __class_getitem__: Any = classmethod(GenericAlias)


def read_types(
    owner: type, triggers: Collection[str], faults: list[str]
) -> tuple[dict[str, Declared], Declared | None]:
    """The types of payloads by their triggers, and that of the data, of the classes above too."""
    own = [kind for kind in owner.__mro__ if not kind.__module__.startswith("fsmflow.")]
    return _payloads(own, triggers, faults), _data(own, faults)


def _payloads(own: Sequence[type], triggers: Collection[str], faults: list[str]) -> dict[str, Declared]:
    found: dict[str, Declared] = {}
    for kind, name, written in _annotated(own):
        if name in found:
            continue
        declared = found[name] = Declared(f"{kind.__name__}.{name}: {_text(written)}", written, kind)
        fault = _misplaced(name, triggers)
        fault = f"{declared.where}: {fault}" if fault is not None else declared.read()
        if fault is not None:
            faults.append(fault)
    return found


def _data(own: Sequence[type], faults: list[str]) -> Declared | None:
    """What ``Machine`` was given in brackets by the class, or by one above."""
    found = next(_parameters(own), None)
    if found is None:
        return None
    kind, given = found
    where = f"class {kind.__name__}(Machine[{getattr(given, '__name__', given)}])"
    declared = Declared(where, given, kind)
    fault = declared.read() or (_unsuitable(own[0], declared.shape) if "shape" in vars(declared) else None)
    if fault is not None:
        faults.append(fault if fault.startswith(where) else f"{where}: {fault}")
    return declared


def _parameters(own: Sequence[type]) -> Iterator[tuple[type, Any]]:
    """What ``Machine`` or a class of the user's was given in brackets, and by which class."""
    for kind in own:
        for base in vars(kind).get("__orig_bases__", ()):
            given = get_args(base)
            if len(given) == 1 and hasattr(get_origin(base), "_compiled") and not isinstance(given[0], TypeVar):
                yield kind, given[0]


def _unsuitable(owner: type, shape: shapes.Shape) -> str | None:
    """Why a type cannot be that of data; None where it can."""
    if not (shape.is_record or shape.is_open):
        return "data are a mapping of names to values; their type is one that has fields"
    if getattr(owner, "schedule", None) is not None and shape.fields is not None and "scheduled_at" not in shape.fields:
        return "a machine with schedule= begins with scheduled_at; add scheduled_at: datetime | None = None"
    return None


def _annotated(own: Sequence[type]) -> Iterator[tuple[type, str, Any]]:
    """What is annotated as a trigger in a class of the user's: the class, the name, and what was written."""
    for kind in own:
        for name, written in vars(kind).get("__annotations__", {}).items():
            if _is_trigger(kind, written):
                yield kind, name, written


def _is_trigger(kind: type, written: Any) -> bool:
    if not isinstance(written, str):
        return hasattr(get_origin(written) or written, TRIGGER_MARK)
    path = written.partition("[")[0].strip().split(".")
    found: Any = vars(sys.modules.get(kind.__module__, sys)).get(path[0])
    for part in path[1:]:
        found = getattr(found, part, None)
    return hasattr(found, TRIGGER_MARK) or (found is None and path[-1] == "Trigger")


def _misplaced(name: str, triggers: Collection[str]) -> str | None:
    """What is wrong with a type for a trigger of this name; None where nothing is."""
    if name in METHOD_TRIGGERS:
        return f"{name}() is a method of fsmflow, which has its own type; leave this out"
    if name in ENGINE_TRIGGERS:
        return f"{name!r} belongs to the engine, and nobody fires it from outside; leave this out"
    if name not in triggers:
        own = [trigger for trigger in triggers if trigger not in (*METHOD_TRIGGERS, *ENGINE_TRIGGERS)]
        return f"there is no trigger {name!r}{did_you_mean(name, own) or _listed(own)}"
    return None


def _listed(triggers: Collection[str]) -> str:
    return f"; its triggers are {', '.join(dict.fromkeys(sorted(triggers)))}" if triggers else "; it has no triggers"


def _evaluated(written: Any, owner: type, local: Mapping[str, Any]) -> Any:
    """What an annotation means that is text, or has text in it. Raises NameError."""
    holder = type("holder", (), {"__annotations__": {"kind": written}, "__module__": owner.__module__})
    here = {"Trigger": _NotImported, **vars(sys.modules.get(owner.__module__, sys)), owner.__name__: owner, **local}
    found = typing.get_type_hints(holder, localns=here, include_extras=True)["kind"]
    return None if found is type(None) else found


def _locals() -> Mapping[str, Any]:
    """The names of the function in which the class is being created."""
    frame: Any = sys._getframe(1)  # noqa: SLF001 - nothing else knows them
    while frame is not None and frame.f_code.co_name != "__init_subclass__":
        frame = frame.f_back
    while frame is not None and frame.f_code.co_name == "__init_subclass__":
        frame = frame.f_back
    return {} if frame is None else dict(frame.f_locals)


def _text(written: Any) -> str:
    if isinstance(written, str):
        return written
    given = ", ".join(getattr(kind, "__name__", str(kind)) for kind in get_args(written))
    return f"Trigger[{given}]" if given else "Trigger"


def _told(error: Exception) -> str:
    if isinstance(error, NameError):
        return f"{error} as the program runs; import it outside of 'if TYPE_CHECKING:'"
    return str(error)
