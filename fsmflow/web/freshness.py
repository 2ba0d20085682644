"""What many pages show is read once for all who ask within a moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import field
from typing import Final, Generic, TypeVar

from fsmflow import clock
from fsmflow.decision.inputs import Actor
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.teams import reach_of
from fsmflow.values import dataclass

Value = TypeVar("Value")

#: For so many seconds the same is told to everybody.
FRESH_S: Final = 2.0
_MOST: Final = 200


def sight_of(runtime: Runtime, actor: Actor) -> Hashable:
    """Who sees the same: those for whom the same entities are there, whatever else they may do. No query."""
    reach = reach_of(runtime, actor)
    if reach is None:
        return id(runtime)
    return id(runtime), reach.terms, frozenset(reach.names.items()), reach.opened, reach.free


@dataclass
class _Place:
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: With the moment at which it was read.
    found: tuple[float, object] | None = None


class Shared(Generic[Value]):
    """Values by key, each good for ``fresh_s`` seconds. One thread reads it; others that ask meanwhile wait for what it
    finds. What is raised is raised for the one who read, and the next one reads anew."""

    def __init__(self, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._places: dict[Hashable, _Place] = {}

    def get(self, key: Hashable, read: Callable[[], Value]) -> Value:
        """The value, read now or a moment ago."""
        with self._lock:
            if len(self._places) > _MOST:
                self._places.clear()
            place = self._places.setdefault(key, _Place())
        with place.lock:
            if place.found is None or clock.monotonic() - place.found[0] > self._fresh_s:
                place.found = (clock.monotonic(), read())
            return place.found[1]  # type: ignore[return-value]
