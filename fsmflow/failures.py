"""Failure groups: what failed for the same reason, how often, since when, and what was said of it.

    for group in fsmflow.failures.groups():
        print(group.short, group.count, group.message)

Entities that rest in one are retried with ``fsmflow retry --group ID``.
"""

from __future__ import annotations

from datetime import date

from fsmflow.decision.inputs import Actor, as_actor
from fsmflow.engine import groups as engine_groups
from fsmflow.engine import remarks
from fsmflow.engine.groups import Cause, FailureGroup, Part, UnknownGroup
from fsmflow.engine.runtime import current
from fsmflow.engine.selection import check_machine

__all__ = [
    "Cause",
    "FailureGroup",
    "Part",
    "UnknownGroup",
    "group",
    "groups",
    "ignore",
    "merge",
    "note",
    "reopen",
    "resolve",
]


def groups(machine: str | None = None, *, every: bool = False, actor: Actor | str | None = None) -> list[FailureGroup]:
    """What has failed and waits for somebody, the largest group first; of branches whose parents wait for others yet,
    or go on without them, after that.

    ``every``: after these also the groups that are resolved or ignored, and those that nothing rests in now. Their
    tracebacks are left out: ``group`` has them. ``machine``: what rests in that machine alone. ``actor``: what rests of
    the teams of whoever that is, counted now; the sample, the releases and the note are left out. Raises
    UnknownMachine.
    """
    runtime = current()
    check_machine(runtime, machine)
    found = engine_groups.groups(runtime, machine, actor=as_actor(actor))
    return [each for each in found if every or each.is_due]


def group(id: str, *, actor: Actor | str | None = None) -> FailureGroup:
    """One group, whole, by its id or by enough of its beginning; ``actor``: as in ``groups``. Raises UnknownGroup where
    there is none, or several begin so."""
    return engine_groups.group(current(), id, actor=as_actor(actor))


def resolve(id: str, *, release: str | None = None, actor: Actor | str | None = None) -> FailureGroup:
    """Say that what a group failed for is mended. If it comes again, the group is reopened.

    With ``release`` the code of that name mends it: workers that still run a release which had failures before are not
    counted as its return. What rests in the group is not touched; retry it. Raises FsmflowError, DataError.
    """
    return remarks.resolve(current(), id, release=release, actor=actor)


def ignore(
    id: str, *, until: date | None = None, count: int | None = None, actor: Actor | str | None = None
) -> FailureGroup:
    """Say that a group need not be shown: until a day (its midnight in UTC) or an aware datetime, until it was seen
    ``count`` times more, whichever comes first; without them for ever. Raises FsmflowError, DataError."""
    return remarks.ignore(current(), id, until=until, count=count, actor=actor)


def reopen(id: str, *, actor: Actor | str | None = None) -> FailureGroup:
    """Take back that a group is resolved or ignored. Raises FsmflowError."""
    return remarks.reopen(current(), id, actor=actor)


def note(
    id: str, text: str | None = None, *, link: str | None = None, actor: Actor | str | None = None
) -> FailureGroup:
    """Write a note of at most 8 KB, a link (http or https), or both, in the place of those that are there; an empty
    text takes one away. Raises FsmflowError, DataError."""
    return remarks.note(current(), id, text, link=link, actor=actor)


def merge(id: str, into: str, *, actor: Actor | str | None = None) -> FailureGroup:
    """Say that a group is the same as another, to which all that was and will be seen of it belongs from now on.
    Raises FsmflowError."""
    return remarks.merge(current(), id, into, actor=actor)
