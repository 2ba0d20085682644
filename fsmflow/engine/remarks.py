"""What people say of failure groups: resolved, ignored, open again, the same as another; with a note and a link."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Final

from fsmflow.decision.group import Ledger, Life
from fsmflow.decision.inputs import Actor, as_actor, checked_moment, checked_reason, checked_text
from fsmflow.definition.operators import FAILURES
from fsmflow.engine.groups import FailureGroup, group, ledger_of
from fsmflow.engine.permission import permit_machine
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.teams import permit_whole, reach_of
from fsmflow.errors import DataError, FsmflowError, shown
from fsmflow.settings import MAX_RELEASE

_MAX_LINK: Final = 2_000
_MAX_COUNT: Final = 10**12


def resolve(runtime: Runtime, name: str, *, release: str | None, actor: Actor | str | None) -> FailureGroup:
    """Say that the cause is mended, in code of ``release`` where that is given. Raises FsmflowError, DataError."""
    if release is not None:
        checked_text(release, "release", limit=MAX_RELEASE)
    ledger = _permitted(runtime, name, "resolve", actor)
    return _live(runtime, ledger, Life.RESOLVED, actor, life_release=release, most=ledger.seen)


def ignore(
    runtime: Runtime, name: str, *, until: date | None, count: int | None, actor: Actor | str | None
) -> FailureGroup:
    """Say that a group need not be shown: for ever, until a moment, or until it was seen ``count`` times more. Raises
    FsmflowError, DataError."""
    moment = None if until is None else checked_moment(_as_moment(until), "until")
    if moment is not None and moment <= runtime.now():
        raise DataError(f"until={shown(until)} is past already")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 0 < count <= _MAX_COUNT):
        raise DataError(f"count is {shown(count)}; it is how often more, a whole number from 1")
    ledger = _permitted(runtime, name, "ignore", actor)
    most = None if count is None else ledger.seen + count
    return _live(runtime, ledger, Life.IGNORED, actor, until=moment, most=most)


def reopen(runtime: Runtime, name: str, *, actor: Actor | str | None) -> FailureGroup:
    """Take back that a group is resolved or ignored. Raises FsmflowError, DataError."""
    return _live(runtime, _permitted(runtime, name, "reopen", actor), Life.OPEN, actor)


def note(runtime: Runtime, name: str, text: str | None, *, link: str | None, actor: Actor | str | None) -> FailureGroup:
    """Write a note, a link, or both; what is None stays, what is empty is taken away. Raises FsmflowError,
    DataError."""
    if link:
        checked_text(link, "link", limit=_MAX_LINK)
        if not link.startswith(("https://", "http://")):
            raise DataError(f"the link {shown(link)} is none: it begins with https:// or http://")
    ledger = _permitted(runtime, name, "note", actor)
    said = {"note": text, "link": link}
    changes: dict[str, Any] = {column: checked_reason(value) for column, value in said.items() if value is not None}
    if not changes:
        raise DataError("there is nothing to note: give a text, a link, or both")
    by = as_actor(actor)
    changes |= {"noted_at": runtime.now(), "noted_by": None if by is None else by.name}
    runtime.store.groups.change(ledger.group.fingerprint, changes)
    return group(runtime, ledger.group.fingerprint)


def merge(runtime: Runtime, name: str, into: str, *, actor: Actor | str | None = None) -> FailureGroup:
    """Say that a group is the same as another one, to which it belongs from now on, with all that was seen of it. One
    that is open opens the other. Raises FsmflowError where they are one already."""
    ledgers = [_permitted(runtime, each, "merge", actor) for each in (name, into)]
    ids, lives = [one.group.fingerprint for one in ledgers], [one.life(runtime.now()) for one in ledgers]
    if ids[0] == ids[1]:
        raise FsmflowError(f"{shown(name)} and {shown(into)} are one failure group already: {ids[0]}")
    runtime.store.groups.merge(*ids)
    hidden = (Life.RESOLVED, Life.IGNORED)
    if lives[1] in hidden and lives[0] not in hidden:
        return _live(runtime, ledgers[1], Life.OPEN, None)
    return group(runtime, ids[1])


def _permitted(runtime: Runtime, name: str, what: str, actor: Actor | str | None) -> Ledger:
    """The group, where an actor may say something of it: of its machine he may do what is called ``failures``, and with
    all teams of it, as what is said is said to all. Raises NotPermitted, FsmflowError."""
    who = as_actor(actor)
    ledger = ledger_of(runtime, name, reach_of(runtime, who))
    definition = runtime.machines.all().get(ledger.group.machine)
    if definition is None:
        permit_whole(runtime, None, what, who)
    else:
        permit_machine(runtime, definition, FAILURES, who)
    return ledger


def _live(runtime: Runtime, ledger: Ledger, life: Life, actor: Actor | str | None, **more: Any) -> FailureGroup:
    by = as_actor(actor)
    blank = {"life_release": None, "until": None, "most": None}
    said = {"life": life.value, "life_at": runtime.now(), "life_by": None if by is None else by.name}
    runtime.store.groups.change(ledger.group.fingerprint, {**blank, **said, **more})
    return group(runtime, ledger.group.fingerprint)


def _as_moment(moment: date) -> datetime:
    """A day begins at midnight of UTC. Raises DataError."""
    if isinstance(moment, datetime):
        if moment.utcoffset() is None:
            raise DataError(f"until={shown(moment)} has no zone; give it one, such as tzinfo=UTC")
        return moment
    if not isinstance(moment, date):
        raise DataError(f"until is {shown(moment)}; it is a date or a datetime")
    return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
