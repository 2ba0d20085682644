"""Objects as the plain values that are stored: mappings, lists, text, numbers, dates."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final, cast
from uuid import UUID

#: What the store keeps besides JSON.
STORED: Final = (datetime, date, Decimal, UUID)


def library_of(kind: Any) -> str | None:
    """Which library a class is a model of: ``pydantic`` or ``msgspec``, where that is loaded; None for all others."""
    if isinstance(kind, type):
        for name, base in (("pydantic", "BaseModel"), ("msgspec", "Struct")):
            found = getattr(sys.modules.get(name), base, None)
            if isinstance(found, type) and issubclass(kind, found):
                return name
    return None


def is_typed(value: Any) -> bool:
    """Whether a value is an object of a class that says which fields it has."""
    return dataclasses.is_dataclass(type(value)) or library_of(type(value)) is not None


def plain(value: Any) -> Any:
    """What is stored of a value, at any depth; what is nothing of the kind stays as it is."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    library = library_of(type(value))
    if library == "pydantic":
        return _of_model(value, value.model_dump(by_alias=True))
    if library == "msgspec":
        builtins = cast(Any, sys.modules["msgspec"]).to_builtins
        return plain(builtins(value, builtin_types=STORED, str_keys=True))
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    return value


def stored_key(name: str, field: Any) -> str | None:
    """What a field of a pydantic model is called where it is stored: as it is read again. None where it is written as
    something else than it is read as."""
    written, read = field.serialization_alias, field.validation_alias
    if read is None:
        return name if written in (None, name) else None
    choices = [each for each in getattr(read, "choices", [read]) if isinstance(each, str)]
    if written is not None:
        return str(written) if written in choices else None
    return choices[0] if choices else None


def _of_model(value: Any, dumped: Any) -> Any:
    """What pydantic dumps of a value, without what is computed, and with the names by which it is read again."""
    kind = type(value)
    if isinstance(dumped, Mapping) and library_of(kind) == "pydantic":
        written = {field.serialization_alias or name: (name, field) for name, field in kind.model_fields.items()}
        computed = {field.alias or name for name, field in kind.model_computed_fields.items()}
        return {
            (stored_key(*written[key]) or key if key in written else key): (
                _of_model(getattr(value, written[key][0]), item) if key in written else plain(item)
            )
            for key, item in dumped.items()
            if key not in computed
        }
    if isinstance(dumped, Mapping) and dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind) if field.init]
        return {name: _of_model(getattr(value, name), dumped[name]) for name in names if name in dumped}
    if isinstance(dumped, Mapping) and isinstance(value, Mapping) and len(dumped) == len(value):
        return {plain(key): _of_model(was, dumped[key]) for (key, was) in zip(dumped, value.values(), strict=True)}
    if isinstance(dumped, (list, tuple)) and isinstance(value, (list, tuple)) and len(dumped) == len(value):
        return [_of_model(was, item) for was, item in zip(value, dumped, strict=True)]
    return plain(dumped)
