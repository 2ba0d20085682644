"""The doorbells that a worker has taken before it needs them: for steps that are short, one round trip earlier."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from fsmflow import clock
from fsmflow.store.work import Ticket

#: A job that takes longer keeps nothing from others.
SHORT_S: Final = 0.05
#: After so many short ones it is expected that the next is short, too.
_STREAK: Final = 8
#: For how long what comes next is claimed with the end of what goes before, until all else has its turn.
_ALONG_S: Final = 1.0


class Taken(NamedTuple):
    """A doorbell that was taken: the id of its job, the key of its queue, and what it is for."""

    id: bytes
    queue_key: bytes
    ticket: Ticket


class Reserve:
    """Holds what was taken ahead until its turn comes; what then waits for a job that is not short is given back to
    its queue, by a thread. Whoever takes one out has it for himself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead: deque[Taken] = deque()
        self._due: deque[Taken] = deque()
        self._filled = threading.Event()
        self._give_back: Callable[[Sequence[Taken]], None] | None = None
        self._thread: threading.Thread | None = None
        self._turns = 0
        self._streak = 0
        self._until = float("-inf")

    def belongs_to(self, give_back: Callable[[Sequence[Taken]], None]) -> None:
        """From now on what is late is handed to ``give_back``, which raises nothing. What was ahead is forgotten: it is
        found in SQL."""
        with self._lock:
            self._ahead.clear()
            self._give_back = give_back

    @property
    def room(self) -> int:
        """How many may be taken ahead now."""
        return 1 if self._streak >= _STREAK and not self._ahead else 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be taken out."""
        return not self._ahead and not self._due

    def begin(self) -> None:
        """What ``draw`` gives is given for a while from now on."""
        self._until = clock.monotonic() + _ALONG_S

    def ran(self, seconds: float) -> None:
        """A step took so long."""
        self._streak = self._streak + 1 if seconds < SHORT_S else 0

    def put(self, taken: Iterable[Taken]) -> None:
        """Add what was taken ahead."""
        with self._lock:
            self._turns += 1
            self._ahead += taken
            if not self._ahead or self._filled.is_set():
                return
            self._filled.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="fsmflow-reserve", daemon=True)
            self._thread.start()

    def draw(self) -> Ticket | None:
        """What comes next, for who claims it now: whoever takes the next out has that one. None where there is none, or
        all else is to have its turn."""
        with self._lock:
            if not self._ahead or clock.monotonic() >= self._until:
                return None
            self._turns += 1
            self._due.append(self._ahead.popleft())
            return self._due[-1].ticket

    def drawn(self) -> Taken | None:
        """Take out what was drawn."""
        return self._due.popleft() if self._due else None

    def take(self) -> Taken | None:
        """Take out what comes next: what was drawn first."""
        with self._lock:
            self._turns += 1
            source = self._due or self._ahead
            return source.popleft() if source else None

    def clear(self) -> list[Taken]:
        """Take out all that was not drawn."""
        with self._lock:
            left = list(self._ahead)
            self._ahead.clear()
            return left

    def _watch(self) -> None:
        while self._filled.wait():
            before = self._turns
            clock.pause(SHORT_S)
            with self._lock:
                late = list(self._ahead) if self._turns == before else []
                if late or not self._ahead:
                    self._ahead.clear()
                    self._filled.clear()
                give_back = self._give_back
            if late and give_back is not None:
                give_back(late)
