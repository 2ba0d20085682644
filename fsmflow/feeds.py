"""Feeds: what happens to all entities, told in order to programs that remember how far they have come.

    for entry in fsmflow.feed("billing", machine="order", states="paid", follow=True):
        bill(entry.address, entry.id)

``feeds`` lists those that are stored, ``rewind`` lets one read on from elsewhere, ``forget`` deletes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, get_args

from fsmflow import clock
from fsmflow.decision.history import HistoryKind
from fsmflow.decision.inputs import Actor, as_actor
from fsmflow.decision.position import Cursor, Position
from fsmflow.definition.names import ENGINE_TRIGGERS, TIMEOUT
from fsmflow.definition.operators import OPERATIONS
from fsmflow.definition.parse import plain_name
from fsmflow.definition.retry import is_duration
from fsmflow.engine.batch import Batch
from fsmflow.engine.batch import acknowledge as noted
from fsmflow.engine.batch import batch as batch_of
from fsmflow.engine.cursors import Place, Stored, UnknownFeed, Unstored, begun
from fsmflow.engine.feeds import Feed, FeedEntry, Wanted
from fsmflow.engine.runtime import Runtime, current
from fsmflow.engine.selection import check_machine
from fsmflow.engine.teams import permit_whole, reach_of
from fsmflow.errors import DataError, did_you_mean, shown
from fsmflow.values import dataclass

__all__ = [
    "Batch",
    "Feed",
    "FeedEntry",
    "FeedState",
    "Start",
    "UnknownFeed",
    "acknowledge",
    "batch",
    "begin",
    "feed",
    "feeds",
    "forget",
    "rewind",
]

Start = Literal["now", "beginning"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LONGEST_GLOB: Final = 1_000
_SHORTEST_MS: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class FeedState:
    """How a feed stands. ``behind``: about so many lines are unread, of whatever machine, since ``oldest_at``.
    ``reader``: who reads it now. ``missing``: so many numbers may still be committed by transactions that are open.
    ``told``: so many entries it has told, about; ``missed``: so many lines were deleted before it had read them."""

    name: str
    begun_at: datetime
    read_at: datetime | None
    reader: str | None
    behind: int
    oldest_at: datetime | None
    missing: int
    told: int
    missed: int
    wanted: str


def feed(
    name: str | None,
    *,
    machine: str | type | Iterable[str | type] | None = None,
    states: str | Enum | Iterable[str | Enum] | None = None,
    triggers: str | Iterable[str] | None = None,
    kinds: str | Iterable[str] | None = None,
    branches: bool = False,
    follow: bool = False,
    start: Start = "now",
    lease: timedelta | float = 60,
    actor: Actor | str | None = None,
) -> Feed:
    """What happens to entities, line by line of their histories, from where the consumer ``name`` stopped reading.

    Each entry is told at least once, whatever transactions are open while others commit; of one entity in their order.
    It is noted as read once the next one is asked for, so what raises, or is killed, gets the last one again: know it
    by its ``id``. A feed whose name is new begins with what is committed from now on, or at the ``beginning`` of all
    that is kept. With ``follow`` it goes on for ever, and waits; else it ends where there is no more. Without a name
    nothing is stored.

    What is told: of ``machine``, by name or class, or several, else of all of yours; what leads to one of ``states``
    or is fired by one of ``triggers``, globs; of these ``kinds`` of history; of ``branches`` and children too; of what
    is there for the ``actor`` when it is read. What it passes over is read.

    One program reads a feed at a time, for as long as ``lease`` after the last entry at least: another one waits with
    ``follow``, and else gets FeedInUse, as does one whose lease is over and taken. Raises UnknownMachine, DataError,
    and NotPermitted for an actor to whom not all is there, with a name, at once; FeedAhead where the history was
    restored from a backup, as it is read.
    """
    runtime = current()
    _permit(name, actor)
    wanted = _wanted(runtime, machine, states, triggers, kinds, branches=branches)
    from_beginning, lease_ms = _checked_start(start) == "beginning", _checked_lease(lease)
    place: Place = Unstored(runtime, from_beginning=from_beginning)
    if name is not None:
        told: dict[str, Any] = {"waits": follow, "lease_ms": lease_ms, "wanted": str(wanted)}
        place = Stored(runtime, _checked_name(name), from_beginning=from_beginning, **told)
    return Feed(runtime, name, place, wanted, follow=follow, reach=reach_of(runtime, as_actor(actor)))


def _permit(name: str | None, actor: Actor | str | None) -> None:
    """Raises NotPermitted where somebody who is in some teams alone would read a stored feed: what it passes over is
    read for everybody."""
    if name is not None:
        permit_whole(current(), None, "feed", as_actor(actor))


def _wanted(runtime: Runtime, machine: Any, states: Any, triggers: Any, kinds: Any, *, branches: bool) -> Wanted:
    machines = None if machine is None else tuple(_machine(each) for each in _several(machine, str | type, "machine"))
    for each in machines or ():
        check_machine(runtime, each)
    globs = _globs(_plain(states), "states"), _globs(triggers, "triggers")
    wanted = Wanted(machines=machines, states=globs[0], triggers=globs[1], kinds=_kinds(kinds), branches=bool(branches))
    _check_globs(runtime, wanted)
    return wanted


def begin(name: str, start: Start = "now") -> None:
    """Store a feed of this name, if there is none, which begins with what is committed from now on, or at the
    ``beginning`` of all that is kept. Raises DataError."""
    runtime = current()
    from_beginning = _checked_start(start) == "beginning"
    if runtime.store.feeds.find(_checked_name(name)) is None:
        runtime.store.feeds.add(begun(runtime, name, from_beginning=from_beginning))


def batch(
    name: str,
    *,
    machine: str | type | Iterable[str | type] | None = None,
    states: str | Enum | Iterable[str | Enum] | None = None,
    triggers: str | Iterable[str] | None = None,
    kinds: str | Iterable[str] | None = None,
    branches: bool = False,
    most: int = 100,
    actor: Actor | str | None = None,
) -> Batch:
    """Up to ``most`` entries from where the feed ``name`` was read, told without noting that: ``acknowledge`` its
    ``mark`` does. For who cannot hold the feed meanwhile, as over HTTP. What is told is as in ``feed``.

    Two may be told the same; of them one can acknowledge. Raises UnknownFeed where there is none, DataError.
    """
    runtime = current()
    _permit(name, actor)
    wanted = _wanted(runtime, machine, states, triggers, kinds, branches=branches)
    return batch_of(runtime, _cursor(runtime, name), wanted, most, reach_of(runtime, as_actor(actor)))


def acknowledge(name: str, mark: str) -> None:
    """Note that what a batch told has been read; said again, it changes nothing. Raises FeedInUse where others have
    read on from there, or read now; UnknownFeed, DataError."""
    runtime = current()
    noted(runtime, _cursor(runtime, name), mark)


def _cursor(runtime: Runtime, name: str) -> Cursor:
    found = runtime.store.feeds.find(_checked_name(name))
    if found is None:
        raise _unknown(runtime, name)
    return found


def feeds() -> list[FeedState]:
    """All that are stored, by name. Two queries for each."""
    runtime = current()
    last = runtime.store.lines.highest()
    return [_state(runtime, cursor, last) for cursor in runtime.store.feeds.all()]


def rewind(name: str, start: Start) -> None:
    """Let a feed read on from the beginning of all that is kept, or from now on. Who reads it now is refused. Raises
    UnknownFeed where there is none."""
    runtime = current()
    from_beginning = _checked_start(start) == "beginning"
    position = Position() if from_beginning else runtime.store.lines.end(runtime.now())
    if not runtime.store.feeds.put(_checked_name(name), position):
        raise _unknown(runtime, name)


def forget(name: str) -> None:
    """Delete a feed; under the same name another one begins. Raises UnknownFeed where there is none."""
    runtime = current()
    if not runtime.store.feeds.forget(_checked_name(name)):
        raise _unknown(runtime, name)


def _state(runtime: Runtime, cursor: Cursor, last: int) -> FeedState:
    position = cursor.position
    at = runtime.store.lines.moment_after(position.upto)
    return FeedState(
        name=cursor.name,
        begun_at=clock.to_datetime(cursor.begun_at),
        read_at=None if cursor.read_at is None else clock.to_datetime(cursor.read_at),
        reader=None if cursor.is_free(runtime.now()) else cursor.holder,
        behind=max(0, last - position.upto),
        oldest_at=at,
        missing=sum(gap.high - gap.low + 1 for gap in position.gaps),
        told=cursor.told,
        missed=cursor.missed,
        wanted=cursor.wanted or "",
    )


def _unknown(runtime: Runtime, name: str) -> UnknownFeed:
    known = [cursor.name for cursor in runtime.store.feeds.all()]
    there = f"there are {', '.join(known)}" if known else "there is none yet"
    return UnknownFeed(f"there is no feed {shown(name)}{did_you_mean(name, known)}; {there}")


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DataError(f"the name of a feed is {shown(name)}; it has 1 to 64 letters, digits, '.', '_' and '-'")
    return name


def _checked_start(start: str) -> str:
    if start not in get_args(Start):
        raise DataError(f"start is {shown(start)}; it is 'now' or 'beginning'")
    return start


def _checked_lease(lease: timedelta | float) -> int:
    if not is_duration(lease) or clock.to_ms(lease) < _SHORTEST_MS:
        raise DataError(f"lease is {shown(lease)}; it is a timedelta or seconds, 1 s at least")
    return clock.to_ms(lease)


def _several(value: Any, kind: Any, what: str) -> tuple[Any, ...]:
    """One, or several, as a tuple."""
    if isinstance(value, kind):
        return (value,)
    if not isinstance(value, Iterable) or not (found := tuple(value)) or not all(isinstance(x, kind) for x in found):
        raise DataError(f"{what} is {shown(value)}; it is one name, or a list of some")
    return found


def _machine(value: str | type) -> str:
    name = value if isinstance(value, str) else getattr(value, "name", None)
    if not isinstance(name, str):
        raise DataError(f"machine is {shown(value)}; it is the name or the class of a machine")
    return name


def _plain(states: Any) -> Any:
    """States with members of Enums by their names."""
    if isinstance(states, str | Enum) or not isinstance(states, Iterable):
        return plain_name(states)
    return [plain_name(state) for state in states]


def _globs(value: str | Iterable[str] | None, what: str) -> tuple[str, ...] | None:
    found = None if value is None else _several(value, str, what)
    for glob in found or ():
        if len(glob) > _LONGEST_GLOB:
            raise DataError(f"{shown(glob)} has {len(glob):,} characters; a pattern has {_LONGEST_GLOB} at most")
    return found


def _kinds(value: str | Iterable[str] | None) -> tuple[str, ...] | None:
    found = None if value is None else tuple(str(kind) for kind in _several(value, str, "kinds"))
    known = [kind.value for kind in HistoryKind]
    for kind in found or ():
        if kind not in known:
            raise DataError(f"{shown(kind)} is no kind of history{did_you_mean(kind, known)}; use {', '.join(known)}")
    return found


def _check_globs(runtime: Runtime, wanted: Wanted) -> None:
    """Raises DataError for a state or a trigger that no machine has, where all of them are known here: it would be
    waited for in vain. What comes with fsmflow counts where it is named."""
    known = runtime.machines.all()
    names = list(runtime.machines.of_user()) if wanted.machines is None else wanted.machines
    if not names or any(name not in known for name in names):
        return
    every = [one for name in names for one in (known[name], *known[name].branches.values())]
    states = {state for one in every for state in one.states}
    triggers = {spec.trigger for one in every for spec in one.transitions}.union(ENGINE_TRIGGERS, OPERATIONS, [TIMEOUT])
    # What a state begins as it is entered bears its name, and can be dropped.
    for what, globs, there in (("state", wanted.states, states), ("trigger", wanted.triggers, triggers | states)):
        for glob in globs or ():
            if not any(fnmatchcase(each, glob) for each in there):
                has = f"machine {names[0]} has no" if len(wanted.machines or ()) == 1 else "none of the machines has a"
                raise DataError(f"{has} {what} like {shown(glob)}{did_you_mean(glob, sorted(there))}")
