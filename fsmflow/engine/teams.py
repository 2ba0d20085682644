"""Whose an entity is: who may see it and touch it, and what of a query is within somebody's reach.

Whatever shows, counts or moves entities for an actor asks here: ``lets_see`` for one of them, ``reach_of`` for many.
Who gives no actor is the user's own program, or a worker, and is trusted; so is what a machine sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsmflow import log
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.inputs import Actor
from fsmflow.decision.permission import BY_ROLES, Gate
from fsmflow.decision.team import EVERY, alone, team_of, terms_for, together
from fsmflow.decision.terms import term_of
from fsmflow.decision.versions import as_shown
from fsmflow.definition.model import Definition
from fsmflow.definition.operators import ALL_TEAMS, HOLD, SEE
from fsmflow.engine.registry import is_built_in
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import EntityNotFound, NotPermitted
from fsmflow.store.reach import Reach
from fsmflow.store.search import name_of


def reach_of(runtime: Runtime, actor: Actor | None) -> Reach | None:
    """What of all entities is there for an actor; None where all of them are. No query."""
    if actor is None or EVERY in actor.teams:
        return None
    own = {name: one for name, one in runtime.machines.of_user().items() if one.wide.team is not None}
    gate = _gate(runtime)
    opened = frozenset(name for name, one in own.items() if gate.opens_all_teams(one, actor))
    if len(opened) == len(own):
        return None
    known, users = runtime.machines.all(), runtime.machines.of_user()
    told = {name: name_of(name, one.wide.team) for name, one in known.items() if one.wide.team is not None}
    return Reach(
        terms=terms_for(actor),
        names={name: field for name, field in told.items() if name not in opened},
        opened=opened,
        # What comes with fsmflow may be about entities of any team.
        free=frozenset(users.keys() - told.keys()),
    )


def lets_see(runtime: Runtime, snapshot: Snapshot, actor: Actor | None) -> bool:
    """Whether an entity is there for an actor; the log tells where it is not. A query for each parent that has to be
    asked; none where the machine tells no teams apart, or the entity names its own."""
    if actor is None or may_see(runtime, snapshot, actor):
        return True
    words = "it belongs to a team of others"
    log.permission_refused(NotPermitted(snapshot.address, SEE, (), actor.name, words=words))
    return False


def check_team(runtime: Runtime, snapshot: Snapshot, actor: Actor | None) -> None:
    """Raises EntityNotFound where an entity is not there for an actor."""
    if not lets_see(runtime, snapshot, actor):
        raise EntityNotFound(snapshot.address)


def may_see(runtime: Runtime, snapshot: Snapshot, actor: Actor | None) -> bool:
    """The same, and nobody is told."""
    if actor is None or (snapshot.parent is None and _is_free(runtime, snapshot.machine)):
        return True
    reach = reach_of(runtime, actor)
    return reach is None or _is_within(runtime, reach, snapshot)


def owns(runtime: Runtime, reach: Reach, snapshot: Snapshot) -> bool | None:
    """Whether what an entity names as its team is within reach; None where its parent decides. No query."""
    if snapshot.machine in reach.opened:
        return True
    definition = runtime.machines.all().get(snapshot.machine)
    term = None if definition is None else team_of(definition, snapshot)
    if term is not None:
        return term in reach.terms
    return None if snapshot.parent is not None else snapshot.machine in reach.free


def _is_within(runtime: Runtime, reach: Reach, snapshot: Snapshot) -> bool:
    found: Snapshot | None = snapshot
    is_free = True
    while found is not None:
        answer = owns(runtime, reach, found)
        is_root_of_all = found.parent is None and found.machine in reach.free
        if answer is not None:
            return answer and (is_free or not is_root_of_all)
        is_free = is_free and found.machine in reach.free
        stored = None if found.parent is None else runtime.store.entities.load_row(found.parent)
        known = None if stored is None else runtime.machines.all().get(stored.machine)
        found = stored if stored is None or known is None else as_shown(known, stored)
    return False


def permit_new(runtime: Runtime, definition: Definition, born: Snapshot, actor: Actor | None) -> None:
    """Raises NotPermitted where an actor starts what would be in a team of others."""
    if may_see(runtime, born, actor) or actor is None:
        return
    named, own = definition.wide.team, ", ".join(sorted(actor.teams)) or "none"
    words = f"its {named!r} is to be a team of {actor.name!r}, who is in {own}"
    if named is None:
        words = f"it would be about all teams, and {actor.name!r} is in {own}"
    raise _refused(NotPermitted(born.address, "start", (), actor.name, words=words))


def sees_whole(runtime: Runtime, definition: Definition | None, actor: Actor | None) -> bool:
    """Whether all of a machine, or of all machines, is there for an actor."""
    reach = reach_of(runtime, actor)
    if reach is None or definition is None:
        return reach is None
    return definition.name in reach.opened | reach.free and definition.name not in _touched(runtime, reach)


def permit_whole(runtime: Runtime, definition: Definition | None, operation: str, actor: Actor | None) -> None:
    """Raises NotPermitted where an actor may not do what is about all teams of a machine, or of all machines."""
    reach = reach_of(runtime, actor)
    if reach is None or actor is None or sees_whole(runtime, definition, actor):
        return
    name = "fsmflow" if definition is None else definition.name
    machine = next(iter(sorted(reach.names))) if definition is None else name
    words = f"it is about all teams, and takes the permission '{machine}.{ALL_TEAMS}', which {actor.name!r} has not"
    raise _refused(NotPermitted(name, operation, (), actor.name, words=words))


def permit_hold(runtime: Runtime, definition: Definition, where: Mapping[str, Any], actor: Actor | None) -> None:
    """Raises NotPermitted where an actor would keep back what belongs to teams of others."""
    if not lets_hold(runtime, definition, where, actor):
        permit_whole(runtime, definition, HOLD, actor)


def lets_hold(runtime: Runtime, definition: Definition, where: Mapping[str, Any], actor: Actor | None) -> bool:
    """Whether an actor would keep back nothing that belongs to teams of others. Nothing is logged."""
    reach = reach_of(runtime, actor)
    field = definition.wide.team
    names_own = reach is not None and field is not None and field in where and term_of(where[field]) in reach.terms
    return names_own or is_built_in(definition.name) or sees_whole(runtime, definition, actor)


def tells_of_others(runtime: Runtime, where: Mapping[str, Any], machine: str | None, reach: Reach | None) -> bool:
    """Whether a hold tells something of teams that are out of reach: by the data of those that it keeps back."""
    if reach is None or not where or (machine in reach.free and machine not in _touched(runtime, reach)):
        return False
    fields = {one.wide.team for one in runtime.machines.of_user().values()}
    return not any(name in fields and term_of(value) in reach.terms for name, value in where.items())


def _touched(runtime: Runtime, reach: Reach) -> set[str]:
    """The machines that tell teams apart, and those of which there may be children below."""
    found, known = set[str](), runtime.machines.all()
    left = list(reach.names)
    while left:
        name = left.pop()
        if name not in found and name in known:
            found.add(name)
            fans = (spec.fan for spec in known[name].states.values() if spec.fan is not None)
            left += [child for fan in fans for child in (fan.machine, *(one.machine for one in fan.named)) if child]
    return found


def belonging_to(runtime: Runtime, actor: Actor | None) -> str | None:
    """The team of what somebody has made for others to see, such as a repair: all of his own; himself alone, where he
    is in none or sees more than these; None for whoever sees all, which only those see then."""
    reach = reach_of(runtime, actor)
    if reach is None or actor is None:
        return None
    return alone(actor) if reach.opened else together(actor) or alone(actor)


def _refused(error: NotPermitted) -> NotPermitted:
    log.permission_refused(error)
    return error


def _gate(runtime: Runtime) -> Gate:
    permissions = runtime.settings.permissions
    return BY_ROLES if permissions is None else Gate(permissions=permissions)


def _is_free(runtime: Runtime, machine: str) -> bool:
    definition = runtime.machines.of_user().get(machine)
    return definition is not None and definition.wide.team is None
