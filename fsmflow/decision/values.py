"""Values, which are frozen dataclasses, made of all their fields and copied with other ones: a dozen times a step.

An ``__init__`` of ``dataclasses``, which ``replace`` of it calls too, sets the fields of a frozen class one by one.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

Value = TypeVar("Value")

if TYPE_CHECKING:
    # The type checker knows this one: it looks at names and types of the changes.
    from dataclasses import replace as replace
else:

    def replace(value: Value, /, **changes: Any) -> Value:
        """The same value with some fields changed; what it has cached beside them is left behind.

        Raises TypeError for a field that it does not have, and for a class that does more than to hold its fields.
        """
        names = _names(type(value))
        held = {**value.__dict__, **changes}
        if len(held) != len(names):
            if not names.issuperset(changes):
                raise TypeError(f"{type(value).__name__} has no field {', '.join(sorted(changes.keys() - names))}")
            held = {name: held[name] for name in names}
        return _of(type(value), held)


def made(kind: type[Value], held: dict[str, Any]) -> Value:
    """A value of a class, from all its fields. Raises TypeError where these are others."""
    names = _names(cast(type, kind))
    if held.keys() != names:
        raise TypeError(f"{kind.__name__} has other fields: {', '.join(sorted(held.keys() ^ names))}")
    return _of(kind, held)


def _of(kind: type[Value], held: dict[str, Any]) -> Value:
    value = object.__new__(kind)
    object.__setattr__(value, "__dict__", held)
    return value


@cache
def _names(kind: type) -> frozenset[str]:
    """The fields of a class. Raises TypeError where its values are more than these."""
    if hasattr(kind, "__post_init__") or "__slots__" in vars(kind) or not all(field.init for field in fields(kind)):
        raise TypeError(f"{kind.__name__} does more than to hold its fields: use dataclasses.replace")
    return frozenset(field.name for field in fields(kind))
