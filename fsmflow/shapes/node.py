"""One part of a type: what it lets pass, what it makes of that, and its JSON schema. Here those without parts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from itertools import count
from typing import Any, Final, Protocol
from uuid import UUID

from fsmflow.errors import did_you_mean, shown
from fsmflow.shapes.fault import Fault, Place
from fsmflow.shapes.raw import plain

Schema = dict[str, Any]
#: What the place of a class's schema begins with.
PLACE: Final = "#/$defs/"


class Definitions(dict[str, Schema]):
    """The schemas of classes by name. Two classes of one name have two: the second is ``Line_2``."""

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[Any, str] = {}

    def place_of(self, kind: Any) -> str | None:
        """Where the schema of a class is; None where it is not here yet."""
        return PLACE + self._names[kind] if kind in self._names else None

    def add(self, kind: Any, schema: Schema) -> str:
        """Take the schema of a class, which may still grow. Where it is now."""
        name = self._names[kind] = self._free(kind.__name__)
        self[name] = schema
        return PLACE + name

    def add_all(self, kind: Any, own: str, schemas: Mapping[str, Schema]) -> str:
        """Take what a library says of a class, which it calls ``own``, and of those in it. Where that is now."""
        names: dict[str, str] = {}
        while other := [
            name
            for name, schema in schemas.items()
            if name not in names and name in self and self[name] != _moved(schema, names)
        ]:
            for name in other:
                names[name] = self._free(name, {*schemas, *names.values()})
        self.update({names.get(name, name): _moved(schema, names) for name, schema in schemas.items()})
        self._names[kind] = names.get(own, own)
        return PLACE + self._names[kind]

    def _free(self, name: str, others: Collection[str] = ()) -> str:
        tries = (name if number == 1 else f"{name}_{number}" for number in count(1))
        return next(found for found in tries if found not in self and found not in others)


def _moved(told: Any, names: Mapping[str, str]) -> Any:
    """A schema whose references are those to other names."""
    if isinstance(told, dict):
        return {key: _moved(item, names) for key, item in told.items()}
    if isinstance(told, list):
        return [_moved(item, names) for item in told]
    if isinstance(told, str) and told.startswith(PLACE):
        return PLACE + names.get(told.removeprefix(PLACE), told.removeprefix(PLACE))
    return told


class Node(Protocol):
    """``name``: what people call it. ``makes``: what is made of a stored value is another one."""

    @property
    def name(self) -> str: ...

    @property
    def makes(self) -> bool: ...

    def check(self, value: Any, place: Place, faults: list[Fault]) -> Any:
        """What is stored for a value; what does not fit is added to ``faults``."""
        ...

    def make(self, stored: Any) -> Any:
        """The value that is meant by what is stored. Raises what classes of the user raise."""
        ...

    def schema(self, named: Definitions) -> Schema:
        """Its JSON schema; those of classes are put into ``named``."""
        ...


class Scalar:
    """Text, a number, a moment: ``read`` gives what is stored, and raises where a value is none."""

    makes = False

    def __init__(self, name: str, read: Callable[[Any], Any], schema: Schema) -> None:
        self.name, self._read, self._schema = name, read, schema

    def check(self, value: Any, place: Place, faults: list[Fault]) -> Any:
        """As Node says."""
        try:
            return self._read(value)
        except (ValueError, TypeError, ArithmeticError):
            faults.append(Fault(place, f"{shown(value)} is no {self.name}"))
            return value

    def make(self, stored: Any) -> Any:
        """As Node says."""
        return stored

    def schema(self, named: Definitions) -> Schema:
        """As Node says."""
        return dict(self._schema)


class Choice:
    """One of several values: of an Enum, whose members are made of them, or of a Literal."""

    def __init__(self, name: str, values: Mapping[Any, Any], *, makes: bool) -> None:
        self.name, self._values, self.makes = name, values, makes

    def check(self, value: Any, place: Place, faults: list[Fault]) -> Any:
        """As Node says."""
        given = plain(value)
        for stored in self._values:
            if stored == given and type(stored) is type(given):
                return stored
        every = ", ".join(map(repr, self._values))
        hint = did_you_mean(given, [one for one in self._values if isinstance(one, str)])
        faults.append(Fault(place, f"{shown(value)} is none of {every}{hint}"))
        return value

    def make(self, stored: Any) -> Any:
        """As Node says."""
        return self._values[stored]

    def schema(self, named: Definitions) -> Schema:
        """As Node says."""
        kinds = {_JSON_KINDS.get(type(value)) for value in self._values}
        (kind,) = kinds if len(kinds) == 1 else (None,)
        return {**({"type": kind} if kind else {}), "enum": list(self._values)}


def enum_of(kind: type[Enum]) -> Choice:
    """The members of an Enum by what is stored of them."""
    return Choice(kind.__name__, {plain(member): member for member in kind}, makes=True)


def _exact(*kinds: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise TypeError
        return plain(value)

    return read


def _float(value: Any) -> float:
    return float(_exact(int, float)(value))


def _moment(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def _day(value: Any) -> date:
    if isinstance(value, datetime):
        raise TypeError
    return value if isinstance(value, date) else date.fromisoformat(value)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool):
        raise TypeError
    return value if isinstance(value, Decimal) else Decimal(str(value) if isinstance(value, float) else value)


def _uuid(value: Any) -> UUID:
    if not isinstance(value, (str, UUID)):
        raise TypeError
    return value if isinstance(value, UUID) else UUID(value)


ANYTHING: Final = Scalar("Any", plain, {})
NOTHING: Final = Scalar("None", _exact(type(None)), {"type": "null"})
SCALARS: Final[dict[Any, Scalar]] = {
    Any: ANYTHING,
    object: ANYTHING,
    None: NOTHING,
    type(None): NOTHING,
    str: Scalar("str", _exact(str), {"type": "string"}),
    int: Scalar("int", _exact(int), {"type": "integer"}),
    float: Scalar("float", _float, {"type": "number"}),
    bool: Scalar("bool", _exact(bool), {"type": "boolean"}),
    datetime: Scalar("datetime", _moment, {"type": "string", "format": "date-time"}),
    date: Scalar("date", _day, {"type": "string", "format": "date"}),
    Decimal: Scalar("Decimal", _decimal, {"type": ["string", "number"], "format": "decimal"}),
    UUID: Scalar("UUID", _uuid, {"type": "string", "format": "uuid"}),
}
_JSON_KINDS: Final[dict[type, str]] = {str: "string", int: "integer", float: "number", bool: "boolean"}
