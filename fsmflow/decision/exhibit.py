"""Data that are shown where nothing would come of changing them: whoever tries is told so, at any depth.

They are dicts and lists to all who read them: compared, iterated, printed and written as JSON like others. ``copy()``
and what ``copy`` and ``pickle`` make of them are plain again, and all the caller's own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from fsmflow.errors import DataError


def exhibited(data: Mapping[str, Any], why: str) -> dict[str, Any]:
    """``data`` as they are shown; ``why`` is the error of whoever changes them."""
    return ShownDict({key: _shown(value, why) for key, value in data.items()}, why)


def _shown(value: Any, why: str) -> Any:
    if isinstance(value, dict):
        return exhibited(value, why)
    return ShownList([_shown(item, why) for item in value], why) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


class _Shown:
    """What dicts and lists have in common that are shown."""

    _why: str

    def copy(self) -> Any:
        """A plain copy, at any depth: the caller's own."""
        return _plain(self)

    def __copy__(self) -> Any:
        return _plain(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(_plain(self), memo)

    def __reduce_ex__(self, protocol: Any) -> tuple[Callable[[Any], Any], tuple[Any]]:
        plain = _plain(self)
        return type(plain), (plain,)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise DataError(self._why)

    __setitem__ = __delitem__ = __ior__ = __iadd__ = __imul__ = _refuse
    update = setdefault = pop = popitem = clear = append = extend = insert = remove = sort = reverse = _refuse


class ShownDict(_Shown, dict[str, Any]):
    """A mapping that is shown."""

    def __init__(self, data: Mapping[str, Any], why: str) -> None:
        super().__init__(data)
        self._why = why


class ShownList(_Shown, list[Any]):
    """A list that is shown."""

    def __init__(self, items: list[Any], why: str) -> None:
        super().__init__(items)
        self._why = why
