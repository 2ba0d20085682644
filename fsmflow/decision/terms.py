"""Values of data as texts that sort as the values do, so that one column of one index finds and orders all of them.

A text begins with its kind, so that only what is alike is compared: nothing, truth, numbers of every sort by value,
days, moments without and with a zone, UUIDs, and texts. A list or an object has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from fsmflow.errors import DataError, did_you_mean, shown
from fsmflow.values import dataclass

#: The most characters of a term, as the table has it. Longer texts are told apart by a digest, and sort by how they
#: begin.
MAX_TERM: Final = 200
_WHOLE: Final = 190
_BEGINNING: Final = 140
#: Digits of a number that count, and the exponents that do.
_DIGITS: Final = 100
_EXPONENT: Final = 5_000
_TURNED: Final = str.maketrans("0123456789", "9876543210")
OPERATORS: Final = ("=", "<", "<=", ">", ">=")

MISSING: Final = object()


def value_at(data: Mapping[str, Any], name: str) -> Any:
    """The value of a field: of that name, or else of the path that its dots make; ``MISSING`` where there is none."""
    if name in data:
        return data[name]
    found: Any = data
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return MISSING
        found = found[part]
    return found


def terms_in(data: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """The terms of these fields, by name; what is missing, and what has none, is left out."""
    found = ((name, term_of(value_at(data, name))) for name in names)
    return {name: term for name, term in found if term is not None}


def term_of(value: Any) -> str | None:
    """A value as it is found and sorted; None for a list, an object, and what is not there."""
    if value is None:
        return "0"
    if isinstance(value, bool):
        return f"1{int(value)}"
    if isinstance(value, (int, float, Decimal)):
        return f"2{_number(value)}"
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            return f"4{value.isoformat(timespec='microseconds')}"
        return f"5{_in_utc(value)}"
    if isinstance(value, date):
        return f"3{value.isoformat()}"
    if isinstance(value, UUID):
        return f"6{value}"
    return f"7{_text(value)}" if isinstance(value, str) else None


def _in_utc(value: datetime) -> str:
    try:
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    except OverflowError:  # within a day of the first or the last year
        return value.replace(tzinfo=None).isoformat(timespec="microseconds")


def _number(value: float | Decimal) -> str:
    """Sign, exponent, digits; of what is negative turned round, so that the larger one still comes later."""
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    digits = "".join(map(str, exact.as_tuple().digits)).lstrip("0")[:_DIGITS].rstrip("0")
    if not digits:
        return "o"
    exponent = min(max(exact.adjusted() + _EXPONENT, 0), 2 * _EXPONENT - 1)
    written = f"{exponent:04d}{digits}"
    return f"n{written.translate(_TURNED)}~" if exact < 0 else f"p{written}"


def _text(value: str) -> str:
    # PostgreSQL has no place for a NUL in a text.
    plain = value.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")
    if len(plain) <= _WHOLE:
        return plain
    return f"{plain[:_BEGINNING]}~{sha256(plain.encode()).hexdigest()[:40]}"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Which terms are meant: one of ``among``, or what lies between two; these are meant where it says so."""

    among: tuple[str, ...] = ()
    low: str = ""
    high: str = ""
    has_low: bool = True
    has_high: bool = False

    def hold(self, term: str) -> bool:
        """Whether a term is meant."""
        if self.among:
            return term in self.among
        above = term > self.low or (self.has_low and term == self.low)
        return above and (term < self.high or (self.has_high and term == self.high))


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What a field of the data has to be: one of ``OPERATORS``, and a value. Made by ``condition``."""

    name: str
    operator: str
    value: Any

    def holds(self, data: Mapping[str, Any]) -> bool:
        """Whether these data are so."""
        value = value_at(data, self.name)
        if self.operator == "=":
            return same(value, self.value)
        term = term_of(value)
        return term is not None and self.bounds.hold(term)

    @property
    def bounds(self) -> Bounds:
        """The terms that may be meant: of ``=`` with a text also what is no text and written so."""
        if self.operator == "=":
            return Bounds(among=tuple(dict.fromkeys(_alike(self.value))))
        term = term_of(self.value) or ""
        kind, after = term[:1], chr(ord(term[0]) + 1)
        if self.operator.startswith(">"):
            return Bounds(low=term, high=after, has_low=self.operator == ">=")
        return Bounds(low=kind, high=term, has_high=self.operator == "<=")


def condition(name: Any, operator: Any, value: Any, *, of: str = "where") -> Condition:
    """A condition, checked. Raises DataError."""
    if not isinstance(name, str) or not name:
        raise DataError(f"{of}: {shown(name)} is no name of a field")
    if operator not in OPERATORS:
        hint = did_you_mean(operator, OPERATORS) if isinstance(operator, str) else ""
        raise DataError(f"{of}: {shown(operator)} is no comparison{hint}; it is one of {' '.join(OPERATORS)}")
    if operator != "=" and (value is None or isinstance(value, (bool, UUID)) or term_of(value) is None):
        raise DataError(
            f"{of}: {name} {operator} {shown(value)} compares nothing; numbers, texts, days and moments have an order"
        )
    return Condition(name=name, operator=operator, value=value)


def same(value: Any, wanted: Any) -> bool:
    """Whether a decoded value is the one that is asked for: numbers by value, ``true`` is no 1, no text is a number.

    Text also means the datetime, date, Decimal or UUID that is written so.
    """
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(wanted, str) and isinstance(value, date | Decimal | UUID):
        return wanted == (value.isoformat() if isinstance(value, date) else str(value))
    if isinstance(value, dict) and isinstance(wanted, Mapping):
        return value.keys() == wanted.keys() and all(same(value[name], wanted[name]) for name in wanted)
    if isinstance(value, list) and isinstance(wanted, list | tuple):
        return len(value) == len(wanted) and all(map(same, value, wanted))
    return bool(value == wanted)


def _alike(value: Any) -> Iterator[str]:
    """The terms of a value; of a text also those of what is written so."""
    term = term_of(value)
    if term is not None:
        yield term
    if isinstance(value, str):
        for read in (Decimal, UUID, date.fromisoformat, datetime.fromisoformat):
            try:
                found = term_of(read(value))
            except (ValueError, ArithmeticError):
                continue
            if found is not None:
                yield found
