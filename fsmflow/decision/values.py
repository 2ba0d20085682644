"""Values, which are frozen dataclasses, copied with other fields: each step makes a dozen such copies.

That of ``dataclasses`` calls ``__init__``, which sets the fields of a frozen class one by one.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

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
        made = object.__new__(type(value))
        object.__setattr__(made, "__dict__", held)
        return made


@cache
def _names(kind: type) -> frozenset[str]:
    """The fields of a class. Raises TypeError where its values are more than these."""
    if hasattr(kind, "__post_init__") or "__slots__" in vars(kind) or not all(field.init for field in fields(kind)):
        raise TypeError(f"{kind.__name__} does more than to hold its fields: use dataclasses.replace")
    return frozenset(field.name for field in fields(kind))
