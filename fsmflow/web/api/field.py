"""What may come with a request, field by field: read, checked, and told in OpenAPI."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from fsmflow.codec import decode
from fsmflow.errors import DataError, did_you_mean, shown
from fsmflow.objects.fields import read_json
from fsmflow.values import dataclass

#: What no database stores as a part of a text, and no name has.
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a field holds. ``fits``: whether a value of JSON is one. ``read``: makes of the text in a query what JSON
    would have; raises ValueError."""

    name: str
    schema: Mapping[str, Any]
    fits: Callable[[Any], bool]
    read: Callable[[str], Any] = str


def _flag(text: str) -> bool:
    return {"true": True, "false": False}[text]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(text: str) -> int:
    if re.fullmatch(r"-?[0-9]{1,18}", text) is None:
        raise ValueError
    return int(text)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


TEXT: Final = Kind(name="text", schema={"type": "string"}, fits=lambda value: isinstance(value, str))
FLAG: Final = Kind(
    name="true or false", schema={"type": "boolean"}, fits=lambda value: isinstance(value, bool), read=_flag
)
WHOLE: Final = Kind(name="a whole number", schema={"type": "integer"}, fits=_is_whole, read=_whole)
NUMBER: Final = Kind(name="a number", schema={"type": "number"}, fits=_is_number)
TEXTS: Final = Kind(name="a list of texts", schema={"type": "array", "items": {"type": "string"}}, fits=_are_texts)
OBJECT: Final = Kind(
    name="an object", schema={"$ref": "#/components/schemas/Data"}, fits=lambda value: isinstance(value, dict)
)
MOMENT: Final = Kind(
    name="a day or a moment", schema={"type": "string"}, fits=lambda value: isinstance(value, str | datetime)
)
#: A number or a text, such as an id.
NAME: Final = Kind(
    name="text or a whole number",
    schema={"type": ["string", "integer"]},
    fits=lambda value: isinstance(value, str) or _is_whole(value),
)


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of a body, or a parameter of a query. ``choices``: what alone it may be. ``least`` and ``most``: the
    bounds of a whole number. ``default`` stands there where it is not given."""

    name: str
    kind: Kind
    told: str
    is_required: bool = False
    choices: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    default: Any = None

    def checked(self, value: Any) -> Any:
        """The value as it is. Raises DataError."""
        if not self.kind.fits(value):
            raise DataError(f"{self.name} is {shown(value)}; it is {self.kind.name}")
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and _CONTROL.search(text):
                raise DataError(f"{self.name} is {shown(text)}, which has control characters")
            if self.choices and text not in self.choices:
                near = did_you_mean(text, self.choices)
                raise DataError(f"{self.name} is {shown(text)}{near}; it is one of {', '.join(self.choices)}")
        if self.least is not None and value < self.least:
            raise DataError(f"{self.name} is {shown(value)}; it is a whole number from {self.least}")
        if self.most is not None and value > self.most:
            raise DataError(f"{self.name} is {shown(value)}; it is {self.most:,} at most")
        return value

    @property
    def schema(self) -> dict[str, Any]:
        """The same for OpenAPI."""
        found = dict(self.kind.schema)
        if self.choices and self.kind is TEXTS:
            found["items"] = {"type": "string", "enum": list(self.choices)}
        elif self.choices:
            found["enum"] = list(self.choices)
        bounds = {"minimum": self.least, "maximum": self.most, "default": self.default}
        return {**found, **{name: bound for name, bound in bounds.items() if bound is not None}}


def body_of(fields: Sequence[Field], raw: bytes) -> dict[str, Any]:
    """What came with a request, JSON of the forms that data are stored in; an empty body is an empty object. Raises
    DataError."""
    if not raw.strip():
        return _filled(fields, {}, "the body")
    try:
        text = raw.decode()
        read_json(text)
        found = decode(text)
    except (ValueError, ArithmeticError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"the body is no JSON that can be read: {error or type(error).__name__}") from error
    if not isinstance(found, dict):
        raise DataError(f"the body is {shown(found)}; it is a JSON object")
    return _filled(fields, {name: value for name, value in found.items() if value is not None}, "the body")


def query_of(fields: Sequence[Field], pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The parameters of a request. Raises DataError."""
    known, found = {field.name: field for field in fields}, dict[str, Any]()
    for name, text in pairs:
        field = known.get(name)
        if field is not None and field.kind is TEXTS:
            found.setdefault(name, []).append(text)
        elif name in found:
            raise DataError(f"{name} is given twice")
        else:
            found[name] = text if field is None else _value(field, text)
    return _filled(fields, found, "the query")


def _value(field: Field, text: str) -> Any:
    try:
        return field.kind.read(text)
    except (ValueError, KeyError) as error:
        raise DataError(f"{field.name} is {shown(text)}; it is {field.kind.name}") from error


def _filled(fields: Sequence[Field], found: Mapping[str, Any], where: str) -> dict[str, Any]:
    known = {field.name: field for field in fields}
    for name in found:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes nothing"
            raise DataError(f"{where} has {shown(name)}{did_you_mean(name, known)}; {takes}")
    lacking = [field.name for field in fields if field.is_required and field.name not in found]
    if lacking:
        raise DataError(f"{where} lacks {', '.join(lacking)}")
    return {field.name: field.checked(found[field.name]) if field.name in found else field.default for field in fields}


def moment_of(value: str | datetime | None, name: str) -> datetime | None:
    """A day or a moment, in UTC where it has no zone. Raises DataError."""
    if value is None:
        return None
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except ValueError as error:
        hint = "write a day, 2030-12-24, or a moment, 2030-12-24T18:00:00Z"
        raise DataError(f"{name} is {shown(value)}, which is no moment; {hint}") from error
    return found if found.utcoffset() is not None else found.replace(tzinfo=UTC)


def canonical(body: Mapping[str, Any]) -> str:
    """A body as one text, whatever the order of its fields; what JSON has no form for is named by its type."""
    return json.dumps(body, sort_keys=True, default=lambda value: [type(value).__name__, str(value)])
