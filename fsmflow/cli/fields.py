"""Data as they are written on a command line: ``k=text``, ``k:=json``, ``k:date=2030-01-31``, and whole objects."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NoReturn
from uuid import UUID

import click

from fsmflow.cli import output
from fsmflow.decision.terms import Condition, condition
from fsmflow.errors import DataError, did_you_mean, shown
from fsmflow.values import dataclass

#: What ``HELP`` explains.
FIELD: Final = "NAME=VALUE"


@dataclass(frozen=True)
class Type:
    """What a text can be read as. ``form``: how it is to be written; ``read`` raises ValueError or ArithmeticError."""

    meaning: str
    example: str
    form: str
    read: Callable[[str], Any]


def _decimal(text: str) -> Decimal:
    found = Decimal(text)
    if not found.is_finite():
        raise ValueError
    return found


def _datetime(text: str) -> datetime:
    # Python would read a day alone as its midnight, which nobody has said.
    if not text[10:]:
        raise ValueError
    return datetime.fromisoformat(text)


TYPES: Final = {
    "decimal": Type("an exact number", "amount:decimal=12.30", "digits with a point", _decimal),
    "date": Type("a day", "due:date=2030-01-31", "year, month and day", date.fromisoformat),
    "datetime": Type(
        "a moment, with its offset from UTC", "at:datetime=2030-01-31T09:00+01:00", "a day and a time", _datetime
    ),
    "uuid": Type("a UUID", "ref:uuid=01990a3b-5c1e-7c40-9a51-2f0e6d8b4c17", "32 hexadecimal digits", UUID),
}
_FORMS: Final = (
    ("customer=ada", "text"),
    ("amount:=1500", "JSON: numbers, true, null, lists, objects"),
    *((kind.example, kind.meaning) for kind in TYPES.values()),
)
#: The first of these is the comparison.
_COMPARISON: Final = re.compile(r"[<>]=?|=")
#: What the help of each command says that takes fields.
HELP: Final = f"\b\n{FIELD} is one of\n" + "\n".join(f"  {example:<45}  {meaning}" for example, meaning in _FORMS)


def as_field(text: str) -> tuple[str, Any]:
    """``k=text``, ``k:=json`` or ``k:type=text``: the name and its value. Raises BadParameter."""
    return _read_field(text, text)


def _read_field(text: str, typed: str) -> tuple[str, Any]:
    """``typed``: what the person typed, which is what an error shows."""
    left, equals, value = text.partition("=")
    if not equals or left in ("", ":"):
        raise click.BadParameter(f"{shown(typed)} is neither name=text nor name:=json nor name:type=text")
    try:
        name, read = reader_of(left)
        return name, read(value)
    except ValueError as error:
        raise click.BadParameter(f"{shown(typed)}: {error}") from error


def as_condition(text: str) -> Condition:
    """What ``as_field`` takes, or one of the other comparisons in the place of its ``=``. Raises BadParameter."""
    found = _COMPARISON.search(text)
    operator = found[0] if found else "="
    name, value = _read_field(text.replace(operator, "=", 1), text)
    if operator != "=" and isinstance(value, str) and re.fullmatch(r"-?[0-9.]+", value):
        output.note(f"{text} compares texts, letter by letter; a number is written {name}:{operator}{value}")
    try:
        return condition(name, operator, value)
    except DataError as error:
        raise click.BadParameter(str(error)) from error


def reader_of(written: str) -> tuple[str, Callable[[str], Any]]:
    """``name``, ``name:`` or ``name:type``: the name, and what reads its text. Both raise ValueError, in words."""
    name, colon, kind = written.rpartition(":")
    if not colon:
        return written, str
    if not name:
        raise ValueError(f"{shown(written)} has no name before its ':'")
    if not kind:
        return name, _json_of
    if kind not in TYPES:
        raise ValueError(
            f"there is no type {shown(kind)}, but {', '.join(TYPES)}; a number is written name:=5, "
            f"and text name=text{did_you_mean(kind, TYPES)}"
        )
    return name, lambda text: _read_as(name, kind, text)


def _json_of(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError as error:
        raise ValueError(f"{shown(text)} is not JSON ({error}); for plain text leave the ':' out") from error


def _read_as(name: str, kind: str, text: str) -> Any:
    found = TYPES[kind]
    try:
        return found.read(text)
    except (ValueError, ArithmeticError) as error:
        right = found.example.partition("=")[2]
        raise ValueError(f"{shown(text)} is no {kind}; write {found.form}, as in {name}:{kind}={right}") from error


def as_object(text: str) -> dict[str, Any]:
    """A JSON object: the text itself, ``@file`` that holds it, or ``@-`` for standard input. Raises BadParameter."""
    where = text[:200] if text.startswith("@") else "the text"
    try:
        found = read_json(_contents(text[1:]) if text.startswith("@") else text)
    except OSError as error:
        raise click.BadParameter(f"{where} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise click.BadParameter(f"{where} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise click.BadParameter(f"{where} holds {str(found)[:60]!r}; it has to be a JSON object, as in '{{\"k\": 1}}'")
    return found


def as_patch(text: str) -> dict[str, Any]:
    """What ``as_field`` or ``as_object`` takes: an object. Raises BadParameter."""
    return as_object(text) if text.startswith(("{", "@")) else dict([as_field(text)])


def read_json(text: str) -> Any:
    """The JSON value of a text. Raises ValueError, also for NaN and for what is nested too deep to be read."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _contents(path: str) -> str:
    return sys.stdin.buffer.read().decode() if path == "-" else Path(path).read_text(encoding="utf-8")


def merged(data: dict[str, Any] | None, fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """What ``--data`` gave, and over it what was written field by field."""
    return {**(data or {}), **dict(fields)}
