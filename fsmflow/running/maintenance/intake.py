"""Brings in what a machine newly declares to be searched by, a little at each sweep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fsmflow import clock
from fsmflow.engine.intake import bring_in
from fsmflow.engine.runtime import Runtime

#: How long one sweep goes on with it: so that workers come first.
_SWEEP_S: Final = 0.05


class Intake:
    """One sweeper's way through what is there. Others may be on it too: each page is what it is, whoever writes it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._pass: Iterator[int] | None = None
        self._is_done = False

    def go_on(self) -> None:
        """Go on for some milliseconds. Without a query once all is in that the code declares; what it declares changes
        with the next process. Raises DatabaseUnavailable."""
        if self._is_done:
            return
        if self._pass is None:
            self._pass = self._all()
        until = clock.monotonic() + _SWEEP_S
        try:
            while clock.monotonic() < until:
                if next(self._pass, None) is None:
                    self._is_done = True
                    return
        except BaseException:
            # A generator that has raised is at its end, and would be taken to have brought in all.
            self._pass = None
            raise

    def _all(self) -> Iterator[int]:
        for definition in self._runtime.machines.all().values():
            if definition.wide.search:
                yield from bring_in(self._runtime, definition)
