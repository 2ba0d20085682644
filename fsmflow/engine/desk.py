"""What waits for somebody: the entities that stand where their roles may decide, by deadline.

Which states these are follows from the machines alone, and is worked out once. Only what stands there is read, so many
of each machine; of these the guards are asked, as somebody who has voted need not vote again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Final

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.inputs import Actor
from fsmflow.decision.offers import Offer, offers
from fsmflow.decision.permission import BY_ROLES, Gate
from fsmflow.decision.work import WorkKind
from fsmflow.definition.model import Definition
from fsmflow.engine.headcount import headcounts
from fsmflow.engine.lookup import instance_of
from fsmflow.engine.permission import context_for
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.selection import Selection, select
from fsmflow.errors import DataError, FsmflowError, UnknownMachine, shown
from fsmflow.store.indexes import CHILD, ROOT
from fsmflow.values import dataclass

#: Of each machine so many are looked at, those that were started first.
MOST: Final = 500
_CURSOR: Final = re.compile(r"(\d{1,19})\.(\d{1,19})\.(\d{1,19})")
_NEVER: Final = 2**62

#: Of each state the triggers that somebody may fire there.
Places = Mapping[str, frozenset[str]]


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """An entity, and what the one who asks may do there. ``deadline``: when the time of its state is over, in UTC
    milliseconds; None where it has none, or a pause holds it."""

    snapshot: Snapshot
    offers: tuple[Offer, ...]
    deadline: int | None

    @property
    def cursor(self) -> str:
        """What follows on this one comes after it."""
        return ".".join(map(str, _order(self.snapshot)))


@dataclass(frozen=True, kw_only=True)
class WaitingPage:
    """``more``: there are more. ``cut``: of a machine with so many only those were looked at that were started
    first."""

    found: tuple[Waiting, ...]
    more: bool
    cut: tuple[str, ...] = ()


def waiting_for(
    runtime: Runtime,
    actor: Actor,
    *,
    machine: str | None = None,
    anyone: bool = False,
    after: str | None = None,
    limit: int = 50,
) -> WaitingPage:
    """What waits for an actor: whatever has a trigger with roles that the actor may fire, the next deadline first, then
    what has stood there for longest. ``anyone``: what takes no role as well, in states where nothing runs.

    ``after``: the ``cursor`` of the last one. What is not there for the actor is left out. A few queries for each
    machine, none of which grows with the number of entities. Raises UnknownMachine, DataError.
    """
    begin = _cursor(after)
    candidates, cut = list[tuple[Definition, Snapshot]](), list[str]()
    for definition, places in _machines(runtime, actor, machine, anyone=anyone):
        selection = Selection(machine=definition.name, states=tuple(sorted(places)), branches=True)
        stored = list(select(runtime, selection, limit=MOST + 1, definition=definition, actor=actor))
        cut += [definition.name] if len(stored) > MOST else []
        candidates += [(definition, each) for each in stored[:MOST] if each.branch_of is None]
    candidates.sort(key=lambda pair: _order(pair[1]))
    found: list[Waiting] = []
    for definition, snapshot in candidates:
        if begin is not None and _order(snapshot) <= begin:
            continue
        theirs = _offers(runtime, definition, snapshot, actor, _places(runtime, definition, actor, anyone=anyone))
        if theirs and len(found) == limit:
            return WaitingPage(found=tuple(found), more=True, cut=tuple(cut))
        if theirs:
            found.append(Waiting(snapshot=snapshot, offers=theirs, deadline=_deadline(snapshot)))
    return WaitingPage(found=tuple(found), more=False, cut=tuple(cut))


def waiting_count(runtime: Runtime, actor: Actor) -> int:
    """How many may wait for an actor: all that stands in such states and is there for the actor, without asking guards.
    Counted as ``counts`` does: many are as they were a minute ago."""
    total = 0
    for definition, places in _machines(runtime, actor, None, anyone=False):
        counts = headcounts(runtime, definition.name, scopes=(ROOT, CHILD), actor=actor)
        total += sum(each.count for each in counts if each.state in places)
    return total


def _machines(
    runtime: Runtime, actor: Actor, machine: str | None, *, anyone: bool
) -> Iterator[tuple[Definition, Places]]:
    """Those in which something may wait for the actor. Raises UnknownMachine."""
    known = runtime.machines.of_user()
    if machine is not None and machine not in known:
        raise UnknownMachine(machine, known)
    for name, definition in known.items():
        places = _places(runtime, definition, actor, anyone=anyone)
        if places and machine in (None, name):
            yield definition, places


def _places(runtime: Runtime, definition: Definition, actor: Actor, *, anyone: bool) -> Places:
    permissions = runtime.settings.permissions
    gate = BY_ROLES if permissions is None else Gate(permissions=permissions)
    roles = _closed(definition.owner)
    found: dict[str, set[str]] = {}
    for state, trigger, wanted in roles:
        if gate.may_open(definition, state, trigger, wanted, actor):
            found.setdefault(state, set()).add(trigger)
    for state, trigger in _open(definition.owner) if anyone else ():
        found.setdefault(state, set()).add(trigger)
    return {state: frozenset(triggers) for state, triggers in found.items()}


@lru_cache(maxsize=1_000)
def _closed(owner: type) -> tuple[tuple[str, str, frozenset[str]], ...]:
    """State, trigger and roles of all that takes a role."""
    definition: Definition = owner._definition  # type: ignore[attr-defined]  # noqa: SLF001 - a machine
    return tuple((spec.source, spec.trigger, spec.roles) for spec in definition.transitions if spec.roles)


@lru_cache(maxsize=1_000)
def _open(owner: type) -> tuple[tuple[str, str], ...]:
    """State and trigger of what takes no role, where nothing runs and neither time nor a webhook fires it."""
    definition: Definition = owner._definition  # type: ignore[attr-defined]  # noqa: SLF001 - a machine
    hooked = {hook.trigger for hook in definition.wide.hooks}
    found = []
    for spec in definition.transitions:
        state = definition.states[spec.source]
        by_time = state.timer is not None and state.timer.trigger == spec.trigger
        by_itself = by_time or spec.trigger in hooked or spec.generated or bool(spec.roles)
        if state.is_waiting and not by_itself:
            found.append((spec.source, spec.trigger))
    return tuple(dict.fromkeys(found))


def _offers(
    runtime: Runtime, definition: Definition, snapshot: Snapshot, actor: Actor, places: Places
) -> tuple[Offer, ...]:
    """What the actor may fire there, as far as that can be told without a payload."""
    triggers: Collection[str] = places.get(snapshot.state, ())
    try:
        instance = instance_of(definition, snapshot)
        context = context_for(runtime, instance)
        every = offers(instance.own, instance.snapshot, actor, runtime.now(), context)
    except FsmflowError:  # of code that cannot bring it up: whoever opens it is told
        return ()
    return tuple(offer for offer in every if offer.trigger in triggers and offer.allowed is not False)


def _deadline(snapshot: Snapshot) -> int | None:
    work = snapshot.work
    if work is None or work.held is not None:
        return None
    return work.wake_at if work.kind == WorkKind.TIMER else work.deadline


def _order(snapshot: Snapshot) -> tuple[int, int, int]:
    deadline = _deadline(snapshot)
    return (_NEVER if deadline is None else deadline, snapshot.entered_at, snapshot.row)


def _cursor(after: str | None) -> tuple[int, int, int] | None:
    if after is None:
        return None
    found = _CURSOR.fullmatch(after)
    if found is None:
        raise DataError(f"after is {shown(after)}; it is what the last page gave")
    first, second, third = map(int, found.groups())
    return first, second, third
