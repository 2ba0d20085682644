"""Which team an entity belongs to, and which terms the teams of an actor have: the same that the data are found by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from uuid import UUID

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.inputs import Actor
from fsmflow.decision.terms import term_of, terms_in
from fsmflow.definition.model import Definition

#: The team of an actor who is in all of them.
EVERY: Final = "*"
#: What names in data can be, and names of teams cannot: it stands between the teams of what belongs to several.
_BETWEEN: Final = "\x1f"
_PERSON: Final = "\x1e"
_MAX_DIGITS: Final = 50


def for_all(name: str) -> Actor:
    """fsmflow itself, where it acts by a name that history shows: it does so for all teams."""
    return Actor(name, teams=EVERY)


def team_of(definition: Definition, snapshot: Snapshot) -> str | None:
    """The term of the team that an entity names itself; None for a branch, which has no data of its own, and for one
    that names none: it belongs where its parent does."""
    field = definition.wide.team
    if field is None or snapshot.branch_of is not None:
        return None
    return terms_in(snapshot.data, [field]).get(field)


def terms_for(actor: Actor) -> frozenset[str]:
    """The terms of all that belongs to the teams of an actor, or to him alone."""
    names = [*actor.teams, *filter(None, (together(actor),)), alone(actor)]
    return frozenset(term for name in names for term in _terms(name))


def together(actor: Actor) -> str | None:
    """What stands in the data of something that belongs to all the teams of an actor; None where he has none."""
    return _BETWEEN.join(sorted(actor.teams)) or None


def alone(actor: Actor) -> str:
    """What stands in the data of something that belongs to one person and to no team."""
    return f"{_PERSON}{actor.login}"


def _terms(name: str) -> Iterator[str]:
    """The terms of values that are written so: a text, a whole number, a UUID."""
    values: list[object] = [name]
    if name.isascii() and name.isdigit() and len(name) <= _MAX_DIGITS and str(int(name)) == name:
        values.append(int(name))
    try:
        found = UUID(name)
    except ValueError:
        pass
    else:
        values += [found] if str(found) == name else []
    yield from filter(None, map(term_of, values))
