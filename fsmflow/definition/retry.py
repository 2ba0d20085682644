"""The policy of automatic retries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeGuard

from fsmflow.errors import MAX_DURATION_S, shown
from fsmflow.values import Options, dataclass

Duration = float | int | timedelta
ExceptionClasses = type[BaseException] | Sequence[type[BaseException]]


@dataclass(frozen=True)
class Retry(Options):
    """Run a failed job again by itself, up to ``max`` times after the first run.

    ``interval``: seconds (or a timedelta) before the first retry, multiplied by ``backoff`` for each later one up
    to ``max_interval``; or a list of intervals, the last of which repeats. ``jitter`` moves each interval by up to
    that share of it. Only exceptions of the classes ``on`` and none of ``never`` are retried; ``Fail`` never is.
    """

    _meant = {"max_retries": "max", "retries": "max", "times": "max", "delay": "interval", "wait": "interval"}

    max: int
    interval: Duration | Sequence[Duration] = 10
    backoff: float = 2.0
    max_interval: Duration = 600
    jitter: float = 0.1
    on: ExceptionClasses = (Exception,)
    never: ExceptionClasses = ()

    def applies_to(self, *kinds: type[BaseException]) -> bool:
        """Whether this kind of failure is retried at all: the class of an error, and those of the groups around it."""
        return _any_is(kinds, _classes(self.on)) and not _any_is(kinds, _classes(self.never))

    def delay_ms(self, failures: int, spread: float) -> int:
        """How long to wait after the ``failures``-th failed run; ``spread`` in [0, 1) places it within the jitter."""
        if isinstance(self.interval, Sequence):
            seconds = as_seconds(self.interval[min(failures, len(self.interval)) - 1])
        else:
            seconds = self._grown(as_seconds(self.interval), failures - 1)
        return max(0, round(seconds * (1 + self.jitter * (2 * spread - 1)) * 1000))

    def _grown(self, seconds: float, times: int) -> float:
        """``seconds``, multiplied by ``backoff`` so many times, up to ``max_interval``."""
        most = as_seconds(self.max_interval)
        try:
            return min(seconds * float(self.backoff) ** times, most)
        except OverflowError:
            return most if seconds else 0.0


def as_seconds(duration: Duration) -> float:
    """A duration as seconds."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def is_duration(value: object, *, least: float = 0.0) -> bool:
    """Whether ``value`` is a finite number of seconds, or a timedelta, of at least ``least``."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    # Compared before anything is converted: a whole number may be too large for a float.
    return _is_number(value) and least <= value <= MAX_DURATION_S


def retry_faults(retry: object) -> list[str]:
    """What is wrong with a retry policy, one sentence each."""
    if not isinstance(retry, Retry):
        return [f"retry is {shown(retry)}; it takes Retry(max=...)"]
    faults = []
    if isinstance(retry.max, bool) or not isinstance(retry.max, int) or retry.max < 0:
        faults.append(f"Retry(max={shown(retry.max)}): max is a whole number from 0")
    intervals = list(retry.interval) if isinstance(retry.interval, (list, tuple)) else [retry.interval]
    if not intervals or not all(is_duration(interval) for interval in intervals):
        faults.append(
            f"Retry(interval={shown(retry.interval)}): interval is seconds or a timedelta from 0, or a list of them"
        )
    if not _is_number(retry.backoff) or retry.backoff < 1:
        faults.append(f"Retry(backoff={shown(retry.backoff)}): backoff is a number from 1")
    if not is_duration(retry.max_interval):
        faults.append(f"Retry(max_interval={shown(retry.max_interval)}): max_interval is seconds or a timedelta from 0")
    if not _is_number(retry.jitter) or not 0 <= retry.jitter <= 1:
        faults.append(f"Retry(jitter={shown(retry.jitter)}): jitter is a number from 0 to 1")
    for name, classes in (("on", retry.on), ("never", retry.never)):
        if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in _classes(classes)):
            faults.append(f"Retry({name}={shown(classes)}): {name} takes exception classes")
    return faults


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _any_is(kinds: Sequence[type[BaseException]], classes: tuple[type[BaseException], ...]) -> bool:
    """As ``except`` sees it, which asks no metaclass."""
    return any(type.__subclasscheck__(wanted, kind) for kind in kinds for wanted in classes)


def _classes(classes: ExceptionClasses) -> tuple[type[BaseException], ...]:
    return tuple(classes) if isinstance(classes, Sequence) else (classes,)
