"""Webhooks of others: verified, matched with a hook of a machine, and fired with the key of the event.

Of what is verified and leads to nothing an arrival is kept, so that somebody can look and try again; of what is not
verified nothing is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

from fsmflow import clock, codec
from fsmflow.decision.arrival import Arrival, id_of
from fsmflow.decision.happenings import Triggered
from fsmflow.decision.history import HistoryEntry, HistoryKind
from fsmflow.decision.inputs import MAX_TEXT, Actor, checked_id
from fsmflow.decision.team import EVERY
from fsmflow.definition.hooks import Hook
from fsmflow.definition.model import Definition
from fsmflow.definition.operators import HOOKS
from fsmflow.engine import requests
from fsmflow.engine.permission import permit_machine
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.teams import sees_whole
from fsmflow.errors import (
    ConfigurationError,
    DataError,
    FsmflowError,
    GuardError,
    TransitionConflict,
    UnknownState,
    UpgradeError,
    name_of,
    text_of,
)
from fsmflow.log import hooks as told
from fsmflow.redaction import MASK, hide, hide_in_text
from fsmflow.signatures import SignatureRefused
from fsmflow.values import dataclass

#: So much of a body is kept with what led to nothing.
MAX_KEPT_BYTES: Final = 64 * 1024
#: What may pass by itself, as code is deployed or mended: its sender is to try again.
_PASSING: Final = (GuardError, UnknownState, UpgradeError)


class Taken(StrEnum):
    """What became of a webhook: ``fired``, or as good as that: ``repeated``, ``waits`` for a state that accepts it,
    ``ignored`` there. ``unmeant``: no hook of this name means it. ``kept``: it led to nothing, and nothing but
    somebody's hand will change that; ``later``: it may, so it is to be sent again. ``unsigned``: nobody knows who has
    sent it; ``unknown``: there is no such hook; ``large``: it led to nothing, and is too large to be kept."""

    FIRED = "fired"
    REPEATED = "repeated"
    WAITS = "waits"
    IGNORED = "ignored"
    UNMEANT = "unmeant"
    KEPT = "kept"
    LATER = "later"
    UNSIGNED = "unsigned"
    UNKNOWN = "unknown"
    LARGE = "large"


_KINDS: Final = {HistoryKind.DEFERRED: Taken.WAITS, HistoryKind.IGNORED: Taken.IGNORED}


@dataclass(frozen=True, kw_only=True)
class _Event:
    """What came: what is known of it, and its body as JSON has it (None where it is none)."""

    name: str
    key: str
    kind: str | None
    body: Any
    text: str


def receive(runtime: Runtime, name: str, headers: Mapping[str, str], body: bytes) -> Taken:
    """Take a webhook. What it fires is committed when this returns; the same event once more changes nothing.

    ``headers``: by their names in small letters. Raises DatabaseUnavailable, and what else keeps it from being taken
    for now: TransitionConflict, ConfigurationError.
    """
    found = runtime.machines.hooks().get(name)
    if found is None:
        return Taken.UNKNOWN
    definition, hooks = found
    verify = hooks[0].verify
    try:
        verify.check(headers, body, clock.local_now() / 1000)
    except SignatureRefused as error:
        told.hook_refused(name, text_of(error))
        return Taken.UNSIGNED
    content = _content(body)
    id_, kind = verify.event_id(headers, content), verify.event_name(headers, content)
    text = "" if content is None else json.dumps(hide(content, definition.wide.redact))
    event = _Event(name=name, key=_key(name, id_, body), kind=kind and kind[:MAX_TEXT], body=content, text=text)
    return _take(runtime, definition, hooks, event)


def replay(runtime: Runtime, id_: str, actor: Actor | None) -> HistoryEntry:
    """Fire once more what led to nothing, with the same key, by the code and the state of now; it is forgotten then.
    Raises NotPermitted, DataError where it cannot be, and what its trigger raises: then it is kept on."""
    arrival = find(runtime, id_, actor)
    found = runtime.machines.hooks().get(arrival.hook)
    if found is None:
        raise DataError(f"there is no hook {arrival.hook!r} any more; 'fsmflow hooks drop {arrival.id}' forgets it")
    if arrival.body is None:
        raise DataError(f"{arrival.id}: its body was not kept; have its sender send it again")
    definition, hooks = found
    permit_machine(runtime, definition, HOOKS, actor)
    body = json.loads(arrival.body)
    hook = _meaning(hooks, arrival.event, body)
    if hook is None:
        raise DataError(f"{arrival.id}: no hook {arrival.hook!r} means it any more")
    if MASK in json.dumps([hook.payload_of(body), hook.entity_of(body)], default=str):
        raise DataError(f"{arrival.id}: what it needs is redacted, and was not kept; have its sender send it again")
    event = _Event(name=arrival.hook, key=arrival.key, kind=arrival.event, body=body, text=arrival.body)
    by = None if actor is None else actor.name
    entry = _fire(runtime, definition, hook, event, by=by)
    runtime.store.arrivals.forget(arrival.id)
    return entry


def find(runtime: Runtime, id_: str, actor: Actor | None) -> Arrival:
    """The arrival whose id begins so. Raises DataError where there is none, or there are several, and where it is not
    there for the actor."""
    known = id_.isalnum() and id_.isascii()
    found = [one for one in (runtime.store.arrivals.find(id_) if known else ()) if _sees(runtime, one.machine, actor)]
    if len(found) != 1:
        count = "several events begin" if found else "no event that is kept begins"
        raise DataError(f"{count} with {id_[:40]!r}; 'fsmflow hooks list' shows what is kept")
    return found[0]


def kept(runtime: Runtime, actor: Actor | None, hook: str | None = None) -> list[Arrival]:
    """What led to nothing and is there for the actor, the latest first. Two queries."""
    machines = [name for name in runtime.machines.of_user() if _sees(runtime, name, actor)]
    return runtime.store.arrivals.latest(machines, hook=hook)


def drop(runtime: Runtime, id_: str, actor: Actor | None) -> Arrival:
    """Forget one. Raises NotPermitted, DataError."""
    arrival = find(runtime, id_, actor)
    definition = runtime.machines.all().get(arrival.machine)
    if definition is not None:
        permit_machine(runtime, definition, HOOKS, actor)
    runtime.store.arrivals.forget(arrival.id)
    return arrival


def _sees(runtime: Runtime, machine: str, actor: Actor | None) -> bool:
    return sees_whole(runtime, runtime.machines.all().get(machine), actor)


def _take(runtime: Runtime, definition: Definition, hooks: tuple[Hook, ...], event: _Event) -> Taken:
    hook: Hook | None = hooks[0]
    try:
        if event.body is None:
            raise DataError("its body is no JSON object")
        hook = _meaning(hooks, event.kind, event.body)
        if hook is None:
            return Taken.UNMEANT
        entry = _fire(runtime, definition, hook, event)
    except (ConfigurationError, TransitionConflict):
        raise
    except Exception as error:  # noqa: BLE001 - what the user's callback raises too: it is kept, and told
        assert hook is not None
        return _keep(runtime, definition, hook, event, error)
    runtime.store.arrivals.forget(id_of(event.name, event.key))
    return Taken.REPEATED if entry.repeated else _KINDS.get(entry.kind, Taken.FIRED)


def _meaning(hooks: tuple[Hook, ...], kind: str | None, body: Any) -> Hook | None:
    """The first that means an event."""
    return next((hook for hook in hooks if hook.means(kind, body)), None)


def _fire(
    runtime: Runtime, definition: Definition, hook: Hook, event: _Event, *, by: str | None = None
) -> HistoryEntry:
    asked = Triggered(
        trigger=hook.trigger,
        payload=hook.payload_of(event.body),
        actor=Actor(f"hook:{event.name}", hook.roles, teams=EVERY),
        reason=None if by is None else f"tried again by {by}",
        key=event.key,
    )
    _, entry = requests.trigger(runtime, definition, _id_of(definition, hook, event), asked)
    return entry


def _id_of(definition: Definition, hook: Hook, event: _Event) -> str:
    """The id of an entity of this machine and no branch of it, whatever stands in the body."""
    found = hook.entity_of(event.body)
    return checked_id(found.removeprefix(f"{definition.name}:") if isinstance(found, str) else found)


def _keep(runtime: Runtime, definition: Definition, hook: Hook, event: _Event, error: Exception) -> Taken:
    """Of what led to nothing: to look at, and to try again."""
    now, redact = runtime.now(), definition.wide.redact
    raised = text_of(error) if isinstance(error, FsmflowError) else f"{name_of(type(error))}: {text_of(error)}"
    why = hide_in_text(raised, redact, event.body)
    is_small = len(event.text) <= MAX_KEPT_BYTES
    arrival = Arrival(
        id=id_of(event.name, event.key),
        hook=event.name,
        key=event.key,
        machine=definition.name,
        trigger=hook.trigger,
        address=_address(lambda: f"{definition.name}:{_id_of(definition, hook, event)}"),
        event=event.kind,
        at=now,
        last_at=now,
        tries=1,
        why=why if is_small else f"{why} (its body has {len(event.text):,} bytes, and was not kept)",
        body=event.text if is_small and event.body is not None else None,
    )
    runtime.store.arrivals.put(arrival)
    told.hook_kept(arrival.id, event.name, arrival.address, why)
    if isinstance(error, _PASSING) or not isinstance(error, FsmflowError):
        return Taken.LATER
    return Taken.KEPT if is_small else Taken.LARGE


def _address(found: Callable[[], str]) -> str | None:
    try:
        return found()
    except DataError:
        return None


def _content(body: bytes) -> dict[str, Any] | None:
    """What a body says, where that is an object in JSON of a depth that can be stored."""
    try:
        found = json.loads(body.decode())
        codec.encode(found, limit=len(body) * 2)
    except (ValueError, RecursionError, DataError):
        return None
    return found if isinstance(found, dict) else None


def _key(name: str, id_: str | None, body: bytes) -> str:
    """By what an event is known: its id, or else its bytes."""
    key = f"hook:{name}:{id_}"
    if id_ and len(key) <= MAX_TEXT and id_.isascii() and id_.isprintable():
        return key
    return f"hook:{name}:{hashlib.sha256(body if id_ is None else id_.encode('utf-8', 'replace')).hexdigest()}"
