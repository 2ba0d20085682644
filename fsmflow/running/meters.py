"""Counts attempts, doorbells and sweeps: as they happen in memory, and every few seconds in the database.

A worker process tells its supervisor over a pipe, which costs it no round trip and no commit; the supervisor adds all
of it up in one. What was not kept yet is lost with a supervisor that is killed, so the numbers are for looking, and
nothing is decided by them.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from select import PIPE_BUF
from typing import Any, Final

from fsmflow import clock
from fsmflow.decision.commit import Commit
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Crashed, Failed, Happening, Postponed, Returned, Spread, Unacceptable
from fsmflow.definition.names import FAILED
from fsmflow.engine.counting import Counting
from fsmflow.observers import CAUGHT, RESTS, RETRIED
from fsmflow.running.lease import LEASE_MS
from fsmflow.scope import scope
from fsmflow.store.meters import Meter, Meters

#: The upper edges of the buckets of all histograms, in milliseconds.
EDGES_MS: Final = (10, 50, 100, 500, 1_000, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000)
#: The edge of what is longer than all of them.
BEYOND_MS: Final = 2**52
#: Of queues that a function of a machine chooses there may be any number: so many are counted apart.
MOST_QUEUES: Final = 100
OTHER: Final = "other"
#: How an attempt ends, besides by a failure: its step goes on; it made branches; it was put off; its worker was lost.
DONE: Final = "done"
SPREAD: Final = "spread"
POSTPONED: Final = "postponed"
LOST: Final = "lost"
_KEEP_S: Final = 5.0
#: How much later it is tried again where that failed, as where nobody has granted the right to.
_AGAIN_S: Final = 55.0
#: How much a pipe holds while the supervisor is busy, where the system allows that.
_PIPE_BYTES: Final = 1 << 20
_encoded: Final = json.JSONEncoder(separators=(",", ":")).encode

#: What happened, as it goes over the pipe: what it is, and its values.
Told = Sequence[Any]


class Metering(Counting):
    """Makes of what it is told what is counted, and hands that on."""

    def __init__(self, tell_all: Callable[[Sequence[Told]], None]) -> None:
        self._tell_all = tell_all
        self._here = threading.local()

    @scope
    def together(self) -> Iterator[None]:
        self._here.told = told = list[Told]()
        try:
            yield
        finally:
            self._here.told = None
            self._tell_all(told)

    def _tell(self, told: Told) -> None:
        together: list[Told] | None = getattr(self._here, "told", None)
        if together is None:
            self._tell_all([told])
        else:
            together.append(told)

    def ended(self, commit: Commit, happening: Happening | None) -> None:
        outcome = _outcome(commit, happening)
        before = commit.before
        if outcome is None or before is None or before.work is None:
            return
        work = before.work
        lost_ms = None
        if isinstance(happening, Crashed) and work.lease_until is not None:
            lost_ms = max(commit.after.updated_at - (work.lease_until - LEASE_MS), 0)
        duration_ms = getattr(happening, "duration_ms", None)
        state = before.branch_of or before.state
        self._tell(("ended", before.machine, state, outcome, duration_ms, work.attempt > 1, lost_ms))

    def answered(self, claimed: Snapshot, now: int) -> None:
        work = claimed.work
        if work is not None:
            waited_ms = None if work.rung_at is None else max(now - work.rung_at, 0)
            self._tell(("answered", work.queue or "default", waited_ms))

    def in_vain(self) -> None:
        self._tell(("in_vain",))

    def rung_again(self, queue: str) -> None:
        self._tell(("rung_again", queue))

    def swept(self, seconds: float, rows: int) -> None:
        self._tell(("swept", clock.to_ms(seconds), rows))


def _outcome(commit: Commit, happening: Happening | None) -> str | None:
    """How a commit ended an attempt; None where it did not."""
    match happening:
        case Returned():
            return DONE
        case Spread():
            return SPREAD
        case Postponed():
            return POSTPONED
        case Crashed():
            return LOST
        case Failed() | Unacceptable():
            is_left = commit.before is None or commit.before.epoch != commit.after.epoch
            return RETRIED if not is_left else RESTS if commit.after.phase == FAILED else CAUGHT
    return None


class Counts:
    """What was counted here and is not in the database yet. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[Meter, int] = {}
        self._queues: set[str] = set()
        self._keep_at_s = float("-inf")

    def take(self, several: Iterable[Told]) -> None:
        """Count what has happened."""
        with self._lock:
            for told in several:
                for meter, number in self._meters(*told):
                    self._counted[meter] = self._counted.get(meter, 0) + number

    def keep(self, meters: Meters, *, at_once: bool = False) -> None:
        """Add to the database what has been counted, if it is time. Where it cannot be added it is kept for the next
        time. One commit, and none where nothing was counted. Raises DatabaseUnavailable."""
        if clock.monotonic() < self._keep_at_s and not at_once:
            return
        self._keep_at_s = clock.monotonic() + _KEEP_S
        with self._lock:
            taken, self._counted = self._counted, {}
        try:
            meters.add(taken)
        except BaseException:
            self._keep_at_s += _AGAIN_S
            with self._lock:
                for meter, number in taken.items():
                    self._counted[meter] = self._counted.get(meter, 0) + number
            raise

    def _meters(self, what: str, *values: Any) -> Iterator[tuple[Meter, int]]:
        if what == "ended":
            yield from _ended(*values)
        elif what == "answered":
            queue, waited_ms = self._queue(values[0]), values[1]
            yield Meter("doorbells_answered", label=queue), 1
            yield from _timed(Meter("wait_seconds", label=queue), waited_ms)
        elif what == "rung_again":
            yield Meter("doorbells_rung_again", label=self._queue(values[0])), 1
        elif what == "swept":
            yield Meter("sweep_rows"), values[1]
            yield from _timed(Meter("sweep_seconds"), values[0])
        else:
            yield Meter("doorbells_in_vain"), 1

    def _queue(self, name: str) -> str:
        if len(self._queues) < MOST_QUEUES:
            self._queues.add(name)
        return name if name in self._queues else OTHER


def _ended(
    machine: str, state: str, outcome: str, duration_ms: int | None, is_repeat: bool, lost_ms: int | None
) -> Iterator[tuple[Meter, int]]:
    yield Meter("attempts", machine, state, outcome), 1
    if is_repeat:
        yield Meter("attempts_repeated", machine, state), 1
    yield from _timed(Meter("attempt_seconds", machine, state), duration_ms)
    yield from _timed(Meter("recovery_seconds"), lost_ms)


def _timed(meter: Meter, span_ms: int | None) -> Iterator[tuple[Meter, int]]:
    """One more in the bucket of this span, and the sum of all spans."""
    if span_ms is not None:
        edge = bisect_left(EDGES_MS, span_ms)
        yield meter._replace(at_most=EDGES_MS[edge] if edge < len(EDGES_MS) else BEYOND_MS), 1
        yield meter, span_ms


class Channel:
    """A pipe by which worker processes tell their supervisor what has happened. Whoever tells never waits: what does
    not fit in is not counted."""

    def __init__(self, writing: int, reading: int | None = None) -> None:
        self.writing = writing
        self._reading = reading
        self._rest = b""

    @classmethod
    def create(cls) -> Channel:
        """A new one; worker processes inherit the end that is written to."""
        reading, writing = os.pipe()
        for descriptor in (reading, writing):
            os.set_blocking(descriptor, False)
        with suppress(OSError, AttributeError):  # a pipe of the usual size does, too
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return cls(writing, reading)

    def tell(self, several: Iterable[Told]) -> None:
        """Tell, each in one piece, whoever else does so."""
        piece = b""
        for told in several:
            line = _encoded(told).encode("ascii") + b"\n"
            if len(piece) + len(line) > PIPE_BUF:
                self._write(piece)
                piece = b""
            piece += line
        self._write(piece)

    def _write(self, piece: bytes) -> None:
        with suppress(OSError):  # it is full, or nobody reads it any more, or a job has closed it
            if piece:
                os.write(self.writing, piece)

    def told(self) -> Iterator[Told]:
        """All that was told since the last time."""
        while self._reading is not None and (read := self._read(self._reading)):
            *lines, self._rest = (self._rest + read).split(b"\n")
            for line in lines:
                yield json.loads(line)

    def _read(self, reading: int) -> bytes:
        try:
            return os.read(reading, _PIPE_BYTES)
        except BlockingIOError:
            return b""
