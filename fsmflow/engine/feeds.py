"""Feeds: what happens to all entities, told to a consumer that remembers how far it has come.

Nothing is left out, whatever transactions are open, for how long, and in which order they commit: see ``store.stream``.
What was told and not yet noted as read is told again. Who reads holds the cursor for a while, and a late one is refused
by the write that would move it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Final, Self, TypeVar

from fsmflow import clock, log
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.position import Cursor, Position
from fsmflow.engine.cursors import Place
from fsmflow.engine.registry import is_built_in
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DatabaseUnavailable, FsmflowError
from fsmflow.log.feeds import feed_held
from fsmflow.patience import Patience
from fsmflow.scope import scope
from fsmflow.store.reach import Reach
from fsmflow.store.stream import Line, Page
from fsmflow.values import dataclass, replace

#: Entries that are held in memory at once.
_CHUNK: Final = 100
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 1.0

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which entries are told; what is not given does not narrow them. ``machines``: those of the user alone, if not
    given. ``states``, those that an entry leads to, and
    ``triggers`` are globs. ``branches``: those of branches and children too."""

    machines: tuple[str, ...] | None = None
    states: tuple[str, ...] | None = None
    triggers: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    branches: bool = False

    def takes(self, line: Line) -> bool:
        """Whether a line is told."""
        return (
            line.machine is not None
            and (not is_built_in(line.machine) if self.machines is None else line.machine in self.machines)
            and (self.branches or line.parent is None)
            and (self.kinds is None or line.kind in self.kinds)
            and _is_like(line.dest, self.states)
            and _is_like(line.trigger, self.triggers)
        )

    def __str__(self) -> str:
        named = {"machine": self.machines, "state": self.states, "trigger": self.triggers, "kind": self.kinds}
        told = [f"{name} {', '.join(values)}" for name, values in named.items() if values is not None]
        return "; ".join([*told, *(["branches"] if self.branches else [])])


def _is_like(text: str | None, globs: tuple[str, ...] | None) -> bool:
    return globs is None or any(fnmatchcase(text or "", glob) for glob in globs)


@dataclass(frozen=True, kw_only=True)
class FeedEntry:
    """One line of history as a feed tells it: of the entity at ``address``, with masks for what its machine redacts.

    ``id`` is the same whenever it is told again, and that of no other, so a consumer can know it by that. ``number``
    grows along the feed, but for what was committed late.
    """

    id: str
    number: int
    machine: str
    entity_id: str
    is_branch: bool
    entry: HistoryEntry

    @property
    def address(self) -> str:
        """Machine and id."""
        return f"{self.machine}:{self.entity_id}"

    @property
    def state(self) -> str:
        """The state after it."""
        return self.entry.dest


@dataclass(frozen=True, kw_only=True)
class _Step:
    """Where a feed stands once an entry has been read; ``token`` is that of the line with the highest number."""

    position: Position
    token: str | None
    entry: FeedEntry | None = None


@dataclass(frozen=True, kw_only=True)
class _Chunk:
    """Some entries, and where the feed stands once all of them, and what is not told behind them, have been read."""

    steps: tuple[_Step, ...]
    end: _Step

    @property
    def entries(self) -> list[FeedEntry]:
        """What is told."""
        return [step.entry for step in self.steps if step.entry is not None]


class Feed:
    """Reads entries in the order of their commits, entity by entity: see ``fsmflow.feed``. To be used by one thread;
    ``stop`` may be called from anywhere."""

    def __init__(
        self,
        runtime: Runtime,
        name: str | None,
        place: Place,
        wanted: Wanted,
        *,
        follow: bool,
        reach: Reach | None = None,
    ) -> None:
        self._runtime = runtime
        self._reach = reach
        self._name = name or ""
        self._place = place
        self._wanted = wanted
        self._follow = follow
        self._is_full = False
        self._is_held = False
        self._stopped = False

    def __iter__(self) -> Iterator[FeedEntry]:
        """Entry by entry. One counts as read once the next one is asked for: what raises, or leaves the loop, gets the
        last one again. Raises FeedInUse, FeedAhead, DatabaseUnavailable."""
        for chunk in self._read(_CHUNK):
            for step, entry in zip(chunk.steps, chunk.entries, strict=True):
                yield entry
                # With the last one what is not told behind it has been read too.
                self._move(chunk.end if step is chunk.steps[-1] else step, 1)
                if self._stopped:
                    return
            if not chunk.steps:
                self._move(chunk.end, 0)

    def batches(self, most: int = _CHUNK) -> Iterator[list[FeedEntry]]:
        """Lists of up to so many entries, as many as are there. One counts as read as a whole, once the next is asked
        for. Raises as iterating does."""
        for chunk in self._read(most):
            if chunk.steps:
                yield chunk.entries
            self._move(chunk.end, len(chunk.steps))

    @scope
    def page(self, most: int = _CHUNK) -> Iterator[list[FeedEntry]]:
        """``with feed.page() as entries``: up to so many, in a transaction of fsmflow's database, which notes that they
        have been read. What is written in it by the same connection is committed with that, once and for all, or not
        at all.

        A feed that follows waits until some are there; the list is empty where there are none, or it was stopped. It
        may be inside a transaction of the caller's, and is a part of that; then it does not wait. Raises as iterating
        does.
        """
        if not self._name:
            raise FsmflowError("a page is read by a feed with a name, as it commits how far that has come")
        chunk = self._next(most)
        with self._runtime.store.link.transaction():
            yield [] if chunk is None else chunk.entries
            if chunk is not None:
                self._place.move(chunk.end.position, chunk.end.token, len(chunk.steps))

    def stop(self) -> None:
        """Read no more, once what is being worked on is done. May be called by another thread or a signal's handler."""
        self._stopped = True

    def close(self) -> None:
        """Let others read at once. Leaving a loop does so too; without it they wait until the lease is over."""
        self._place.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, most: int) -> Iterator[_Chunk]:
        """Chunks, some without entries, as long as there are any, or until stopped."""
        if self._runtime.store.link.in_transaction:
            raise FsmflowError("a feed is not read entry by entry inside a transaction; use 'with feed.page()' there")
        patience = Patience(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        try:
            while not self._stopped:
                cursor = self._insist(self._place.claimed)
                for chunk in self._chunks(cursor, most) if cursor is not None else ():
                    yield chunk
                    if self._stopped:
                        return
                    patience.begin_anew()
                if cursor is not None and self._is_full:
                    continue
                if not self._follow:
                    return
                patience.pause()
        finally:
            self.close()

    def _next(self, most: int) -> _Chunk | None:
        """The first chunk with an entry; None where there is none."""
        inside = self._runtime.store.link.in_transaction
        patience = Patience(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while not self._stopped:
            cursor = self._insist(self._place.claimed)
            for chunk in self._chunks(cursor, most) if cursor is not None else ():
                if chunk.steps:
                    return chunk
                self._move(chunk.end, 0)
            if cursor is not None and self._is_full:
                continue
            if inside or not self._follow:
                return None
            patience.pause()
        return None

    def _insist(self, action: Callable[[], Result]) -> Result:
        """Do what may be done again; for a feed that follows as long as it takes, while the database is away."""
        patience, since = Patience(), clock.monotonic()
        while True:
            try:
                done = action()
            except DatabaseUnavailable as error:
                if not self._follow or self._stopped or self._runtime.store.link.in_transaction:
                    raise
                if not patience.is_tried_again:
                    log.outage_begins("database", error, logging.WARNING)
                patience.pause()
                continue
            if patience.is_tried_again:
                log.outage_ends("database", clock.monotonic() - since, logging.WARNING)
            return done

    def _chunks(self, cursor: Cursor, most: int) -> Iterator[_Chunk]:
        """The next page, as the cursor stands."""
        page = self._insist(lambda: self._runtime.store.lines.page(cursor.position, self._runtime.now()))
        self._is_full = page.is_full and bool(page.lines)
        if page.is_held and not self._is_held:
            feed_held(self._name, len(page.position.gaps))
        self._is_held = page.is_held
        hidden = self._hidden(page)
        taken: list[tuple[Line, _Step]] = []
        end = _Step(position=page.position, token=cursor.token)
        for line, end in self._steps(page, cursor):
            if self._wanted.takes(line) and line.row not in hidden:
                taken.append((line, end))
            if len(taken) == most:
                yield self._chunk(taken, end)
                taken = []
        if taken or end.position != cursor.position:
            yield self._chunk(taken, end)

    def _hidden(self, page: Page) -> Collection[int | None]:
        """The entities of lines that are not there for whoever reads. No query where all are."""
        reach = self._reach
        if reach is None:
            return set()
        rows = {line.row for line in page.lines if line.row is not None and self._wanted.takes(line)}
        return rows - self._insist(lambda: self._runtime.store.listing.within(rows, reach))

    def _steps(self, page: Page, cursor: Cursor) -> Iterator[tuple[Line, _Step]]:
        """Each line, and where the feed stands after it."""
        position, token = page.position, cursor.token
        for line in page.lines:
            position = page.past(position, line)
            token = line.token if line.number == position.upto else token
            yield line, _Step(position=position, token=token)

    def _chunk(self, taken: list[tuple[Line, _Step]], end: _Step) -> _Chunk:
        found = self._insist(lambda: self._runtime.store.lines.entries([line.number for line, _ in taken]))
        steps = [
            replace(step, entry=self._entry(line, found[line.number])) for line, step in taken if line.number in found
        ]
        return _Chunk(steps=tuple(steps), end=end)

    def _entry(self, line: Line, entry: HistoryEntry) -> FeedEntry:
        assert line.machine is not None
        assert line.entity_id is not None
        definition = self._runtime.machines.all().get(line.machine)
        return FeedEntry(
            id=f"{line.machine}:{line.entity_id}#{entry.seq}-{line.token}",
            number=line.number,
            machine=line.machine,
            entity_id=line.entity_id,
            is_branch=line.parent is not None,
            entry=entry.hidden(frozenset() if definition is None else definition.wide.redact),
        )

    def _move(self, step: _Step, told: int) -> None:
        """Note what has been read, in a transaction of its own, where there is none."""
        self._insist(lambda: self._place.move(step.position, step.token, told))
