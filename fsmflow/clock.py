"""The only reader of time. Moments are UTC milliseconds since the epoch, as they are stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from fsmflow.errors import FsmflowError

#: The units in which people read a span of time: milliseconds, and what they are called.
UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))
_REMEASURE_S = 60.0
_NEVER = float("-inf")


class Clock:
    """Monotonic time plus an offset measured from the database, so that all hosts agree on what is due.

    The offset is measured anew once a minute. Nothing that must hold depends on it: a clock that is wrong
    makes work early or late, never lost or doubled.
    """

    def __init__(self, measure: Callable[[], int]) -> None:
        self._measure = measure
        self._lock = threading.Lock()
        self._offset_ms = 0.0
        self._measured_at = _NEVER

    def now(self) -> int:
        """UTC now, in milliseconds."""
        if time.monotonic() - self._measured_at > _REMEASURE_S:
            self._measure_again()
        return int(time.monotonic() * 1000 + self._offset_ms)

    def exact(self) -> int:
        """The same, asked of the database now: for what must hold whatever clocks and pauses there are. One query."""
        return self._measure()

    def _measure_again(self) -> None:
        """The first measurement is waited for, and raises where it fails; a later one that fails leaves the offset."""
        is_first = self._measured_at == _NEVER
        if not self._lock.acquire(blocking=is_first):
            return
        try:
            if is_first and self._measured_at != _NEVER:
                return
            self._offset_ms = self._measure() - time.monotonic() * 1000
            self._measured_at = time.monotonic()
        except FsmflowError:
            if is_first:
                raise
            self._measured_at = time.monotonic()
        finally:
            self._lock.release()


class HandClock(Clock):
    """A clock that stands still until it is moved, and never goes back."""

    def __init__(self, moment_ms: int) -> None:
        super().__init__(lambda: moment_ms)
        self._moment_ms = moment_ms

    def now(self) -> int:
        """The moment at which it stands, in milliseconds."""
        return self._moment_ms

    def exact(self) -> int:
        """The same."""
        return self._moment_ms

    def move_to(self, moment_ms: int) -> None:
        """Go on to a moment; one that is past changes nothing."""
        with self._lock:
            self._moment_ms = max(self._moment_ms, moment_ms)


def local_now() -> int:
    """This host's own idea of UTC now, in milliseconds."""
    return time.time_ns() // 1_000_000


def monotonic() -> float:
    """Seconds on a clock that never goes back; comparable between the processes of one host."""
    return time.monotonic()


def pause(seconds: float) -> None:
    """Wait. Only for loops that wait for something outside this process."""
    time.sleep(seconds)


def to_datetime(moment_ms: int) -> datetime:
    """The aware UTC datetime of a stored moment."""
    return datetime.fromtimestamp(moment_ms / 1000, tz=UTC)


def from_datetime(moment: datetime) -> int:
    """The stored form of an aware datetime."""
    return int(moment.timestamp() * 1000)


def iso(moment: datetime) -> str:
    """An aware UTC datetime as other programs read it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_of_ms(moment_ms: int) -> str:
    """``iso`` of a stored moment, in a third of the time: lists have thousands of them."""
    hours, rest = divmod(moment_ms, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{_hour(hours)}{minutes:02}:{rest // 1000:02}.{rest % 1000:03}Z"


@lru_cache(maxsize=4096)
def _hour(hours: int) -> str:
    return datetime.fromtimestamp(hours * 3600, tz=UTC).isoformat()[:14]


def span(span_ms: int) -> str:
    """A span of time for people, in its two largest units: ``1 d 23 h``."""
    parts: list[str] = []
    for size, unit in UNITS:
        count, span_ms = divmod(span_ms, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(filter(None, parts[:2])) or "0 s"


def short(span_ms: int) -> str:
    """A span of time for people, in its largest unit, the rest cut: ``3 min``."""
    return next((f"{span_ms // size} {unit}" for size, unit in UNITS if span_ms >= size), "0 s")


def length(span_ms: int) -> str:
    """A span of time in its largest unit that leaves no rest: ``90 s``, ``3 d``."""
    return next((f"{span_ms // size:,} {unit}" for size, unit in UNITS if span_ms % size == 0), f"{span_ms:,} ms")


def to_ms(duration: float | timedelta) -> int:
    """A duration, in seconds or as a timedelta, as whole milliseconds."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    return round(seconds * 1000)
