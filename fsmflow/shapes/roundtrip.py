"""What models of pydantic and msgspec would lose between what is stored of them and what is read again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from fsmflow.shapes.raw import library_of, stored_key


def lost_in(kind: Any) -> str | None:
    """Why a model cannot be stored, or one that it holds; None where it can."""
    if library_of(kind) == "msgspec":
        is_list = kind.__struct_config__.array_like
        return f"{kind.__name__} is array_like, and what is stored has names; leave that out" if is_list else None
    return next((fault for model in _models_in(kind, set()) for fault in _faults(model)), None)


def _faults(model: Any) -> Iterator[str]:
    for name, field in model.model_fields.items():
        where = f"{model.__name__}.{name}"
        if field.exclude:
            yield f"{where} has exclude=True, so it is not stored, and is missing when it is read; leave that out"
        elif stored_key(name, field) is None:
            yield f"{where} is written by another name than it is read by; give it one alias= for both"


def _models_in(kind: Any, seen: set[Any]) -> Iterator[Any]:
    """The models of pydantic in a type, each once."""
    if library_of(kind) == "pydantic" and kind not in seen:
        seen.add(kind)
        yield kind
        for field in kind.model_fields.values():
            yield from _models_in(field.annotation, seen)
    for part in get_args(kind):
        yield from _models_in(part, seen)
