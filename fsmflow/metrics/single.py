"""What takes its time is done by one at a time, and whoever asks meanwhile gets the same; nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from fsmflow import clock

Result = TypeVar("Result")


class Turn(Generic[Result]):
    """One time that it is done, in a thread of its own."""

    def __init__(self, act: Callable[[], Result]) -> None:
        self._act = act
        self._over = threading.Event()
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._ended_s: float | None = None
        threading.Thread(target=self._run, name="fsmflow-metrics", daemon=True).start()

    def _run(self) -> None:
        try:
            self._result = self._act()
        except BaseException as error:  # noqa: BLE001 - raised again for each who asked
            self._error = error
        self._ended_s = clock.monotonic()
        self._over.set()

    def is_good_for(self, fresh_s: float) -> bool:
        """Whether whoever asks now gets what this comes to: it is not over yet, or came to something just now."""
        if self._ended_s is None:
            return True
        return self._error is None and clock.monotonic() - self._ended_s < fresh_s

    def result(self, limit_s: float) -> Result:
        """What it came to. Raises what was raised, and TimeoutError where it takes longer; it then goes on."""
        if not self._over.wait(max(limit_s, 0.0)):
            raise TimeoutError(f"it has taken longer than {limit_s:.1f} s")
        if self._error is not None:
            raise self._error
        return cast(Result, self._result)


class Single(Generic[Result]):
    """``act`` is never done by two at once. What it came to is good for ``fresh_s`` seconds."""

    def __init__(self, act: Callable[[], Result], *, fresh_s: float) -> None:
        self._act = act
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._turn: Turn[Result] | None = None

    def turn(self) -> Turn[Result]:
        """The one that is being done or has just been, else a new one."""
        with self._lock:
            if self._turn is None or not self._turn.is_good_for(self._fresh_s):
                self._turn = Turn(self._act)
            return self._turn
