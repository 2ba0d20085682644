"""What is laid over the picture of a machine: the way of one entity through it, or how many are where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from fsmflow.decision.history import HistoryEntry, HistoryKind
from fsmflow.values import dataclass


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many entities stand in a state, and since when the oldest of them does; ``age``: how long that is. None
    where that is not known. ``late``: the oldest is there for longer than expected. ``trend``: what has become of their
    number lately, in words."""

    count: int
    since: datetime | None
    age: str | None
    late: bool = False
    trend: str = ""

    @property
    def told(self) -> str:
        return self.in_words()

    def in_words(self, where: str = "") -> str:
        """The same, with where they are."""
        age = "" if self.age is None else f", oldest {self.age}{', overdue' if self.late else ''}"
        return f"{self.count:,}{where}{self.trend and f' {self.trend}'}{age}"


EMPTY: Final[Mapping[str, Tally]] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Move:
    """A step of an entity's way, under the names that states have today. ``source`` is None where it began."""

    source: str | None
    dest: str
    trigger: str
    at: datetime

    @property
    def key(self) -> tuple[str | None, str, str]:
        return self.source, self.dest, self.trigger


@dataclass(frozen=True, kw_only=True)
class Journey:
    """The way of one entity until now. ``failure``: the type of what it rests in."""

    address: str
    state: str
    since: datetime
    failure: str | None
    moves: tuple[Move, ...]

    @property
    def visited(self) -> frozenset[str]:
        return frozenset(move.dest for move in self.moves) | {self.state}

    @property
    def taken(self) -> Counter[tuple[str | None, str, str]]:
        """How often each (source, dest, trigger) was taken."""
        return Counter(move.key for move in self.moves)


def moves_of(entries: Iterable[HistoryEntry], renamed: Mapping[str, str]) -> tuple[Move, ...]:
    """The lines of a history that are steps of the way. ``renamed``: names of states of before, with those of today.

    A state that was forced, skipped to or rewound to is a step too: its trigger is called by what was done.
    """
    return tuple(
        Move(
            source=None if entry.source is None else renamed.get(entry.source, entry.source),
            dest=renamed.get(entry.dest, entry.dest),
            trigger=entry.trigger or entry.kind.value,
            at=entry.at,
        )
        for entry in entries
        if entry.kind.enters or entry.kind is HistoryKind.INTERNAL
    )
