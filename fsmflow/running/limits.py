"""The time limit of an attempt, as a signal in the process that runs it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

#: A job that swallows the signal gets it again this often, until its process is killed.
_AGAIN_S: Final = 1.0


class TimeUp(BaseException):
    """Raised inside a job at its time limit. A BaseException, so that ``except Exception`` does not swallow it."""


class TimeLimit:
    """Raises TimeUp in the main thread once the limit is over, while the job runs and nothing is being written.

    A process whose job keeps the interpreter busy in C never gets there; its supervisor kills it.
    """

    def __init__(self, limit_s: float | None) -> None:
        self._limit_s = limit_s
        self._armed = False
        self._shielded = 0
        self._due = False
        self._before: Any = signal.SIG_DFL

    @contextmanager
    def running(self) -> Iterator[None]:
        """The limit counts inside; leaving disarms it."""
        if self._limit_s is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        self._before = signal.signal(signal.SIGALRM, self._on_alarm)
        self._armed = True
        signal.setitimer(signal.ITIMER_REAL, self._limit_s, _AGAIN_S)
        try:
            yield
        finally:
            self.disarm()

    def disarm(self) -> None:
        """End the limit. Safe to repeat: the signal may come in the very middle of this."""
        while self._armed:
            try:
                self._armed = False
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, self._before)
            except TimeUp:
                self._armed = True

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Defer the signal: a commit must not be torn by it."""
        self._shielded += 1
        try:
            yield
        finally:
            self._shielded -= 1
        if self._due and self._armed and not self._shielded:
            self._due = False
            raise TimeUp

    def _on_alarm(self, signum: int, frame: FrameType | None) -> None:
        if not self._armed:
            return
        if self._shielded:
            self._due = True
            return
        raise TimeUp
