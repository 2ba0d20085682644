"""Approval links: made, read, looked at and used. The link is the permission: whoever has it is taken for its person.

Nothing is stored of a link but the secret of the installation that it is signed with. It is used up by the key of the
request that it stands for, which history keeps.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, Final

from fsmflow import clock
from fsmflow.decision.approval import Approval, approval_of
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.forecast import Forecast
from fsmflow.decision.happenings import Triggered
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.inputs import Actor, checked_reason, checked_text
from fsmflow.decision.terms import value_at
from fsmflow.definition.retry import is_duration
from fsmflow.engine import requests
from fsmflow.engine.forecast import forecast
from fsmflow.engine.keys import first_with_key
from fsmflow.engine.lookup import Instance, load
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import ConfigurationError, DataError, FsmflowError, NotPermitted, shown
from fsmflow.log import approvals as told
from fsmflow.settings.web import read_web_url
from fsmflow.store.tables import APPROVALS
from fsmflow.values import dataclass

#: So much is told of what happened since a link was made.
_LINES: Final = 20
_SIZE: Final = 32


class LinkRefused(FsmflowError):
    """What is no link of this installation, or is past its time (``expired``)."""

    def __init__(self, *, expired: bool = False) -> None:
        self.expired = expired
        why = "its time is over" if expired else "it was not made here, was changed on its way, or was made void"
        super().__init__(f"the link cannot be used: {why}. Ask whoever sent it for another one")


class Stage(StrEnum):
    """How a link stands: ``open`` to be used, ``used`` before, ``moved``: others were first, ``early``: the entity has
    not got there yet, ``refused``: it would be, now."""

    OPEN = "open"
    USED = "used"
    MOVED = "moved"
    EARLY = "early"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Sight:
    """A link as it is shown. ``forecast``: what its use would lead to. ``entries``: what its use has led to, or what
    happened since it was made."""

    approval: Approval
    instance: Instance
    stage: Stage
    forecast: Forecast | None = None
    entries: tuple[HistoryEntry, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a link is asked for. ``maker``: who asks, where that has to be somebody who may do the same. ``ahead``: it
    is for where the entity will be next."""

    trigger: str
    person: str
    within: Any
    payload: Mapping[str, Any]
    roles: Collection[str] | None = None
    maker: Actor | None = None
    ahead: bool = False


def address_of(runtime: Runtime, token: str, base_url: str | None) -> str:
    """The whole address of a link. Raises ConfigurationError where nobody has said how it begins."""
    base = runtime.settings.web_url if base_url is None else read_web_url(base_url, "base_url")
    if base is None:
        raise ConfigurationError(
            "it is not known where people reach the web of this installation; FSMFLOW_WEB_URL or "
            "configure(web_url=...) says so, or base_url= for one link"
        )
    return f"{base}/links/{token}"


def issue(runtime: Runtime, instance: Instance, wish: Wish) -> str:
    """The token of a link. It says what it was given for, and nothing is written but the first time a secret.

    Whoever is not permitted, or would be refused now, gets none: raises NotPermitted, TransitionNotAllowed, and
    DataError for what no link can carry.
    """
    snapshot = instance.snapshot
    person = checked_text(wish.person, "for_")
    _check_payload(instance, wish.payload)
    until = runtime.now() + _within_ms(instance, wish.within)
    teams = _teams(runtime, instance)
    if wish.maker is not None:
        _try(runtime, instance, wish, wish.maker)
    roles, listed = _roles(runtime, instance, wish, Actor(person, teams=teams))
    approval = Approval(
        machine=snapshot.machine,
        entity_id=snapshot.entity_id,
        epoch=snapshot.epoch + wish.ahead,
        trigger=wish.trigger,
        person=person,
        until=until,
        roles=roles,
        listed=listed,
        teams=teams,
        payload=wish.payload,
        by=None if wish.maker is None else wish.maker.name,
    )
    token = approval.signed(_secret(runtime))
    told.approval_made(approval.address, wish.trigger, person, clock.iso(clock.to_datetime(until)), approval.by)
    return token


def read(runtime: Runtime, token: str) -> Approval:
    """What a token says. One query. Raises LinkRefused."""
    approval = approval_of(_secret(runtime), token)
    if approval is None:
        told.approval_refused()
        raise LinkRefused
    if runtime.now() >= approval.until:
        raise LinkRefused(expired=True)
    return approval


def look(runtime: Runtime, approval: Approval) -> Sight:
    """How a link stands now. Nothing is written. Raises EntityNotFound, UnknownMachine, UnknownState."""
    asked = _asked(runtime, approval)
    instance = load(runtime, runtime.machines.get(approval.machine), approval.entity_id, asked.actor)
    row, epoch = instance.snapshot.row, instance.snapshot.epoch
    first = first_with_key(runtime, instance, asked)
    if first is not None:
        return Sight(approval=approval, instance=instance, stage=Stage.USED, entries=(_hidden(instance, first),))
    if epoch < approval.epoch:
        return Sight(approval=approval, instance=instance, stage=Stage.EARLY)
    if epoch > approval.epoch:
        past = runtime.store.entities.past_epoch(row, approval.epoch)
        since = [] if past is None else runtime.store.entities.history(row, after=past.seq - 1, limit=_LINES)
        entries = tuple(_hidden(instance, entry) for entry in since)
        return Sight(approval=approval, instance=instance, stage=Stage.MOVED, entries=entries)
    found = forecast(runtime, instance, asked)
    stage = Stage.OPEN if found.allowed else Stage.REFUSED
    return Sight(approval=approval, instance=instance, stage=stage, forecast=found)


def use(runtime: Runtime, approval: Approval, words: str | None = None) -> HistoryEntry:
    """Fire the trigger in the name of its person; the entry of history. Used again, it changes nothing and the first
    entry comes back. ``words``: what the person says to it. Raises what a trigger raises, TransitionConflict where
    somebody else was first."""
    root = runtime.machines.get(approval.machine)
    _, entry = requests.trigger(runtime, root, approval.entity_id, _asked(runtime, approval, words))
    return entry


def revoke(runtime: Runtime) -> None:
    """Make all links void that there are: those made from now on are signed with another secret."""
    while not runtime.store.secrets.swap(APPROVALS, _secret(runtime).hex(), os.urandom(_SIZE).hex()):
        pass  # somebody else has done so in the same moment; what was made since is void too


def _secret(runtime: Runtime) -> bytes:
    """That of this installation; of two that make it at once both get the same."""
    found = runtime.store.secrets.get([APPROVALS])
    if not found:
        runtime.store.secrets.add(APPROVALS, os.urandom(_SIZE).hex())
        found = runtime.store.secrets.get([APPROVALS])
    return bytes.fromhex(found[APPROVALS])


def _asked(runtime: Runtime, approval: Approval, words: str | None = None) -> Triggered:
    by = f" of {approval.by}" if approval.by else ""
    said = checked_reason((words or "").strip())
    return Triggered(
        trigger=approval.trigger,
        payload=approval.payload,
        actor=_person(runtime, approval),
        reason=f"by an approval link{by}{f': {said}' if said else ''}",
        key=approval.key,
        epoch=approval.epoch,
    )


def _person(runtime: Runtime, approval: Approval) -> Actor:
    roles = approval.roles
    permissions = runtime.settings.permissions
    if approval.listed:
        one = None if permissions is None else permissions.people.get(approval.person)
        roles = frozenset() if one is None else one.roles
    return Actor(approval.person, roles, teams=approval.teams)


def _roles(runtime: Runtime, instance: Instance, wish: Wish, person: Actor) -> tuple[frozenset[str], bool]:
    """The roles that a link acts with, and whether they are those that the installation lists. Where nobody says which,
    they are those that the trigger takes here, and no others. Raises what the trigger is refused for."""
    permissions = runtime.settings.permissions
    listed = None if permissions is None else permissions.people.get(person.name)
    if wish.roles is not None or listed is not None:
        roles = wish.roles if wish.roles is not None else listed.roles if listed is not None else ()
        acting = Actor(person.name, roles, teams=person.teams)
        _try(runtime, instance, wish, acting)
        return (frozenset(), True) if wish.roles is None else (acting.roles, False)
    if wish.ahead:
        return _roles_ahead(instance, wish), False
    try:
        _try(runtime, instance, wish, person)
    except NotPermitted as error:
        if error.words is not None:
            raise
        acting = Actor(person.name, error.roles, teams=person.teams)
        _try(runtime, instance, wish, acting)
        return acting.roles, False
    return frozenset(), False


def _roles_ahead(instance: Instance, wish: Wish) -> frozenset[str]:
    """The roles that the trigger names where the entity may be next."""
    own, state = instance.own, instance.snapshot.state
    next_ = {spec.dest for spec in own.transitions if spec.source == state}
    return frozenset(
        role for spec in own.transitions if spec.trigger == wish.trigger and spec.source in next_ for role in spec.roles
    )


def _try(runtime: Runtime, instance: Instance, wish: Wish, actor: Actor) -> None:
    """Raises what the trigger would be refused for. Nothing is written."""
    if not wish.ahead:
        asked = Triggered(trigger=wish.trigger, payload=wish.payload, actor=actor).checked()
        requests.planned(runtime, instance, asked)


def _within_ms(instance: Instance, within: Any) -> int:
    """For how long a link can be used: no longer than the key is kept by which it is known that it was. Raises
    DataError."""
    if not is_duration(within) or not within:
        raise DataError(f"within is {shown(within)}; it is seconds or a timedelta, more than none")
    span, kept = clock.to_ms(within), instance.root.wide.key_retention
    if kept is not None and span > kept:
        raise DataError(
            f"{instance.snapshot.address}: a link is used once, which its key tells, and key_retention keeps keys for "
            f"{kept // 1000:,} s; within= may be no longer than that"
        )
    return span


def _check_payload(instance: Instance, payload: Mapping[str, Any]) -> None:
    """Raises DataError for values that nobody is shown: a link leaves this installation, and is no secret there."""
    hidden = next((name for name in _names(payload) if name in instance.root.wide.redact), None)
    if hidden is not None:
        raise DataError(
            f"{instance.snapshot.address}: {hidden!r} is redacted, and a link leaves this installation; leave it out "
            f"of the payload"
        )


def _names(value: Any) -> list[str]:
    """All keys, at any depth."""
    if isinstance(value, Mapping):
        return [*value, *(name for item in value.values() for name in _names(item))]
    return [name for item in value for name in _names(item)] if isinstance(value, list | tuple) else []


def _teams(runtime: Runtime, instance: Instance) -> tuple[str, ...]:
    """The team of an entity, or of the first above it that names one. A query for each of these."""
    found: Snapshot | None = instance.snapshot
    known = runtime.machines.all()
    while found is not None:
        definition = known.get(found.machine)
        name = None if definition is None or found.branch_of is not None else definition.wide.team
        value = None if name is None else value_at(found.data, name)
        if value is not None and not isinstance(value, bool) and str(value):
            return (str(value),)
        found = None if found.parent is None else runtime.store.entities.load_row(found.parent)
    return ()


def _hidden(instance: Instance, entry: HistoryEntry) -> HistoryEntry:
    keys = instance.root.wide.redact
    return entry.hidden(keys) if keys else entry
