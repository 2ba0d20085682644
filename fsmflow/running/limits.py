"""The time limit of an attempt, as a signal in the process that runs it."""

from __future__ import annotations

import asyncio
import math
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

from fsmflow import clock
from fsmflow.scope import scope

#: A job that swallows the signal gets it again this often, until its process is killed.
_AGAIN_S: Final = 1.0
#: A timer of no time at all would never ring.
_LEAST_S: Final = 0.001
#: What the interpreter calls by itself, and whose exceptions it swallows.
_SWALLOWS: Final = "__del__"
#: A driver in Python, which takes an answer that it was kept from reading for that of its next statement; and where it
#: waits for the server, and throws its connection away if it is interrupted.
_DRIVER: Final = "pymysql."
_WAITS: Final = frozenset({"readinto", "create_connection", "do_handshake"})
#: On a loop an alarm is set for a limit that is over so soon; a later one is looked at again and again.
_NEAR_S: Final = 2.0
#: After how long the signal comes again where it did not suit.
_SOON_S: Final = 0.01


class TimeUp(BaseException):
    """Raised inside a job at its time limit. A BaseException, so that ``except Exception`` does not swallow it."""


class Silent(TimeUp):
    """Raised inside a job that has given no sign of life for too long."""


class TimeLimit:
    """Raises TimeUp in the main thread once the limit is over, or Silent once it was not told for ``silence_s`` that
    the job lives: while that runs, and nothing is being written. ``told`` is called as often as it gives such a sign.

    A process whose job keeps the interpreter busy in C never gets there; its supervisor kills it.
    """

    def __init__(self, limit_s: float | None, silence_s: float | None, told: Callable[[TimeLimit], None]) -> None:
        #: All on the clock of ``monotonic``.
        self.began = clock.monotonic()
        self.deadline = self.began + (math.inf if limit_s is None else limit_s)
        self._silence_s = math.inf if silence_s is None else silence_s
        self.silent_at = self.began + self._silence_s
        self._told = told
        self._armed = False
        self._shielded = 0
        self._due = False
        self._before: Any = signal.SIG_DFL

    @scope
    def running(self) -> Iterator[None]:
        """The limit counts inside; leaving disarms it."""
        if self._next_at == math.inf or threading.current_thread() is not threading.main_thread():
            yield
            return
        self._before = signal.signal(signal.SIGALRM, self._on_alarm)
        self._armed = True
        self._arm()
        try:
            yield
        finally:
            self.disarm()

    def alive(self) -> None:
        """The job has given a sign of life."""
        self.silent_at = clock.monotonic() + self._silence_s
        self._told(self)

    def look(self) -> None:
        """Called several times a second of a job that runs beside others: set the alarm, if it is time."""

    @property
    def _next_at(self) -> float:
        return min(self.deadline, self.silent_at)

    def _arm(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, max(self._next_at - clock.monotonic(), _LEAST_S), _AGAIN_S)

    def disarm(self) -> None:
        """End the limit. Safe to repeat: the signal may come in the very middle of this."""
        while self._armed:
            try:
                self._armed = False
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, self._before)
            except TimeUp:
                self._armed = True

    @scope
    def shield(self) -> Iterator[None]:
        """Defer the signal: a commit must not be torn by it."""
        self._shielded += 1
        try:
            yield
        finally:
            self._shielded -= 1
        if self._due and self._armed and not self._shielded:
            self._due = False
            self._end()

    def _on_alarm(self, signum: int, frame: FrameType | None) -> None:
        if not self._armed:
            return
        if self._shielded:
            self._due = True
        elif _is_untimely(frame):
            signal.setitimer(signal.ITIMER_REAL, _SOON_S, _AGAIN_S)
        else:
            self._end()

    def _end(self) -> None:
        """End the job, if its time is over; a sign of life may have come since the alarm was set."""
        now = clock.monotonic()
        if now >= self.deadline:
            raise TimeUp
        if now >= self.silent_at:
            raise Silent
        self._arm()


class LoopLimit(TimeLimit):
    """The limit of a job that shares an event loop with others: its task is cancelled, again and again until it ends.
    What blocks the loop is beyond it."""

    def __init__(self, limit_s: float | None, silence_s: float | None, told: Callable[[TimeLimit], None]) -> None:
        super().__init__(limit_s, silence_s, told)
        #: What the job ran into.
        self.struck: BaseException | None = None
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """From now on it counts for the task that runs."""
        self._task = asyncio.current_task()
        self.look()

    def look(self) -> None:
        if self._task is not None and self._timer is None:
            wait_s = self._next_at - clock.monotonic()
            if wait_s < _NEAR_S:
                self._timer = self._task.get_loop().call_later(max(wait_s, _LEAST_S), self._strike)

    def disarm(self) -> None:
        """End the limit."""
        self._task = None
        if self._timer is not None:
            self._timer.cancel()

    def _strike(self) -> None:
        task, now = self._task, clock.monotonic()
        if task is None:
            return
        if now < self._next_at:
            self._timer = None
            self.look()  # a sign of life has come
            return
        self.strike(TimeUp() if now >= self.deadline else Silent())
        self._timer = task.get_loop().call_later(_AGAIN_S, self._strike)

    def strike(self, error: BaseException) -> None:
        """End the job by this error, if it runs."""
        if self._task is not None:
            self.struck = error
            self._task.cancel()


class ToldLimit(TimeLimit):
    """The limit of a job in a thread, where nothing can end it: that it is over is told, and what the job comes to
    counts all the same."""

    def __init__(self, limit_s: float | None, silence_s: float | None, told: Callable[[TimeLimit], None]) -> None:
        super().__init__(limit_s, silence_s, told)
        self._is_told = False

    def is_over(self) -> bool:
        """Whether it is over, and this is the first time that somebody asks since."""
        is_over = clock.monotonic() >= self._next_at
        first, self._is_told = is_over and not self._is_told, is_over
        return first


def _is_untimely(frame: FrameType | None) -> bool:
    """Whether an exception here would be swallowed, as an object is being finalised in the middle of whatever else
    runs; or leave a connection to a database out of step, of which nobody would know."""
    waits = False
    while frame is not None:
        waits = waits or frame.f_code.co_name in _WAITS
        if frame.f_code.co_name == _SWALLOWS:
            return True
        if not waits and frame.f_globals.get("__name__", "").startswith(_DRIVER):
            return True
        frame = frame.f_back
    return False
