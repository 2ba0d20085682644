"""Where two pieces of data differ, path by path; and data as text that people edit and that comes back as it was."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from fsmflow import codec
from fsmflow.errors import DataError
from fsmflow.redaction import MASK, hide
from fsmflow.values import dataclass

MISSING: Final = object()
#: What is longer is cut where it is only shown.
_MOST: Final = 2_000
_ROWS: Final = 200
_LIMIT: Final = 2**22


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One path, and what is there on either side, as text; None where there is nothing."""

    path: str
    before: str | None
    after: str | None


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Where they differ, in the order of the first; the first two hundred places."""
    found = _differences("", before, after)
    return [each for each, _ in zip(found, range(_ROWS), strict=False)]


def written(value: Any) -> str:
    """A value as JSON on several lines, with the marks by which days, moments, exact numbers and UUIDs come back."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False)


def patch_of(shown: Mapping[str, Any], text: str) -> dict[str, Any]:
    """What an edited text changes of the data that were shown: whole top-level fields. Raises DataError for what is no
    JSON object, and where a field is taken away, or would get a mask for its value."""
    edited = read_object(text, "the data")
    gone = [name for name in shown if name not in edited]
    if gone:
        raise DataError(f"{', '.join(map(repr, gone))} cannot be taken away here; give it the value null")
    patch = {name: value for name, value in edited.items() if name not in shown or _plain(shown[name]) != _plain(value)}
    masked = [name for name, value in patch.items() if _has_mask(value)]
    if masked:
        raise DataError(f"{', '.join(map(repr, masked))} holds what is hidden here, and cannot be edited with it")
    return patch


def read_object(text: str, what: str) -> dict[str, Any]:
    """A JSON object as people write it; nothing at all is an empty one. Raises DataError."""
    try:
        found = codec.decode(text) if text.strip() else {}
    except (ValueError, ArithmeticError, TypeError, RecursionError) as error:
        raise DataError(f"{what} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f'{what} has to be a JSON object, as in {{"card": "tok_2"}}')
    return found


def laid_over(shown: Mapping[str, Any], patch: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """The data as they would be shown after a patch."""
    return {**shown, **hide(dict(patch), keys)}


def _differences(path: str, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys([*before, *after]):
            below = f"{path}.{name}" if path else name
            yield from _differences(below, before.get(name, MISSING), after.get(name, MISSING))
    elif before is MISSING or after is MISSING or _plain(before) != _plain(after):
        yield Difference(path=path, before=_told(before), after=_told(after))


def _told(value: Any) -> str | None:
    if value is MISSING:
        return None
    text = json.dumps(_plain(value), ensure_ascii=False)
    return text if len(text) <= _MOST else f"{text[:_MOST]} ... ({len(text):,} characters)"


def _plain(value: Any) -> Any:
    return json.loads(codec.encode(value, limit=_LIMIT))


def _has_mask(value: Any) -> bool:
    return MASK in json.dumps(_plain(value), ensure_ascii=False)
