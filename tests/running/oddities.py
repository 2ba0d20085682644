"""Errors whose classes misbehave in every way that must not matter."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NoReturn

from fsmflow import Fail, RetryAfter


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: str


@dataclasses.dataclass(frozen=True)
class FrozenFail(Fail):
    code: str


@dataclasses.dataclass
class Unhashable(Exception):
    code: str


class Evil(BaseException):
    """Answers whatever it is asked with an error of its own, which ends processes."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise SystemExit(f"asked for {name}")

    def __str__(self) -> NoReturn:
        raise SystemExit("asked for its message")

    __repr__ = __str__
    __eq__ = __ne__ = __bool__ = __len__ = __hash__ = __str__  # type: ignore[assignment]

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise SystemExit(f"{name} was set")


class Talkative(Exception):
    """Answers whatever it is asked with something else than was asked for."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args: f"{name} of a talkative error"

    __notes__ = "no list"  # type: ignore[assignment]
    __traceback__ = "no traceback"  # type: ignore[assignment]
    __cause__ = property(lambda self: 1 / 0)
    __context__ = property(lambda self: self)


class LyingText(str):
    """A text that is none."""

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: Any) -> Any:
        raise SystemExit("cut")

    def encode(self, *args: Any) -> Any:
        raise SystemExit("encoded")


class Lying(Exception):
    def __str__(self) -> str:
        return LyingText("lies")


class Odd(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise SystemExit("asked for the name of the class")


class OddlyNamed(Exception, metaclass=Odd):
    pass


class Never(RetryAfter):
    """Lacks the seconds."""

    def __init__(self) -> None:
        pass

    @property
    def seconds(self) -> float:  # type: ignore[override]
        raise SystemExit("asked for its seconds")


def circle() -> BaseException:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def long_chain() -> BaseException:
    error: BaseException = ValueError("the first")
    for number in range(5_000):
        after = ValueError(str(number))
        after.__cause__ = error
        error = after
    return error


def deep_group() -> BaseException:
    error: Exception = ValueError("the innermost")
    for _ in range(5_000):
        error = ExceptionGroup("several", [error])
    return error


class Unshowable:
    def __repr__(self) -> str:
        raise SystemExit("asked for its repr")


def noted() -> BaseException:
    error = ValueError("wrong")
    error.__notes__ = ["a note", LyingText("another"), Unshowable()]  # type: ignore[list-item]
    return error


ERRORS: dict[str, tuple[Callable[[], BaseException], str]] = {
    "frozen": (lambda: Frozen("x"), "Frozen"),
    "frozen for good": (lambda: FrozenFail("x"), "FrozenFail"),
    "unhashable": (lambda: Unhashable("x"), "Unhashable"),
    "evil": (Evil, "Evil"),
    "in a group": (lambda: ExceptionGroup("several", [Talkative("x"), Frozen("x")]), "Talkative"),
    "talkative": (lambda: Talkative("x"), "Talkative"),
    "lying": (Lying, "Lying"),
    "oddly named": (OddlyNamed, "OddlyNamed"),
    "without seconds": (Never, "Never"),
    "in a circle": (circle, "ValueError"),
    "a long chain": (long_chain, "ValueError"),
    "a deep group": (deep_group, "ValueError"),
    "arguments that cannot be shown": (lambda: ValueError(Unshowable()), "ValueError"),
    "huge": (lambda: ValueError("x" * 20_000_000), "ValueError"),
    "half a character": (lambda: ValueError("\ud800 and \x00 NUL \x1b[31m"), "ValueError"),
    "notes": (noted, "ValueError"),
    "an exit": (lambda: SystemExit("over"), "SystemExit"),
    "an interrupt": (KeyboardInterrupt, "KeyboardInterrupt"),
    "the end of a generator": (lambda: StopIteration(3), "StopIteration"),
    "the end of a coroutine": (lambda: StopAsyncIteration(3), "StopAsyncIteration"),
    "closed": (GeneratorExit, "GeneratorExit"),
}
