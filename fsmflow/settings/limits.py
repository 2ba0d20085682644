"""Limits as values: so many jobs at once or in a minute, of all entities; those of queues, as settings have them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from functools import cached_property
from hashlib import sha256
from string import Formatter
from typing import Any, Final

from fsmflow import codec
from fsmflow.errors import ConfigurationError, DataError, shown
from fsmflow.values import Options, dataclass

#: The most characters of the name of a limit, and of one with the values of an entity in it.
MAX_LIMIT: Final = 100
MAX_KEY: Final = 200
_WHOLE: Final = 180
_MOST: Final[Mapping[str, int]] = {"running": 10_000, "per_minute": 1_000_000}
#: How the names of the limits of queues begin.
QUEUE: Final = "queue "
#: What stands for a value that an entity does not have.
_NOTHING: Final = "(none)"
_AMOUNT: Final = re.compile(r"\s*(\d+)\s*(/\s*min)?\s*")
_FORM: Final = "a number of jobs at once, or so many a minute as in '100/min'"


@dataclass(frozen=True)
class Limit(Options):
    """So many jobs ``running`` at once, so many begun ``per_minute``, or both: of all entities, on all hosts.

    ``name`` says what it is a limit of: states and machines that name the same share it. ``{customer}`` in it stands
    for a value of the data (``{address.city}`` for one inside of another), and each value has a limit of its own. Those
    who do not have it share one. Raises DataError for what cannot be a limit.
    """

    name: str
    running: int | None = field(default=None, kw_only=True)
    per_minute: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        fault = _fault_in(self.name)
        if fault is not None:
            raise DataError(f"Limit({shown(self.name)}, ...): {fault}")
        for parameter, most in _MOST.items():
            given = getattr(self, parameter)
            if given is None:
                continue
            if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= most:
                raise DataError(
                    f"Limit({shown(self.name)}, {parameter}={shown(given)}): it takes a whole number from 1 to {most:,}"
                )
        if self.running is None and self.per_minute is None:
            raise DataError(f"Limit({shown(self.name)}) limits nothing; give it running= or per_minute=")

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The values of the data that its name asks for."""
        return tuple(name for _, name in self._parts if name)

    @property
    def numbers(self) -> str:
        """What it allows, as it is written."""
        return ", ".join(f"{name}={number}" for name, number in self.plain.items())

    @property
    def plain(self) -> dict[str, int]:
        """What it allows, as ``read_queue_limits`` takes it."""
        given = {name: getattr(self, name) for name in _MOST}
        return {name: number for name, number in given.items() if number is not None}

    def __str__(self) -> str:
        return f"limit {self.name!r} ({self.numbers})"

    def key(self, values: Mapping[str, Any]) -> str:
        """Its name with the values of an entity, by field; what is missing, or None, is one value like others."""
        parts = (before + ("" if not name else _text(values.get(name))) for before, name in self._parts)
        key = "".join(parts)
        if len(key) <= _WHOLE and key.isprintable():
            return key
        clean = "".join(character if character.isprintable() else "?" for character in key[: _WHOLE - 20])
        return f"{clean}~{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"

    @cached_property
    def _parts(self) -> tuple[tuple[str, str | None], ...]:
        return tuple((before, name) for before, name, _, _ in Formatter().parse(self.name))


def _fault_in(name: object) -> str | None:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_LIMIT or not name.isprintable():
        return f"its name is a text of 1 to {MAX_LIMIT} characters"
    try:
        parts = list(Formatter().parse(name))
    except ValueError as error:
        return f"{error}; {{customer}} stands for a value of the data, and {{{{ for a brace"
    for _, field_name, form, conversion in parts:
        if field_name is not None and (not field_name or form or conversion or not _is_path(field_name)):
            return f"{{{field_name}}} stands for no value of the data; write {{customer}}, or {{address.city}}"
    return None


def _is_path(name: str) -> bool:
    return all(part and "[" not in part for part in name.split("."))


def _text(value: Any) -> str:
    if value is None:
        return _NOTHING
    return value if isinstance(value, str) else codec.encode(value, what="the value of a limit")


def read_queue_limits(given: object, source: str) -> dict[str, Limit]:
    """The limits of queues, by queue: ``{"slow": 5, "mail": "100/min"}``, or a text: ``slow=5,mail=100/min``. What is
    given twice in a text limits both. Raises ConfigurationError."""
    if isinstance(given, str):
        pairs = [part.partition("=")[::2] for part in given.split(",") if part.strip()]
    elif isinstance(given, Mapping):
        pairs = list(given.items())
    else:
        raise ConfigurationError(f"{source} is {shown(given)}; it takes queues, each with {_FORM}")
    numbers: dict[str, dict[str, int]] = {}
    for queue, amount in pairs:
        if not isinstance(queue, str) or not queue.strip():
            raise ConfigurationError(f"{source} names no queue for {shown(amount)}; write slow=5,mail=100/min")
        numbers.setdefault(queue.strip(), {}).update(_amount(amount, queue.strip(), source))
    return {queue: _of_queue(queue, amounts, source) for queue, amounts in numbers.items()}


def _amount(amount: object, queue: str, source: str) -> dict[str, int]:
    if isinstance(amount, Mapping) and set(amount) <= set(_MOST):
        return dict(amount)
    found = _AMOUNT.fullmatch(str(amount)) if isinstance(amount, (str, int)) else None
    if found is None or isinstance(amount, bool):
        raise ConfigurationError(f"{source}: queue {queue!r} has {shown(amount)}; it takes {_FORM}")
    return {"per_minute" if found[2] else "running": int(found[1])}


def _of_queue(queue: str, amounts: Mapping[str, int], source: str) -> Limit:
    try:
        return Limit(QUEUE + queue.replace("{", "{{").replace("}", "}}"), **amounts)
    except DataError as error:
        raise ConfigurationError(f"{source}: {error}") from error
