"""Waiting between the tries of something that may yet come about: longer each time, and not always for ever."""

from __future__ import annotations

from fsmflow import clock


class Patience:
    """What one caller has left for one thing that it tries again and again. The caller says what it waits for.

    The first pause takes ``first_s``, each further one twice as long, up to ``most_s``. It is over once ``tries`` have
    failed, or ``total_s`` have gone by since it began; without either it never is. To be used by one thread.
    """

    def __init__(
        self,
        first_s: float = 0.05,
        most_s: float = 2.0,
        *,
        tries: int | None = None,
        total_s: float = float("inf"),
    ) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._tries = tries
        self._total_s = total_s
        self.begin_anew()

    def begin_anew(self) -> None:
        """After a success: the next trouble is another one."""
        self._began = clock.monotonic()
        self._failed = 0
        #: How long the next pause takes, in seconds.
        self.next_s = self._first_s

    @property
    def is_tried_again(self) -> bool:
        """Whether a try had failed before the one that has just failed."""
        return self._failed > 0

    @property
    def is_over(self) -> bool:
        """Whether the try that has just failed was the last one. ``pause`` waits all the same."""
        is_last = self._tries is not None and self._failed + 1 >= self._tries
        return is_last or clock.monotonic() - self._began > self._total_s

    def pause(self) -> None:
        """Wait after a try that failed."""
        clock.pause(self.next_s)
        self._failed += 1
        self.next_s = min(self.next_s * 2, self._most_s)
