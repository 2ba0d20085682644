"""Finds a transactional job that waits for what its own transaction has locked, and ends that wait."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, Final

from fsmflow import clock
from fsmflow.errors import FsmflowError
from fsmflow.log import endings
from fsmflow.scope import scope
from fsmflow.store.link import Link
from fsmflow.store.locks import Ask, Waits, behind, waits_of
from fsmflow.store.sentence import first_line

#: A job is looked at after so long, and then after twice as long each time.
_LOOK_S: Final = 1.0
_INSTEAD: Final = (
    "write in that transaction: by self.session with SQLAlchemy, self.database with peewee, your models in Django"
)


class OwnLock(FsmflowError):
    """Recorded where a transactional job waited for what its own transaction has locked."""


def likely(job: str) -> str:
    """What is said where a lock was waited for in vain, and nobody knows who has it."""
    return f"job {job!r} runs in a transaction, and most likely it is that which has the lock; {_INSTEAD}"


class Watched:
    """A transactional job that runs: the thread, the connection of its transaction, and those by which it is known to
    write apart, by their numbers."""

    def __init__(self, link: Link, waits: Waits, number: int, apart: Sequence[int], address: str, job: str) -> None:
        self.waits, self.open = waits, link.opener()
        self.number, self.apart = number, apart
        self.address, self.job = address, job
        self.thread = threading.get_ident()
        self.pause_s = _LOOK_S
        self.looks_at = clock.monotonic() + _LOOK_S
        #: What it waited for, once that was ended.
        self.found = ""

    def look(self) -> None:
        """Look whether it waits for itself. Raises what the driver raises."""
        self.pause_s *= 2
        self.looks_at = clock.monotonic() + self.pause_s
        connection = self.open()
        try:
            self._look(connection)
        finally:
            connection.close()

    def _look(self, connection: Any) -> None:
        def ask(sql: str) -> Sequence[Any]:
            cursor = connection.cursor()
            cursor.execute(sql)
            return [] if cursor.description is None else list(cursor.fetchall())

        waiting = behind(self.waits.pairs(ask), self.number)
        own = waiting & set(self._numbers()) if waiting else set()
        for number in own:
            self._end(ask, number)

    def _end(self, ask: Ask, number: int) -> None:
        self.found = (
            f"job {self.job!r} waited for what its own transaction has locked, by another connection: neither would "
            f"ever have gone on; {_INSTEAD}"
        )
        endings.waited_for_itself(self.address, self.found)
        self.waits.end(ask, number)

    def _numbers(self) -> Iterator[int]:
        """Of the connections that it uses just now, beside that of its transaction."""
        yield from self.apart
        for thing in _in_use(self.thread):
            number = self.waits.number_of(thing)
            if number is not None and number != self.number:
                yield number


def _in_use(thread: int) -> Iterator[Any]:
    """What the functions that a thread is in just now have at hand: whichever library has called a driver, its
    connection or cursor is among it."""
    frame: FrameType | None = sys._current_frames().get(thread)  # noqa: SLF001 - it is documented
    while frame is not None:
        yield from list(frame.f_locals.values())
        frame = frame.f_back


class _Lookout:
    """The thread of this process that looks. It begins with the first job, and rests while there is none."""

    def __init__(self) -> None:
        self._begun, self._never = threading.Event(), threading.Event()
        self._jobs: set[Watched] = set()
        self._pid = 0

    def add(self, job: Watched) -> None:
        self._jobs.add(job)
        if self._pid != os.getpid():
            # A process that was forked has no thread but the one that forked it.
            self._pid, self._begun, self._never = os.getpid(), threading.Event(), threading.Event()
            self._jobs = {job}
            threading.Thread(target=self._go, name="fsmflow-standstill", daemon=True).start()
        self._begun.set()

    def leave(self, job: Watched) -> None:
        self._jobs.discard(job)

    def _go(self) -> None:
        while self._begun.wait():
            self._begun.clear()
            while self._jobs:
                self._never.wait(_LOOK_S)
                for job in tuple(self._jobs):
                    self._look(job)

    def _look(self, job: Watched) -> None:
        if clock.monotonic() < job.looks_at:
            return
        try:
            job.look()
        except Exception as error:  # noqa: BLE001 - whatever a driver raises: the job goes on as it would without this
            job.looks_at = math.inf
            endings.not_watched(job.address, first_line(error))


_lookout: Final = _Lookout()


@scope
def watched(link: Link, address: str, job: str, apart: Sequence[int]) -> Iterator[Watched | None]:
    """Inside, a transactional job runs in this thread, and is looked at; None where the database cannot tell."""
    connection = link.db.connection()
    waits = waits_of(connection)
    number = waits.number_of(connection)
    if number is None:
        yield None
        return
    found = Watched(link, waits, number, apart, address, job)
    _lookout.add(found)
    try:
        yield found
    finally:
        _lookout.leave(found)
