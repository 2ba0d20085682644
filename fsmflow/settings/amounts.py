"""Reads the plain values of settings: numbers, sizes, names, and what is on or off."""

from __future__ import annotations

import re

from fsmflow.errors import ConfigurationError

_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([kmg]i?b|)\s*", re.IGNORECASE)
_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
#: Of a schema: PostgreSQL would read other letters as these, and keeps some names for itself.
_NAME = re.compile(r"(?!pg_|information_schema$)[a-z_][a-z0-9_]{0,62}")
_SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def count_of(value: int | str, what: str, of: str = "jobs") -> int:
    """A number of jobs, or of something else. Raises ConfigurationError."""
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{what} is {value!r}; it takes a whole number of {of} from 1")
    return value


def size_of(value: int | str, what: str) -> int:
    """A size of memory in bytes: a number, or as in 500MB, 1.5GB or 512MiB. Raises ConfigurationError."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    size = round(float(found[1]) * _UNITS[found[2].lower()]) if found else 0
    if size < 1:
        raise ConfigurationError(f"{what} is {value!r}; it takes bytes, or a size as in 500MB, 1.5GB or 512MiB")
    return size


def is_on(value: bool | str, what: str) -> bool:
    """Whether something is on: True or False, or as in 1, on, yes, 0, off and no. Raises ConfigurationError."""
    found = _SWITCH.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise ConfigurationError(f"{what} is {value!r}; it takes 1 or 0")
    return found


def schema_of(value: str, what: str) -> str:
    """The name of a schema of PostgreSQL. Raises ConfigurationError."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ConfigurationError(
            f"{what} is {value!r}; it takes the name of a schema of PostgreSQL, as in acme: up to 63 small letters, "
            f"digits and '_', that begins with a letter, and not with pg_"
        )
    return value
