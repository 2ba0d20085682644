"""Data as people write them in a line: ``k=text``, ``k:=json``, ``k:date=2030-01-31``, ``k:>=1000``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, NoReturn
from uuid import UUID

from fsmflow.decision.terms import Condition, condition
from fsmflow.errors import did_you_mean, shown
from fsmflow.values import dataclass


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
#: What a duration is written in.
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
#: The first of these is the comparison.
_COMPARISON: Final = re.compile(r"[<>]=?|=")


def read_field(text: str, typed: str) -> tuple[str, Any]:
    """``k=text``, ``k:=json`` or ``k:type=text``: the name and its value. ``typed``: what the person typed, which is
    what an error shows. Raises ValueError."""
    left, equals, value = text.partition("=")
    if not equals or left in ("", ":"):
        raise ValueError(f"{shown(typed)} is neither name=text nor name:=json nor name:type=text")
    try:
        name, read = reader_of(left)
        return name, read(value)
    except ValueError as error:
        raise ValueError(f"{shown(typed)}: {error}") from error


def read_condition(text: str) -> Condition:
    """What ``read_field`` takes, or one of the other comparisons in the place of its ``=``. Raises ValueError, and
    DataError for what cannot be compared."""
    found = _COMPARISON.search(text)
    operator = found[0] if found else "="
    name, value = read_field(text.replace(operator, "=", 1), text)
    return condition(name, operator, value)


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


def read_milliseconds(text: str) -> int:
    """``90s``, ``10m``, ``2h``, ``3d`` or ``1w``, in milliseconds. Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if found is None:
        raise ValueError(f"{shown(text)} is no duration; write a whole number and s, m, h, d or w: 90s, 10m, 3d")
    return int(found[1]) * SECONDS[found[2]] * 1000


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


def read_json(text: str) -> Any:
    """The JSON value of a text. Raises ValueError, also for NaN and for what is nested too deep to be read."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
