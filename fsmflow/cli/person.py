"""Who types a command: the system's user, with the roles that the installation gives, or whoever it may speak for."""

from __future__ import annotations

from fsmflow import log
from fsmflow.decision.inputs import Actor
from fsmflow.decision.permission import Gate
from fsmflow.decision.team import EVERY
from fsmflow.definition.operators import ACT_AS
from fsmflow.engine.runtime import Runtime, current
from fsmflow.engine.teams import permit_whole, reach_of
from fsmflow.errors import NotPermitted
from fsmflow.person import listed, login, permissions_in_force


def acting(name: str | None, roles: tuple[str, ...]) -> Actor:
    """Who asks, by ``--actor`` and ``--role``. Where the installation says who may do what, it takes the permission
    ``act_as`` to be somebody else or to have roles beyond one's own. Raises NotPermitted, DataError."""
    user, permissions = login(), permissions_in_force()
    if permissions is None:
        return Actor(name or user, roles, login=user, teams=EVERY)
    own = listed(user, user)
    wanted = own if name in (None, user) else listed(str(name), user)
    if roles:
        wanted = Actor(wanted.name, roles, login=user, teams=wanted.teams)
    beyond = wanted.name != own.name or not wanted.roles <= own.roles
    refusal = Gate(permissions=permissions).of_installation(ACT_AS, own) if beyond and permissions.closes else None
    if refusal is not None:
        words = refusal.words or (
            f"{user!r} may not be {wanted.name!r} in the roles {', '.join(sorted(wanted.roles)) or 'none'}; under "
            f"[people] in the permissions of this installation, give {user!r} those roles, or one that opens {ACT_AS!r}"
        )
        told = NotPermitted(refusal.address, ACT_AS, refusal.roles, own.name, words=words)
        log.permission_refused(told)
        raise told
    return wanted


def sitting() -> Actor:
    """Who sits there, where the command does not ask on whose behalf."""
    return acting(None, ())


def permit_all_teams(what: str, actor: Actor | None = None) -> None:
    """Raises NotPermitted where an actor, or else who sits there, may not do what tells of all teams. Without
    permissions nothing is looked at, not even whether there is a database."""
    if permissions_in_force() is not None:
        permit_whole(current(), None, what, actor or sitting())


def told_of_teams(runtime: Runtime, actor: Actor | None) -> str:
    """Of which teams there is nothing, for who finds nothing; empty where all are looked at."""
    if actor is None or reach_of(runtime, actor) is None:
        return ""
    teams = ", ".join(sorted(actor.teams))
    return f" that belongs to {actor.name!r} of {f'team {teams}' if teams else 'no team'}"
