"""Values, which are dataclasses: quick to import, and quick to make of all their fields and to copy.

``dataclasses`` writes the methods of a class as source and compiles it, half a dozen times a class. For all of ours
that took as long as all else that is done to import them. Here each is written when it is first called.

An ``__init__`` of ``dataclasses``, which ``replace`` of it calls too, sets the fields of a frozen class one by one.
What is made and copied a dozen times a step does without.
"""

from __future__ import annotations

import dataclasses
from dataclasses import FrozenInstanceError, fields
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, cast

from fsmflow.errors import did_you_mean, shown

Value = TypeVar("Value")

_FIELDS: Final = "__dataclass_fields__"
_PARAMS: Final = "__dataclass_params__"
#: What is said of a field.
_SAID: Final = ("default", "default_factory", "init", "repr", "hash", "compare", "kw_only")
_NOTHING: Final = {"init": False, "repr": False, "eq": False}
#: What ``dataclasses`` is asked for to write one of these methods.
_ASKED: Final = {
    "__init__": {**_NOTHING, "init": True},
    "__repr__": {**_NOTHING, "repr": True},
    "__eq__": {**_NOTHING, "eq": True},
    "__hash__": {**_NOTHING, "eq": True, "unsafe_hash": True},
}


class _Late:
    """A method that ``dataclasses`` writes when it is first asked for: by a call, or by whoever looks at the class."""

    def __init__(self, kind: type, name: str, *, frozen: bool) -> None:
        self._kind, self._name, self._frozen = kind, name, frozen

    def __get__(self, value: object, owner: type | None = None) -> Any:
        method = self._written()
        setattr(self._kind, self._name, method)
        return method.__get__(value, owner)

    def _written(self) -> Any:
        """Written for a class that has nothing but these fields; each says itself where it stands in a call."""
        kind: Any = self._kind
        body = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
        body["__annotations__"] = {field.name: field.type for field in fields(kind)}
        for field in fields(kind):
            body[field.name] = dataclasses.field(**{name: getattr(field, name) for name in _SAID})
        if hasattr(kind, "__post_init__"):
            body["__post_init__"] = kind.__post_init__
        frozen = self._frozen and self._name == "__init__"  # the others are the same for a class that is not
        alike: type = dataclasses.dataclass(frozen=frozen, **_ASKED[self._name])(type(kind.__name__, (), body))
        return vars(alike)[self._name]


def _dataclass(kind: Any = None, /, *, frozen: bool = False, kw_only: bool = False, eq: bool = True) -> Any:
    """What ``dataclasses.dataclass`` makes of a class, but that each method is written when it is first called."""
    if kind is None:
        return partial(_dataclass, frozen=frozen, kw_only=kw_only, eq=eq)
    own = dict(vars(kind))
    kind.__doc__ = kind.__doc__ or kind.__name__
    _find_fields(kind, kw_only=kw_only)
    getattr(kind, _PARAMS).frozen = frozen
    late = partial(_Late, kind, frozen=frozen)
    methods: dict[str, Any] = {name: late(name) for name in ("__init__", "__repr__") if name not in own}
    if eq and "__eq__" not in own:
        methods["__eq__"] = late("__eq__")
    if eq and own.get("__hash__") is None:
        methods["__hash__"] = late("__hash__") if frozen else None
    if frozen:
        methods |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
    for name, method in methods.items():
        setattr(kind, name, method)
    return kind


def _find_fields(kind: type, *, kw_only: bool) -> None:
    """Have ``dataclasses`` find the fields and write nothing, not even what freezes. As it takes no class that is not
    frozen below one that is, those above are not for the time being."""
    above = [vars(base)[_PARAMS] for base in kind.__mro__[1:] if _PARAMS in vars(base)]
    frozen = [params.frozen for params in above]
    for params in above:
        params.frozen = False
    try:
        dataclasses.dataclass(kw_only=kw_only, **_NOTHING)(kind)
    finally:
        for params, was in zip(above, frozen, strict=True):
            params.frozen = was


def _refuse_to_set(self: object, name: str, value: object) -> None:
    if _is_fixed(self, name):
        raise FrozenInstanceError(f"cannot assign to field {name!r}")
    object.__setattr__(self, name, value)


def _refuse_to_delete(self: object, name: str) -> None:
    if _is_fixed(self, name):
        raise FrozenInstanceError(f"cannot delete field {name!r}")
    object.__delattr__(self, name)


def _is_fixed(value: Any, name: str) -> bool:
    """Whether it is a field, or the class takes nothing but fields: one that a user has derived may."""
    return _FIELDS in vars(type(value)) or name in getattr(value, _FIELDS)


class Options:
    """A value that users make with options by name: who gives one that it does not have is told the likely one.

    A class may say in ``_meant`` what words of others mean here."""

    _meant: ClassVar[dict[str, str]] = {}

    if not TYPE_CHECKING:  # they know the options, and would take any for right

        def __new__(cls, *first: object, **given: object) -> Any:
            """Raises TypeError."""
            known = [field.name for field in fields(cls)]
            # A class that a user has derived may take what it likes.
            wrong = next((name for name in given if name not in known), None) if _FIELDS in vars(cls) else None
            if wrong is not None:
                meant = cls._meant.get(wrong)
                hint = f"; did you mean {meant!r}?" if meant in known else did_you_mean(wrong, known)
                called = f"{cls.__name__}({f'{shown(first[0])}, ' if first else ''}...)"
                raise TypeError(f"{called} takes no {wrong!r}{hint or '; it takes ' + ', '.join(known)}")
            return super().__new__(cls)


if TYPE_CHECKING:
    # Type checkers know these: they look at names and types of fields and changes.
    from dataclasses import dataclass as dataclass
    from dataclasses import replace as replace
else:
    dataclass = _dataclass

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
