"""Failure groups as people see them: what rests in them now, what can be done about it, and what was said of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any, Final

from fsmflow import clock
from fsmflow.decision.entity import Failure, Snapshot
from fsmflow.decision.fanout import BranchesFailed
from fsmflow.decision.group import Ledger, Life, first_of, ledgers
from fsmflow.decision.inputs import Actor
from fsmflow.decision.versions import renamed
from fsmflow.engine.remedy import Remedy, remedy_of
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.teams import reach_of
from fsmflow.errors import FsmflowError, shown
from fsmflow.store.groups import Resting
from fsmflow.store.reach import Reach
from fsmflow.values import dataclass, replace

#: How much of an id is shown: it is as good as the whole.
SHORT: Final = 8
_MOST_NAMED: Final = 5
#: What people have said of a group.
_SAID: Final = ("life_by", "life_release", "most", "note", "link", "noted_by")
_SAID_AT: Final = ("life_at", "until", "noted_at")


class UnknownGroup(FsmflowError):
    """No failure group has this id, or several have one that begins so."""


@dataclass(kw_only=True)
class Cause:
    """What branches failed with, whose parents are of one group. ``message`` and ``example`` are those of the newest
    branch."""

    group: str
    error_type: str
    message: str
    example: str
    count: int


@dataclass(kw_only=True)
class Part:
    """Entities of a group that stand in one state, and about which the same can be done.

    ``message`` and ``example`` are those of the one that came last. ``of_branches``: they are branches or children
    whose parent does not rest in the failure of its branches (yet); ``branch`` is the name of all of them, where they
    have one. ``remedy``: what can be done about the example; of all of them it is the same action.
    """

    machine: str
    state: str
    error_type: str
    message: str
    example: str
    count: int
    first_at: datetime
    last_at: datetime
    remedy: Remedy
    of_branches: bool
    branch: str | None

    def add(self, other: Part) -> None:
        """Count the entities of another part in this one."""
        if other.last_at >= self.last_at:
            self.message, self.example, self.remedy = other.message, other.example, other.remedy
        self.first_at, self.last_at = min(self.first_at, other.first_at), max(self.last_at, other.last_at)
        self.branch = self.branch if self.branch == other.branch else None
        self.count += other.count


@dataclass(frozen=True, kw_only=True)
class FailureGroup:
    """All that failed for one reason: alike in machine, state, error type and message, at one place of the code.

    ``seen``, ``first_at`` and ``last_at`` are of all times; ``parts`` is what rests in it now. ``error_type``,
    ``message`` and ``traceback`` are those of the ``sample``, which was the first; ``origin`` is where in the code it
    was raised. ``releases``: how often it was seen in each, the first of them first; one that is not known is empty.
    ``causes``: where branches failed, with what, the most frequent first.

    ``life`` is ``open``, ``resolved``, ``reopened`` or ``ignored``, as ``life_by`` said at ``life_at``; resolved in
    ``life_release``, ignored ``until`` then, or until it was seen ``most`` times.
    """

    id: str
    recipe: int
    fingerprints: tuple[str, ...]
    machine: str
    state: str
    error_type: str
    message: str
    origin: str | None
    sample: str
    traceback: str
    seen: int
    first_at: datetime
    last_at: datetime
    releases: Mapping[str, int]
    life: Life
    life_at: datetime | None
    life_by: str | None
    life_release: str | None
    until: datetime | None
    most: int | None
    note: str | None
    link: str | None
    noted_at: datetime | None
    noted_by: str | None
    parts: list[Part] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)

    @property
    def short(self) -> str:
        """As much of the id as is needed."""
        return self.id[:SHORT]

    @property
    def first_release(self) -> str | None:
        """The release in which it was first seen; None where that is not known."""
        return next(iter(self.releases), None) or None

    @property
    def count(self) -> int:
        """How many rest in it now; of parents with their branches the parents alone."""
        return sum(part.count for part in self.parts)

    @property
    def is_due(self) -> bool:
        """Whether something rests in it that nobody has called resolved, or to be ignored."""
        return bool(self.parts) and self.life in (Life.OPEN, Life.REOPENED)


def groups(runtime: Runtime, machine: str | None = None, *, actor: Actor | None = None) -> list[FailureGroup]:
    """Every group that is known, without its traceback: what waits for somebody first, the largest first, and then what
    is resolved or ignored, or has nothing that rests in it; of each those of branches last. What is the cause of
    another one, and nothing besides, is told there alone.

    A parent whose branches failed counts once, as itself, and what they failed with is its cause. Reads no entity but
    one for each part: the rest is counted by index. ``machine``: what rests in that alone. An actor with teams is told
    of what rests in them and nothing besides: see ``of_teams``.
    """
    store, reach = runtime.store.groups, reach_of(runtime, actor)
    found = ledgers(store.all(), store.sightings(), store.releases())
    resting = store.resting(machine=machine, reach=reach)
    every = _Shown(runtime, found, resting, alone=machine is not None).groups()
    if reach is not None:
        every = [of_teams(one) for one in every if one.parts or one.causes]
    causes = {cause.group for group in every for cause in group.causes}
    wanted = [one for one in every if one.parts or (machine in (None, one.machine) and one.id not in causes)]
    return sorted(wanted, key=_order)


def _order(group: FailureGroup) -> tuple[Any, ...]:
    of_branches = all(part.of_branches for part in group.parts)
    return not group.is_due, not group.parts, of_branches, -group.count, group.machine, group.state, group.id


def group(runtime: Runtime, name: str, *, actor: Actor | None = None) -> FailureGroup:
    """The group of this id, or the one whose id begins so, whole. Raises FsmflowError where there is none, or several
    are, for the actor."""
    reach = reach_of(runtime, actor)
    ledger = ledger_of(runtime, name, reach)
    store = runtime.store.groups
    of_parents = ledger.group.error_type == BranchesFailed.__name__
    resting = store.resting(fingerprints=ledger.fingerprints, causes=of_parents, reach=reach)
    found = _Shown(runtime, {ledger.group.fingerprint: ledger}, resting).groups()
    shown_one = next(one for one in found if one.id == ledger.group.fingerprint)
    return shown_one if reach is None else of_teams(shown_one)


def of_teams(group: FailureGroup) -> FailureGroup:
    """A group for whoever is in some teams alone: counted is what rests in it of these now. What it has seen of others
    is left out, and what may tell of them: the sample with its traceback, the releases, the note."""
    parts = group.parts
    newest = max(parts, key=lambda part: part.last_at, default=None)
    return replace(
        group,
        message="" if newest is None else newest.message,
        sample="" if newest is None else newest.example,
        traceback="",
        seen=group.count,
        first_at=min((part.first_at for part in parts), default=group.first_at),
        last_at=max((part.last_at for part in parts), default=group.last_at),
        releases={},
        most=None,
        note=None,
        link=None,
        noted_at=None,
        noted_by=None,
    )


def ledger_of(runtime: Runtime, name: str, reach: Reach | None = None) -> Ledger:
    """What is known of the group of this id, or of the one whose id begins so; where ``reach`` is given, of those in
    which something rests that is within it. Raises UnknownGroup."""
    store = runtime.store.groups
    is_id = isinstance(name, str) and re.fullmatch("[0-9a-f]{1,12}", name)
    known = store.begin_with(name) if is_id else []
    found = ledgers(known, store.sightings([one.fingerprint for one in known]), store.releases()) if known else {}
    if reach is not None:
        within = {one.fingerprint for one in store.resting(reach=reach)} if found else set[str]()
        found = {id_: ledger for id_, ledger in found.items() if within.intersection(ledger.fingerprints)}
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        hint = "" if is_id else "; an id is made of the digits 0 to 9 and a to f"
        raise UnknownGroup(f"there is no failure group {shown(name)}{hint}; 'fsmflow failures --all' shows them")
    ids = ", ".join(sorted(found)[:_MOST_NAMED])
    raise UnknownGroup(f"{len(found)} failure groups begin with {shown(name)}: {ids}; write more of the id")


class _Shown:
    """Puts together what is known of groups, and what rests in them. ``alone``: only one machine was looked at, so what
    is the cause of another's failure stands for itself."""

    def __init__(
        self, runtime: Runtime, found: dict[str, Ledger], resting: Sequence[Resting], *, alone: bool = False
    ) -> None:
        self._runtime = runtime
        self._found = found
        self._resting = resting
        self._alone = alone
        self._ids = {each: id_ for id_, ledger in found.items() for each in ledger.fingerprints}
        self._rows = runtime.store.entities.load_rows([one.row for one in resting])

    def groups(self) -> list[FailureGroup]:
        """All of them, with their parts and causes."""
        parts: dict[str, dict[tuple[Any, ...], Part]] = {}
        causes: dict[str, dict[str, Cause]] = {}
        for one in self._resting:
            stored = self._rows.get(one.row)
            failure = stored.failure if stored is not None else None
            if stored is None or failure is None:
                continue  # it has gone on meanwhile
            id_ = self._id_of(one, stored, failure)
            above = self._above(one)
            if above is None:
                part = self._part(one, stored, failure)
                key = (part.of_branches, part.machine, part.state, part.remedy.action)
                if key in parts.setdefault(id_, {}):
                    parts[id_][key].add(part)
                else:
                    parts[id_][key] = part
            else:
                _count_cause(causes.setdefault(above, {}), id_, one, stored, failure)
        return [
            self._shown(
                ledger,
                sorted(parts.get(id_, {}).values(), key=lambda part: (part.of_branches, -part.count)),
                sorted(causes.get(id_, {}).values(), key=lambda cause: -cause.count),
            )
            for id_, ledger in self._found.items()
        ]

    def _id_of(self, one: Resting, stored: Snapshot, failure: Failure) -> str:
        """The group that entities belong to; one of their own where nothing is known of them."""
        id_ = self._ids.get(one.fingerprint)
        if id_ is not None:
            return id_
        made = first_of(
            failure, machine=one.machine, state=one.state, address=stored.address, at=one.first_at, same_as=None
        )
        made = replace(made, fingerprint=one.fingerprint)
        self._found[one.fingerprint] = Ledger(group=made, sightings=(), fingerprints=(one.fingerprint,))
        self._ids[one.fingerprint] = one.fingerprint
        return one.fingerprint

    def _above(self, one: Resting) -> str | None:
        """The group of parents whose failure is that of these branches."""
        if one.above is None or (self._alone and one.above_machine != one.machine):
            return None
        id_ = self._ids.get(one.above)
        is_theirs = id_ is not None and self._found[id_].group.error_type == BranchesFailed.__name__
        return id_ if is_theirs else None

    def _part(self, one: Resting, stored: Snapshot, failure: Failure) -> Part:
        known = self._runtime.machines.all().get(stored.machine)
        snapshot = stored if known is None else renamed(known, stored)
        return Part(
            machine=snapshot.machine,
            state=snapshot.state,
            error_type=failure.error_type,
            message=failure.message,
            example=snapshot.address,
            count=one.count,
            first_at=clock.to_datetime(one.first_at),
            last_at=clock.to_datetime(one.last_at),
            remedy=remedy_of(self._runtime, stored),
            of_branches=one.is_branch,
            branch=one.branch_name,
        )

    def _shown(self, ledger: Ledger, parts: list[Part], causes: list[Cause]) -> FailureGroup:
        own = ledger.group
        same = ("recipe", "machine", "state", "error_type", "message", "origin", "sample", "traceback")
        said: Any = {name: getattr(own, name) for name in (*same, *_SAID)}
        if own.life is not Life.IGNORED:
            said["most"] = None
        moments: Any = {name: _moment(getattr(own, name)) for name in _SAID_AT}
        releases: dict[str, int] = {}
        for sighting in sorted(ledger.sightings, key=lambda sighting: sighting.first_at):
            releases[sighting.release] = releases.get(sighting.release, 0) + sighting.seen
        return FailureGroup(
            id=own.fingerprint,
            fingerprints=ledger.fingerprints,
            seen=ledger.seen,
            first_at=clock.to_datetime(ledger.first_at),
            last_at=clock.to_datetime(ledger.last_at),
            releases=releases,
            life=ledger.life(self._runtime.now()),
            parts=parts,
            causes=causes,
            **said,
            **moments,
        )


def _count_cause(causes: dict[str, Cause], id_: str, one: Resting, stored: Snapshot, failure: Failure) -> None:
    cause = causes.setdefault(id_, Cause(group=id_, error_type=failure.error_type, message="", example="", count=0))
    cause.message, cause.example, cause.count = failure.message, stored.address, cause.count + one.count


def _moment(moment: int | None) -> datetime | None:
    return None if moment is None else clock.to_datetime(moment)
