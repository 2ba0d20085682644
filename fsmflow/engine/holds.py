"""Holds: what operators keep back for a while, of machines, states, queues and data: what stands there and what comes.

All of them are one fact in the database. Each claim reads it in its own statement, so that no job is taken of what is
kept back once a hold has been made. What is kept back is parked: its work row says by which hold, and is not due. A
sweeper lets it go after the release, so that nothing hangs on whoever has asked for that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Final, TypeVar

from fsmflow import clock, codec
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.terms import same, value_at
from fsmflow.decision.work import FAR_FUTURE_MS
from fsmflow.definition.priority import queue_below
from fsmflow.engine.commits import TRIES, until_first
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DataError, TransitionConflict
from fsmflow.store.tables import HOLDS
from fsmflow.values import dataclass, replace

#: More of them at once would be read at each claim.
MAX_HOLDS: Final = 100
#: What is asked for within so long by the same person is the same.
_TWICE_MS: Final = 5_000

Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class Hold:
    """What is kept back; what is not given does not narrow it. ``state`` is a glob; of a branch that runs a job it is
    the state that fans out. ``where``: fields of the data and their values. ``until``: when it ends by itself.
    ``released_at``: since when it keeps nothing back any more; what is parked by it goes on, ``rate`` a second, or all
    at once, and ``reached`` is until when that was done. Times in UTC milliseconds. Its ``str()`` is for people."""

    number: int
    at: int
    machine: str | None = None
    state: str | None = None
    queue: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    until: int | None = None
    reason: str | None = None
    by: str | None = None
    released_at: int | None = None
    rate: float | None = None
    reached: int | None = None

    def is_active(self, now: int) -> bool:
        """Whether it keeps back what comes now."""
        return self.released_at is None and (self.until is None or self.until > now)

    def keeps(self, kept: Kept) -> bool:
        """Whether this is one of those that it keeps back."""
        if self.machine not in (None, kept.machine) or self.queue not in (None, *kept.queues):
            return False
        if self.state is not None and not fnmatchcase(kept.state, self.state):
            return False
        if not self.where:
            return True
        data = codec.decode(kept.data_text)
        return all(same(value_at(data, name), wanted) for name, wanted in self.where.items())

    @property
    def about(self) -> str:
        """What it keeps back, in words."""
        where = ", ".join(f"{name}={value!r}" for name, value in self.where.items())
        parts = (
            self.machine or "all machines",
            self.state and f"in {self.state}",
            self.queue and f"on queue {self.queue!r}",
            where and f"with {where}",
        )
        return " ".join(part for part in parts if part)

    def __str__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        by = f" by {self.by}" if self.by else ""
        until = f" until {clock.to_datetime(self.until):%Y-%m-%d %H:%M:%S} UTC" if self.until is not None else ""
        return f"hold {self.number}{by} of {self.about}{why}{until}"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What holds are asked about: an entity, a branch by the state and the data of its parent."""

    machine: str
    state: str
    queue: str | None
    data_text: str

    @classmethod
    def of(cls, snapshot: Snapshot, parent: Snapshot | None) -> Kept:
        """``parent``: that of a branch which runs a job."""
        return cls(
            machine=snapshot.machine,
            state=snapshot.branch_of or snapshot.state,
            queue=snapshot.work.queue if snapshot.work is not None else None,
            data_text=snapshot.data_text if parent is None else parent.data_text,
        )

    @property
    def queues(self) -> tuple[str, ...]:
        """Where it waits: by its queue in RQ, which is that of its priority, and by the one that it was given."""
        return () if self.queue is None else (self.queue, queue_below(self.queue))


@dataclass(frozen=True, kw_only=True)
class Holds:
    """The fact: all holds that are in force, or that something is parked by yet. ``last``: the latest number."""

    last: int = 0
    holds: tuple[Hold, ...] = ()

    def keeping(self, kept: Kept, now: int) -> Hold | None:
        """The one that keeps this back; of several the one that does so longest."""
        found = [hold for hold in self.holds if hold.is_active(now) and hold.keeps(kept)]
        return max(found, key=lambda hold: hold.until or FAR_FUTURE_MS, default=None)

    def twin_of(self, hold: Hold, now: int) -> Hold | None:
        """The one that was made just now, of the same. Where it ends is told from the moment of each request."""
        same = replace(hold, number=0, at=0, until=None)
        found = (
            each for each in self.holds if now - each.at < _TWICE_MS and (each.until is None) == (hold.until is None)
        )
        return next((each for each in found if replace(each, number=0, at=0, until=None) == same), None)

    def parks(self, kept: Kept, now: int) -> tuple[int, int] | None:
        """By which hold this is to be parked, and until when; None where none keeps it back."""
        hold = self.keeping(kept, now)
        return None if hold is None else (hold.number, hold.until or FAR_FUTURE_MS)

    def to_text(self) -> str:
        return codec.encode({"last": self.last, "holds": [vars(hold) for hold in self.holds]}, what="holds")


@lru_cache(maxsize=16)
def holds_of(text: str | None) -> Holds:
    """What the fact says; nothing where there is none yet."""
    if text is None:
        return Holds()
    stored = codec.decode(text)
    return Holds(last=stored["last"], holds=tuple(Hold(**hold) for hold in stored["holds"]))


def in_force(runtime: Runtime) -> Holds:
    """All holds. One query."""
    return holds_of(runtime.store.meta.get([HOLDS]).get(HOLDS))


def change(runtime: Runtime, change: Callable[[Holds], Holds]) -> Holds:
    """Change the fact, anew as long as others do so first; what it is then. Raises TransitionConflict."""
    meta, link = runtime.store.meta, runtime.store.link

    def change_once(turn: int) -> Holds | None:
        text = meta.get([HOLDS]).get(HOLDS)
        changed = change(holds_of(text))
        if text is None:
            return changed if meta.add(HOLDS, changed.to_text()) else None
        old = text
        return changed if link.write(lambda: meta.swap(HOLDS, old, changed.to_text())) else None

    found = until_first(change_once)
    if found is None:
        raise TransitionConflict("the holds", f"others changed them in each of {TRIES} tries")
    return found


def make(runtime: Runtime, hold: Hold) -> Hold:
    """Keep back what ``hold`` says; with its number. Once this returns no job of that is taken. Asked for twice by one
    person within some seconds, as by a double click, it is one. Raises DataError for more of them than there may be,
    and for one that is over already."""
    now = runtime.now()
    if hold.until is not None and hold.until <= now:
        raise DataError(f"a hold until {clock.to_datetime(hold.until):%Y-%m-%d %H:%M:%S} UTC is over already")

    def add(found: Holds) -> Holds:
        if found.twin_of(hold, now) is not None:
            return found
        if len(found.holds) >= MAX_HOLDS:
            raise DataError(f"there are {MAX_HOLDS} holds already; release some of them first")
        made = replace(hold, number=found.last + 1, at=now)
        return Holds(last=made.number, holds=(*found.holds, made))

    found = change(runtime, add)
    return found.twin_of(hold, now) or found.holds[-1]


def release(runtime: Runtime, number: int, *, rate: float | None = None) -> Hold:
    """Keep nothing back by this hold any more. Workers let go what is parked, ``rate`` a second. One that was released
    already gets the new rate. Raises DataError where there is none of this number."""
    now = runtime.now()

    def end(found: Holds) -> Holds:
        hold = next((hold for hold in found.holds if hold.number == number), None)
        if hold is None:
            there = ", ".join(str(hold.number) for hold in found.holds)
            raise DataError(f"there is no hold {number}; {f'those in force: {there}' if there else 'none is in force'}")
        released_at = now if hold.released_at is None else hold.released_at
        ended = replace(hold, released_at=released_at, rate=rate, reached=now)
        return replace(found, holds=tuple(ended if each is hold else each for each in found.holds))

    return next(hold for hold in change(runtime, end).holds if hold.number == number)


def kept_of(runtime: Runtime, stored: Snapshot) -> Kept:
    """What holds are asked about an entity. One query for a branch."""
    is_branch = stored.branch_of is not None
    return Kept.of(stored, runtime.store.entities.load_row(stored.parent or 0) if is_branch else None)


def holding(runtime: Runtime, stored: Snapshot) -> Hold | None:
    """The hold that keeps an entity back, as it is now. One query where there are no holds."""
    found = in_force(runtime)
    return found.keeping(kept_of(runtime, stored), runtime.now()) if found.holds else None
