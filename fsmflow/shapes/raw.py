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
        return plain(value.model_dump(by_alias=True))
    if library == "msgspec":
        builtins = cast(Any, sys.modules["msgspec"]).to_builtins
        return plain(builtins(value, builtin_types=STORED, str_keys=True))
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value
