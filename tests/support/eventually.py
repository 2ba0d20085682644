"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.1


def eventually(check: Callable[[], Value | None], *, within: float = 30.0, what: str = "the condition") -> Value:
    """Wait for another process: call ``check`` until it gives something true, and return that.

    An AssertionError that ``check`` raises counts as "not yet". After ``within`` seconds an AssertionError says what
    did not happen, and what ``check`` gave or raised last. What one process does alone needs no waiting, but a clock.
    """
    deadline = time.monotonic() + within
    pause = _FIRST_PAUSE_S
    while True:
        last: object
        cause: AssertionError | None = None
        try:
            last = value = check()
            if value:
                return value
        except AssertionError as error:
            last = cause = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what} did not come about within {within:g} s; last: {last!r}") from cause
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)
