"""Context managers made of generators, as ``contextlib`` makes them; but an error of any class passes unharmed.

That of ``contextlib`` sets ``__traceback__`` on what passes, which a frozen dataclass refuses with an error of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from functools import wraps
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, cast

Value = TypeVar("Value", covariant=True)
Params = ParamSpec("Params")


class _Scope(AbstractContextManager[Value], Generic[Value]):
    def __init__(self, steps: Generator[Value, Any, Any]) -> None:
        self._steps = steps

    def __enter__(self) -> Value:
        return next(self._steps)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if error is None:
            if next(self._steps, self) is not self:
                raise RuntimeError("the generator of a scope yielded twice")
            return None
        try:
            self._steps.throw(error)
        except StopIteration as ended:
            return ended is not error
        except BaseException as raised:
            if raised is error or (issubclass(type(error), StopIteration) and raised.__cause__ is error):
                BaseException.with_traceback(error, trace)
                return False
            raise
        raise RuntimeError("the generator of a scope yielded again after an error")


def scope(function: Callable[Params, Iterator[Value]]) -> Callable[Params, AbstractContextManager[Value]]:
    """Decorates a generator that yields once: what is before it is done on entering, what is after it on leaving."""

    @wraps(function)
    def made(*args: Params.args, **kwargs: Params.kwargs) -> AbstractContextManager[Value]:
        return _Scope(cast("Generator[Value, Any, Any]", function(*args, **kwargs)))

    return made
