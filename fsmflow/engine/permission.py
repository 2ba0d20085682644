"""Who may ask for what: looked up for all that is asked from outside, before it is decided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

from fsmflow import log
from fsmflow.decision.actions import ACTIONS
from fsmflow.decision.commit import Commit
from fsmflow.decision.context import Context
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Asked, Delivered, Happening, Replanned, Resumed, Triggered
from fsmflow.decision.inputs import Actor
from fsmflow.decision.permission import BY_ROLES, Gate
from fsmflow.decision.proposal import Proposal, answered, open_ones
from fsmflow.decision.resumption import Resumption, resumption
from fsmflow.decision.start import begin_and_fire
from fsmflow.definition.model import Definition
from fsmflow.definition.names import RETRY
from fsmflow.definition.operators import EDIT, RESUME, SEE
from fsmflow.engine.branches import context_of
from fsmflow.engine.lookup import Instance
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.teams import permit_whole
from fsmflow.errors import NotPermitted
from fsmflow.values import replace

_NAMES: Final = {action.happening: action.name for action in ACTIONS.values() if action.decided is not None}
_RETRIES: Final = (Resumption.RETRY, Resumption.STRANDED)


def gate_of(runtime: Runtime, instance: Instance) -> Gate:
    """Who may do what is closed to an entity."""
    permissions = runtime.settings.permissions
    if permissions is None:
        return BY_ROLES
    return Gate(permissions=permissions, handle=lambda: cast(Any, instance.root.owner)._handle_of(instance))  # noqa: SLF001


def context_for(runtime: Runtime, instance: Instance, happening: Happening | None = None) -> Context:
    """The context of an entity, to decide ``happening`` or to tell what is allowed."""
    context = context_of(runtime.store, instance.own, instance.snapshot, happening)
    gate = gate_of(runtime, instance)
    return context if gate is BY_ROLES else replace(context, gate=gate)


def operations(instance: Instance, asked: Asked) -> Iterator[str]:
    """What operators do that a request comes to: none for the triggers of users."""
    if isinstance(asked, Triggered):
        action = ACTIONS.get(asked.trigger)
        if action is not None and action.decided is None:
            yield action.name
        if asked.trigger in instance.own.wide.managed:
            yield asked.trigger
        if asked.patch:
            yield EDIT
        return
    if isinstance(asked, Replanned):
        yield RESUME
        return
    name = _NAMES.get(type(asked))
    if name is not None:
        yield name
    if isinstance(asked, Resumed):
        then = resumption(instance.own, replace(instance.snapshot, paused=False))
        if then in _RETRIES or (then is Resumption.HURRY and not instance.snapshot.paused):
            yield RETRY


def permit_machine(runtime: Runtime, definition: Definition, operation: str, actor: Actor | None) -> None:
    """Raises NotPermitted, which the log tells too, where an actor may not do this to a machine, with all teams of
    it."""
    permit_operation(runtime, definition, operation, actor)
    permit_whole(runtime, definition, operation, actor)


def permit_operation(runtime: Runtime, definition: Definition, operation: str, actor: Actor | None) -> None:
    """The same of what is done to some of its entities, whichever these are."""
    refusal = _gate(runtime).of_machine(definition, operation, actor)
    if refusal is not None:
        log.permission_refused(refusal)
        raise refusal


def opens(runtime: Runtime, definition: Definition, operation: str, actor: Actor | None) -> bool:
    """Whether ``permit_operation`` would let an actor. Nothing is logged, as nothing was tried."""
    return _gate(runtime).of_machine(definition, operation, actor) is None


def permit(runtime: Runtime, instance: Instance, asked: Asked, *, by_message: bool = False) -> None:
    """Raises NotPermitted where whoever asks may not do what operators do. A message is no second person."""
    gate = gate_of(runtime, instance)
    for operation in operations(instance, asked):
        refusal = gate.of_action(instance.own, instance.snapshot, operation, asked.actor)
        if refusal is None and by_message and _within_ms(instance, operation) is not None:
            sender = asked.actor.name if asked.actor else None
            words = "it takes two people, and a message is none"
            refusal = NotPermitted(instance.snapshot.address, operation, (), sender, words=words)
        if refusal is not None:
            raise refusal


def permit_action(runtime: Runtime, instance: Instance, operation: str, actor: Actor | None) -> None:
    """Raises NotPermitted where an actor may not do this to an entity."""
    refusal = gate_of(runtime, instance).of_action(instance.own, instance.snapshot, operation, actor)
    if refusal is not None:
        raise refusal


def permit_to_see(runtime: Runtime, instance: Instance, actor: Actor | None) -> None:
    """Raises NotPermitted where an actor may not see what an entity redacts: nobody may but those whom the machine or
    the installation names. The log tells of both."""
    permissions = runtime.settings.permissions
    is_closed = SEE in instance.own.wide.operators or (permissions is not None and permissions.closes)
    address, name = instance.snapshot.address, None if actor is None else actor.name
    try:
        if not is_closed:
            words = (
                f"nobody is named who may see what is redacted; a machine names roles: operators = {{{SEE!r}: [...]}}"
            )
            raise NotPermitted(address, SEE, (), name, words=words)
        permit_action(runtime, instance, SEE, actor)
    except NotPermitted as error:
        log.permission_refused(error)
        raise
    log.redacted_seen(address, name)


def _within_ms(instance: Instance, operation: str) -> int | None:
    closed = instance.own.wide.operators.get(operation)
    return None if closed is None else closed.within_ms


def proposals(runtime: Runtime, own: Definition | None, snapshot: Snapshot) -> list[Proposal]:
    """What one of two people has asked for, and is not void. One query for a machine that has such actions."""
    if own is None or all(closed.within_ms is None for closed in own.wide.operators.values()):
        return []
    return open_ones(runtime.store.events.asked(snapshot.row), snapshot, runtime.now())


def in_turn(runtime: Runtime, instance: Instance, asked: Asked) -> Asked:
    """What is to be decided where a request takes two people: that the first one asks is noted, once it would be done.
    One query where it does. Raises what it would be refused for."""
    for operation in operations(instance, asked):
        within_ms = _within_ms(instance, operation)
        if within_ms is not None:
            snapshot = instance.snapshot
            posts = runtime.store.events.asked(snapshot.row)
            there = open_ones(posts, snapshot, runtime.now())
            stale = tuple({post.id for post in posts} - {one.post.id for one in there})
            return answered(asked, operation, snapshot, there, stale, within_ms)
    return asked


def first_fired(
    runtime: Runtime, definition: Definition, begun: Commit, first: Triggered | Delivered, now: int
) -> Commit:
    """A new entity and the first event that it gets, as far as whoever sends it may. Raises NotPermitted."""
    instance = Instance(root=definition, own=definition, snapshot=begun.after, stored=begun.after)
    try:
        permit(runtime, instance, first.event if isinstance(first, Delivered) else first, by_message=True)
        return begin_and_fire(begun, definition, first, now, Context(gate=gate_of(runtime, instance)))
    except NotPermitted as error:
        log.permission_refused(error)
        raise


def _gate(runtime: Runtime) -> Gate:
    permissions = runtime.settings.permissions
    return BY_ROLES if permissions is None else Gate(permissions=permissions)
