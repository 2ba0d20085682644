"""Counts what nobody who looks has the time to count: a part at a time, in the sweeps of maintenance."""

from __future__ import annotations

from typing import Final

from fsmflow import clock
from fsmflow.engine.runtime import Runtime
from fsmflow.store.counts import Cell, Summary

#: How long what was found is good enough.
_FRESH_MS: Final = 10_000
#: How much is counted at once, and how long a sweep goes on with it.
_PART: Final = 20_000
_SWEEP_S: Final = 0.025
#: Sweeps may follow each other at once.
_PAUSE_S: Final = 0.5


class Recount:
    """The counting of one sweeper. What it has counted so far is lost with it, and another one begins anew."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._next_s = float("-inf")
        self._began_at: int | None = None
        self._left: list[Cell] = []
        self._after = 0
        self._found: dict[str, int] = {}

    def go_on(self) -> None:
        """Count on for some milliseconds, if it is time; keep what was found once all of it is. Two queries where
        nothing is large, every ten seconds. Raises DatabaseUnavailable."""
        started_s = clock.monotonic()
        if started_s < self._next_s:
            return
        self._next_s = started_s + _PAUSE_S
        if self._began_at is None and not self._begins():
            return
        while self._left and clock.monotonic() - started_s < _SWEEP_S:
            self._count(self._left[-1])
        if not self._left and self._began_at is not None:
            self._runtime.store.counts.keep(Summary(at=self._began_at, counts=self._found))
            self._rest()

    def _begins(self) -> bool:
        """Begin, where something is large and nobody else has counted it lately."""
        now, counts = self._runtime.now(), self._runtime.store.counts
        summary = counts.summary()
        large = [] if summary is not None and now - summary.at < _FRESH_MS else counts.large()
        if not large:
            self._rest()
            return False
        self._began_at, self._left, self._after, self._found = now, large, 0, {}
        return True

    def _rest(self) -> None:
        self._began_at = None
        self._next_s = clock.monotonic() + _FRESH_MS / 1000

    def _count(self, cell: Cell) -> None:
        count, after = self._runtime.store.counts.part(cell, self._after, _PART)
        self._found[cell.name] = self._found.get(cell.name, 0) + count
        self._after = after or 0
        if after is None:
            self._left.pop()
