"""How many jobs of each queue may be taken on beside those that run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from fsmflow.definition.priority import queue_below
from fsmflow.running.attempt import Attempt
from fsmflow.running.executor import Executor


class Rooms:
    """``limits``: of which queues no more than so many jobs run at once in this process; of others, as many as there
    are lanes. The priorities of a queue share its room. ``wake`` is called, in whichever thread lets go of one, once a
    queue that was full has room again. For several threads at once."""

    def __init__(self, limits: Mapping[str, int] | None = None, wake: Callable[[], None] = lambda: None) -> None:
        self._left = dict(limits or {})
        self._wake = wake
        self._lock = threading.Lock()
        self._queue_of: dict[Executor, str] = {}

    def left(self) -> Mapping[str, int]:
        """How many more may be taken on, of each queue that has a limit."""
        with self._lock:
            return dict(self._left)

    def take(self, executor: Executor, attempt: Attempt) -> None:
        """One is claimed, and has its room until this executor is free again."""
        work = attempt.snapshot.work
        queue = queue_below(work.queue or "default") if work is not None else "default"
        with self._lock:
            if queue in self._left:
                self._queue_of[executor] = queue
                self._left[queue] -= 1

    def leave(self, executors: Sequence[Executor]) -> None:
        """These are free."""
        with self._lock:
            queues = [queue for each in executors if (queue := self._queue_of.pop(each, None)) is not None]
            was_full = any(self._left[queue] <= 0 for queue in queues)
            for queue in queues:
                self._left[queue] += 1
        if was_full:
            self._wake()
