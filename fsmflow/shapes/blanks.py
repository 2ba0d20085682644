"""The fields of a form that a JSON schema comes to, and what was filled in as the values that are meant."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from fsmflow import codec
from fsmflow.values import dataclass

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TRUTHS: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_HINTS: Final = {"date": "As 2030-01-31.", "date-time": "As 2030-01-31T18:00:00+00:00."}


@dataclass(frozen=True, kw_only=True)
class Blank:
    """One field of a form. ``kind``: ``text``, ``number``, ``choice``, ``check`` or ``area``, which takes JSON.
    ``is_optional``: left empty it is not given. ``takes_null``: it may be nothing."""

    name: str
    kind: str
    values: tuple[Any, ...] = ()
    hint: str = ""
    default: Any = None
    is_optional: bool = False
    takes_null: bool = False
    is_whole: bool = False

    def value_of(self, text: str) -> Any:
        """What a text means; the text itself where it means nothing here, as the check tells what is wrong."""
        found = text.strip()
        if self.takes_null and found in ("", "null"):
            return None
        if self.kind == "choice":
            return next((value for value in self.values if written(value) == found), text)
        if self.kind == "check":
            return _TRUTHS.get(found.lower(), text)
        if self.kind == "number":
            return _number(found, text, is_whole=self.is_whole)
        return text if self.kind == "text" else _json(found, text)


def blanks_of(schema: Mapping[str, Any]) -> dict[str, Blank]:
    """The fields of a schema by name; none where it has no properties."""
    named = schema.get("$defs", {})
    whole = _resolved(schema, named)
    required = whole.get("required", ())
    return {
        name: _blank(name, _resolved(each, named), named, is_optional=name not in required)
        for name, each in whole.get("properties", {}).items()
    }


def written(value: Any) -> str:
    """A value as it stands in a field."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(json.loads(codec.encode(value)), ensure_ascii=False)


def _blank(name: str, schema: Mapping[str, Any], named: Mapping[str, Any], *, is_optional: bool) -> Blank:
    default = schema.get("default")
    members = [_resolved(each, named) for each in schema.get("anyOf", ())]
    real = [each for each in members if each.get("type") != "null"]
    takes_null = len(real) < len(members)
    if members and len(real) == 1:
        schema = real[0]
    kinds = schema.get("type")
    same: dict[str, Any] = {"name": name, "default": default, "is_optional": is_optional, "takes_null": takes_null}
    if "enum" in schema or "const" in schema:
        return Blank(**same, kind="choice", values=tuple(schema.get("enum", [schema.get("const")])))
    if kinds == "boolean":
        return Blank(**same, kind="choice" if takes_null else "check", values=(True, False))
    if kinds in ("integer", "number"):
        return Blank(**same, kind="number", is_whole=kinds == "integer")
    if kinds == "string" or (isinstance(kinds, list) and "string" in kinds) or _is_decimal(real):
        return Blank(**same, kind="text", hint=_HINTS.get(schema.get("format", ""), ""))
    return Blank(**same, kind="area", hint="JSON.")


def _is_decimal(members: list[Mapping[str, Any]]) -> bool:
    """How pydantic says that it is an exact number."""
    return len(members) > 1 and {each.get("type") for each in members} == {"number", "string"}


def _resolved(schema: Mapping[str, Any], named: Mapping[str, Any]) -> Mapping[str, Any]:
    found = named.get(str(schema.get("$ref", "")).rpartition("/")[2])
    return schema if found is None else {**found, **{key: value for key, value in schema.items() if key != "$ref"}}


def _number(found: str, text: str, *, is_whole: bool) -> Any:
    if _WHOLE.fullmatch(found):
        return int(found)
    return float(found) if not is_whole and _NUMBER.fullmatch(found) else text


def _json(found: str, text: str) -> Any:
    try:
        return codec.decode(found)
    except (ValueError, ArithmeticError, TypeError, RecursionError):
        return text
