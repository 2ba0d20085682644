"""Visits every state that a model can reach: breadth first, so that what goes wrong is told by a shortest trace.

A model is a set of worlds and the steps between them. Worlds are frozen and compare by value; a model hands out worlds
in a canonical form, so that those that differ in names alone are one.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Generic, NamedTuple, Protocol, TypeVar

World = TypeVar("World", bound=Hashable)

#: What is broken where an end cannot be reached any more.
STUCK = "2: an end can be reached from everywhere"
_NONE = 2**32 - 1


class Step(NamedTuple, Generic[World]):
    """What may happen next, in words, and the world after it. ``is_fault``: it need not happen."""

    what: str
    world: World
    is_fault: bool = False


class Model(Protocol[World]):
    """What is explored."""

    @property
    def invariants(self) -> Mapping[str, Callable[[World], bool]]:
        """What must hold in every world, by name."""

    def starts(self) -> Iterable[World]:
        """The worlds in which it begins."""

    def steps(self, world: World) -> Iterator[Step[World]]:
        """All that may happen next."""

    def has_ended(self, world: World) -> bool:
        """Whether nothing more is owed to anybody."""


class Order:
    """Gives members their places in the order in which they were first met: the same in every run, as no order by hash
    is, and for whatever can be hashed."""

    def __init__(self) -> None:
        self._places: dict[Hashable, int] = {}

    def __call__(self, member: Hashable) -> int:
        return self._places.setdefault(member, len(self._places))


class Violation(NamedTuple):
    """An invariant that is broken, and how it comes to that."""

    invariant: str
    trace: tuple[str, ...]

    def __str__(self) -> str:
        steps = [f"  {number:2}. {what}" for number, what in enumerate(self.trace, 1)] or ["  from the beginning"]
        return "\n".join([f"broken: {self.invariant}", *steps])


class Report(NamedTuple):
    """What an exploration came to: counts, and ``seconds`` of processor time. ``is_whole``: nothing was left out."""

    states: int
    steps: int
    seconds: float
    violation: Violation | None
    is_whole: bool

    def __str__(self) -> str:
        figures = f"{self.states:,} states, {self.steps:,} steps, {self.seconds:.1f} s"
        if self.violation is not None:
            return f"{figures}\n{self.violation}"
        return (
            f"{figures}: {'nothing is broken' if self.is_whole else 'nothing is broken so far; the limit was reached'}"
        )


class _Explorer(Generic[World]):
    """The worlds that have been seen, by number, and how each was come to."""

    def __init__(self, model: Model[World]) -> None:
        self._model = model
        self._numbers: dict[World, int] = {}
        self._worlds: list[World] = []
        self._came_from = array("L")
        self._came_by: list[str] = []
        # The steps that are no faults, backwards: of each world the last step into it, of each step the one before.
        self._last_into = array("L")
        self._before = array("L")
        self._source = array("L")
        self.steps = 0

    def explore(self, limit: int) -> tuple[Violation | None, bool]:
        """Go everywhere. The first violation, and whether everything has been seen."""
        for world in self._model.starts():
            self._number(world, _NONE, "")
        invariants = tuple(self._model.invariants.items())
        number = 0
        while number < len(self._worlds):
            if len(self._worlds) > limit:
                return None, False
            world = self._worlds[number]
            for invariant, holds in invariants:
                if not holds(world):
                    return Violation(invariant, self._trace(number)), False
            for step in self._model.steps(world):
                self._walk(number, step)
            number += 1
        stuck = self._first_stuck()
        return (None if stuck is None else Violation(STUCK, self._trace(stuck))), True

    @property
    def states(self) -> int:
        return len(self._worlds)

    def _walk(self, number: int, step: Step[World]) -> None:
        self.steps += 1
        into = self._number(step.world, number, step.what)
        if not step.is_fault:
            self._before.append(self._last_into[into])
            self._last_into[into] = len(self._source)
            self._source.append(number)

    def _number(self, world: World, came_from: int, came_by: str) -> int:
        number = self._numbers.setdefault(world, len(self._worlds))
        if number == len(self._worlds):
            self._worlds.append(world)
            self._came_from.append(came_from)
            self._came_by.append(came_by)
            self._last_into.append(_NONE)
        return number

    def _trace(self, number: int) -> tuple[str, ...]:
        trace = []
        while self._came_from[number] != _NONE:
            trace.append(self._came_by[number])
            number = self._came_from[number]
        return tuple(reversed(trace))

    def _first_stuck(self) -> int | None:
        """The first world from which no end can be reached, if no more faults come: backwards from all ends."""
        reached = bytearray(len(self._worlds))
        todo = [number for number, world in enumerate(self._worlds) if self._model.has_ended(world)]
        for number in todo:
            reached[number] = 1
        while todo:
            step = self._last_into[todo.pop()]
            while step != _NONE:
                source = self._source[step]
                if not reached[source]:
                    reached[source] = 1
                    todo.append(source)
                step = self._before[step]
        return None if all(reached) else reached.index(0)


def explore(model: Model[World], *, limit: int = 5_000_000) -> Report:
    """Try every order of events, up to so many states or the first violation.

    Checks the invariants everywhere, and then that from everywhere an end can be reached without any more faults.
    """
    started = time.process_time()
    explorer = _Explorer(model)
    violation, is_whole = explorer.explore(limit)
    return Report(explorer.states, explorer.steps, time.process_time() - started, violation, is_whole)
