"""The stored form of data: JSON, plus datetime, date, Decimal and UUID, which come back as they were."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from fsmflow.errors import DataError, shown

Number = TypeVar("Number", float, Decimal)

MAX_BYTES = 256 * 1024
MAX_DEPTH = 64
_SECOND = timedelta(seconds=1)
#: ``json.dumps`` would make one for each text.
_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_READERS: dict[str, Callable[[Any], Any]] = {
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$decimal": Decimal,
    "$uuid": UUID,
    "$dict": dict,
}


def encode(value: Any, *, what: str = "data", limit: int = MAX_BYTES) -> str:
    """The text that is stored for ``value``.

    Raises DataError, naming the place, for what is not JSON and none of the four types, for a number that is
    not finite, for nesting deeper than 64 and for more than ``limit`` bytes of UTF-8.
    """
    plain = _plain(value, what, MAX_DEPTH)
    try:
        text = _write(plain)
        size = len(text.encode())
    except ValueError as error:
        where = next(_unwritable(value, what), what)
        raise DataError(f"{where} cannot be stored: {error}") from error
    if size > limit:
        raise DataError(
            f"{what} has {size:,} bytes; {limit:,} are allowed. Keep large things elsewhere and their key here"
        )
    return text


def decode(text: str) -> Any:
    """The value that ``encode`` made ``text`` of."""
    if '{"$' in text:
        return json.loads(text, object_hook=_revive)
    return json.loads(text)


def _revive(found: dict[str, Any]) -> Any:
    if len(found) == 1:
        (tag,) = found
        reader = _READERS.get(tag)
        if reader is not None:
            return reader(found[tag])
    return found


def _plain(value: Any, where: str, depth: int) -> Any:
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        return _finite(value, where)
    if depth <= 0:
        raise DataError(f"{where} is nested deeper than {MAX_DEPTH} levels")
    if kind is dict or isinstance(value, Mapping):
        return _plain_mapping(value, where, depth)
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{index}]", depth - 1) for index, item in enumerate(value)]
    return _plain_scalar(value, where)


def _plain_mapping(value: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise DataError(f"{where} has the key {shown(key)} ({type(key).__name__}); keys are text")
        plain[str.__str__(key)] = _plain(item, f"{where}[{key!r}]", depth - 1)
    if len(plain) == 1 and next(iter(plain)) in _READERS:
        return {"$dict": list(plain.items())}
    return plain


def _plain_scalar(value: Any, where: str) -> Any:
    if isinstance(value, datetime):
        return {"$datetime": _written(value, where)}
    if isinstance(value, date):
        return {"$date": _readable(value, date, where)}
    if isinstance(value, Decimal):
        return {"$decimal": str(_finite(value, where))}
    if isinstance(value, UUID):
        return {"$uuid": str(value)}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _finite(float(value), where)
    raise DataError(
        f"{where} is {shown(value)} ({type(value).__name__}), which cannot be stored; "
        f"data holds JSON, datetime, date, Decimal and UUID"
    )


def _readable(value: date, kind: type[date], where: str) -> str:
    """The text of a moment or day, where it can be read again. What is one in name alone, as NaT of pandas, cannot."""
    try:
        text = value.isoformat()
        if type(value) is not kind:
            kind.fromisoformat(text)
    except ValueError as error:
        raise DataError(
            f"{where} is {shown(value)} ({type(value).__name__}), which cannot be stored: it is no moment; leave it "
            f"out, or give None"
        ) from error
    return text


def _written(value: datetime, where: str) -> str:
    text = _readable(value, datetime, where)
    offset = value.utcoffset()
    # Python itself would read such an offset as none at all.
    if offset and abs(offset) < _SECOND:
        raise DataError(f"{where} is {shown(value)}, which cannot be stored: its offset from UTC is less than a second")
    return text


def _finite(value: Number, where: str) -> Number:
    finite = value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)
    if finite:
        return value
    raise DataError(f"{where} is {value!r}; only finite numbers can be stored")


def _unwritable(value: Any, where: str) -> Iterator[str]:
    """The places of what has no text: lone surrogates, and numbers with more digits than Python writes out."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _unwritable(key, f"the key {shown(key)} of {where}")
            yield from _unwritable(item, f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _unwritable(item, f"{where}[{index}]")
    elif isinstance(value, (str, int)):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except ValueError:
            yield where
