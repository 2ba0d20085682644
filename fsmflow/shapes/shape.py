"""``shape_of(type) -> Shape``: reads a type that a user has declared."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Collection, Mapping, MutableMapping, MutableSequence, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, Literal, NewType, Union, get_args, get_origin

from fsmflow.errors import shown, text_of
from fsmflow.shapes.fault import Fault, Unfit
from fsmflow.shapes.node import ANYTHING, NOTHING, PLACE, SCALARS, Choice, Definitions, Node, Schema, enum_of
from fsmflow.shapes.raw import library_of, plain
from fsmflow.shapes.records import MsgspecStruct, Part, PydanticModel, Record
from fsmflow.shapes.roundtrip import lost_in
from fsmflow.shapes.several import ListOf, MappingOf, OneOf, TupleOf

_LISTS: Final[dict[Any, Callable[[list[Any]], Any]]] = {
    list: list,
    Sequence: list,
    MutableSequence: list,
    set: set,
    AbstractSet: set,
    frozenset: frozenset,
}
_MAPPINGS: Final = (dict, Mapping, MutableMapping)


class Shape:
    """What a declared type says of a whole payload or of all data."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.node = _Reader().node(kind)
        self.name: str = "None" if kind in (None, NoneType) else str(getattr(kind, "__name__", kind))

    @property
    def is_open(self) -> bool:
        """Whether it takes anything, as if nothing were declared."""
        return self.node is ANYTHING or isinstance(self.node, MappingOf)

    @property
    def is_record(self) -> bool:
        """Whether it says which fields there are."""
        return isinstance(self.node, Record | PydanticModel | MsgspecStruct)

    @property
    def fields(self) -> tuple[str, ...] | None:
        """The names of its fields; None where it takes any."""
        return self.node.fields if isinstance(self.node, Record | PydanticModel | MsgspecStruct) else None

    def check(self, value: Mapping[str, Any], what: str, only: Collection[str] | None = None) -> dict[str, Any]:
        """What is stored for ``value``, with defaults filled in. ``only``: what is wrong with other keys than these is
        let pass, as it was there before. What passes can be made again of what is stored. Raises Unfit, whose text
        begins with ``what``."""
        found, is_whole = self._checked(value, what, only)
        if is_whole and self.node.makes:
            self.make(found, what)
        return found

    def _checked(
        self, value: Mapping[str, Any], what: str, only: Collection[str] | None = None
    ) -> tuple[dict[str, Any], bool]:
        """The same, whether or not it can be made again; and whether nothing at all is wrong with it."""
        if self.node is NOTHING:
            if value:
                raise Unfit(what, [Fault((key,), "it takes no payload") for key in value])
            return {}, True
        faults: list[Fault] = []
        found = self.node.check(value, (), faults)
        told = faults if only is None else [each for each in faults if not each.place or each.place[0] in only]
        if told or not isinstance(found, Mapping):
            raise Unfit(what, told or [Fault((), f"{shown(value)} is no mapping of names to values")])
        if only is not None:
            found = {key: found[key] if key in only else value[key] for key in value}
        return dict(found), not faults

    def make(self, stored: Mapping[str, Any], what: str) -> Any:
        """What the type makes of what is stored. Raises Unfit where that does not fit."""
        found, _ = self._checked(stored, what)
        try:
            return self.node.make(found)
        except Exception as error:  # code of the user
            text = f"what is stored of it is read as no {self.name}: {text_of(error)}"
            raise Unfit(what, [Fault((), text)]) from error

    def schema(self) -> Schema:
        """Its JSON schema, with those of the classes in it under ``$defs``."""
        named = Definitions()
        told = self.node.schema(named)
        own = told.get("$ref", "").rpartition("/")[2]
        if own in named and f"'{PLACE}{own}'" not in str(named):
            told = named.pop(own)
        return {**told, **({"$defs": dict(named)} if named else {})}


def shape_of(kind: Any) -> Shape:
    """The shape of a type, read once. Raises TypeError for what cannot be checked or stored, NameError for a name in it
    that is not there yet."""
    return _read(kind)


@cache
def _read(kind: Any) -> Shape:
    return Shape(kind)


class _Reader:
    """Reads a type once; one that holds itself is found again."""

    def __init__(self) -> None:
        self._records: dict[Any, Record] = {}

    def node(self, kind: Any) -> Node:
        while isinstance(kind, NewType) or hasattr(kind, "__value__"):
            kind = kind.__supertype__ if isinstance(kind, NewType) else kind.__value__
        if _is_hashable(kind) and kind in SCALARS:
            return SCALARS[kind]
        origin, given = get_origin(kind), get_args(kind)
        if origin in (typing.Annotated, typing.Required, typing.NotRequired) or str(origin).endswith("ReadOnly"):
            return self.node(given[0])
        if origin is Literal:
            return Choice("one of these", {plain(value): value for value in given}, makes=False)
        if origin in (Union, UnionType):
            return OneOf([self.node(member) for member in given])
        if isinstance(kind, type) and issubclass(kind, Enum):
            return enum_of(kind)
        return self._several(kind, origin or kind, given) or self._record(kind)

    def _several(self, kind: Any, origin: Any, given: tuple[Any, ...]) -> Node | None:
        if not _is_hashable(origin):
            return None
        if origin in _LISTS:
            return ListOf(self.node(given[0]) if given else ANYTHING, _LISTS[origin])
        if origin is tuple:
            if not given or given[-1] is Ellipsis:
                return ListOf(self.node(given[0]) if given else ANYTHING, tuple)
            return TupleOf([self.node(item) for item in given])
        if origin in _MAPPINGS:
            if given and given[0] is not str:
                raise TypeError(f"{kind} has keys that are no str; names are text")
            return MappingOf(self.node(given[1]) if given else ANYTHING)
        return None

    def _record(self, kind: Any) -> Node:
        library = library_of(kind)
        if library is not None:
            fault = lost_in(kind)
            if fault is not None:
                raise TypeError(fault)
            return PydanticModel(kind) if library == "pydantic" else MsgspecStruct(kind)
        if not dataclasses.is_dataclass(kind) and not typing.is_typeddict(kind):
            raise TypeError(
                f"{getattr(kind, '__name__', kind)} is no type that can be checked and stored; it is a dataclass, a "
                f"TypedDict, a pydantic model or a msgspec Struct, of text, numbers, dates, Enums, lists and mappings"
            )
        if kind not in self._records:
            record = self._records[kind] = Record(kind)
            hints = typing.get_type_hints(kind, include_extras=True)
            record.parts.update(
                self._fields(kind, hints) if dataclasses.is_dataclass(kind) else self._keys(kind, hints)
            )
        return self._records[kind]

    def _fields(self, kind: Any, hints: Mapping[str, Any]) -> dict[str, Part]:
        return {
            field.name: Part(node=self.node(hints[field.name]), default=_default_of(field))
            for field in dataclasses.fields(kind)
            if field.init
        }

    def _keys(self, kind: Any, hints: Mapping[str, Any]) -> dict[str, Part]:
        required = _required(kind, hints)
        return {name: Part(node=self.node(hint), optional=name not in required) for name, hint in hints.items()}


def _required(kind: Any, hints: Mapping[str, Any]) -> set[str]:
    """Which keys of a TypedDict have to be there. Where annotations are text, Python itself counts those that say that
    they need not be."""
    said = {name: get_origin(hint) for name, hint in hints.items()}
    left = {name for name in kind.__required_keys__ if said.get(name) is not typing.NotRequired}
    return left | {name for name, origin in said.items() if origin is typing.Required}


def _default_of(field: dataclasses.Field[Any]) -> Callable[[], Any] | None:
    factory = field.default_factory
    if factory is not dataclasses.MISSING:
        return lambda: plain(factory())
    return (lambda: plain(field.default)) if field.default is not dataclasses.MISSING else None


def _is_hashable(kind: Any) -> bool:
    return type(kind).__hash__ is not None
