"""What a page of the admin shows of an entity, and what is done to it from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fsmflow.decision.actions import ACTIONS, PAUSE, RESUME
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.fit import fitting_payload
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.inputs import Actor
from fsmflow.definition.model import Definition
from fsmflow.definition.names import CANCEL, RETRY
from fsmflow.diagram import Row, rows
from fsmflow.django.payload import Filled, fields_of
from fsmflow.engine.details import details_of
from fsmflow.engine.explain import Explanation, explain
from fsmflow.engine.lookup import Instance
from fsmflow.engine.runtime import Runtime, current
from fsmflow.engine.teams import may_see
from fsmflow.errors import DataError, FsmflowError
from fsmflow.objects.buttons import buttons, instance_in
from fsmflow.objects.drawings import chart_of
from fsmflow.objects.entities import offered
from fsmflow.queries import definition_for, redacted
from fsmflow.shapes import Unfit
from fsmflow.values import dataclass

#: The actions of operators that need no more than a reason.
SIMPLE: Final = (RETRY, RESUME, PAUSE, CANCEL)
#: So many lines of a history are shown, the last ones.
_LINES: Final = 50


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Something that this actor can do now."""

    name: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Asking:
    """A trigger that takes more than a reason. ``is_open``: it was just refused."""

    choice: Choice
    fields: Sequence[Filled]
    is_open: bool


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A form that was sent, and why nothing came of it."""

    given: Mapping[str, str]
    error: Exception


@dataclass(frozen=True, kw_only=True)
class Panel:
    """``skipped``: so many lines of the history are before those that are here. ``with_more``: triggers whose payload
    has a type; those of which something must be given are not among the choices. ``takes_json``: whether any of the
    others may have a payload. ``refused``: the form that was sent and led to nothing. ``states``: what the picture
    shows, as a list."""

    snapshot: Snapshot
    told: Explanation | None
    choices: Sequence[Choice]
    with_more: Sequence[Asking]
    takes_json: bool
    lines: Sequence[HistoryEntry]
    skipped: int
    states: Sequence[Row]
    refused: Refused | None = None


def panel(snapshot: Snapshot, actor: Actor, refused: Refused | None = None) -> Panel:
    """Look at an entity for an actor. Nothing is changed."""
    runtime = current()
    skipped, keys = max(0, snapshot.seq - _LINES), redacted(runtime, snapshot)
    instance = instance_in(runtime, snapshot)
    drawn = chart_of(runtime, instance, snapshot)
    definition = definition_for(runtime, snapshot)
    triggers = [] if definition is None else [*_triggers(runtime, snapshot, actor)]
    simple = [each for each in triggers if definition is None or not _must_have_more(definition, each.name)]
    return Panel(
        snapshot=snapshot,
        told=None if instance is None or instance.spec is None else explain(runtime, instance, actor),
        choices=[*simple, *_actions(runtime, instance, actor)],
        with_more=[_asking(definition, each, refused) for each in triggers if _is_typed(definition, each.name)],
        takes_json=any(not _is_typed(definition, each.name) for each in simple),
        refused=refused,
        lines=[each.hidden(keys) for each in runtime.store.entities.history(snapshot.row, after=skipped)],
        skipped=skipped,
        states=[] if drawn is None else rows(drawn),
    )


def _triggers(runtime: Runtime, snapshot: Snapshot, actor: Actor) -> Iterator[Choice]:
    for offer in offered(runtime, snapshot, actor):
        if offer.trigger not in ACTIONS and offer.allowed is not False:
            to = f"{offer.trigger}: to {offer.dest}" if offer.dest else offer.trigger
            yield Choice(name=offer.trigger, title=f"{to}; {offer.why}" if offer.why else to)


def _is_typed(definition: Definition | None, trigger: str) -> bool:
    return definition is not None and trigger in definition.wide.payloads


def _must_have_more(definition: Definition, trigger: str) -> bool:
    """Whether the type of its payload has something that must be given."""
    try:
        fitting_payload(definition, trigger, {}, str)
    except Unfit:
        return True
    return False


def _asking(definition: Definition | None, choice: Choice, refused: Refused | None) -> Asking:
    is_this = refused is not None and refused.given.get("do") == choice.name
    given, error = (refused.given, refused.error) if refused is not None and is_this else ({}, None)
    fields = [] if definition is None else fields_of(definition, choice.name, given, error)
    return Asking(choice=choice, fields=fields, is_open=is_this)


def _actions(runtime: Runtime, instance: Instance | None, actor: Actor) -> Iterator[Choice]:
    if instance is None:
        return
    details = details_of(runtime, definition_for(runtime, instance.snapshot), instance.snapshot)
    for button in buttons(runtime, instance, actor, details):
        if button.action.name in SIMPLE and button.why is None:
            yield Choice(name=button.action.name, title=button.action.does.replace("`", ""))


def states_of(machine: Any, ids: Sequence[str], actor: Actor) -> dict[str, str]:
    """In which state each of these is, without those that are not there for the actor. One query; where the machine
    tells teams apart, one for each."""
    runtime, definition = current(), machine._compiled()  # noqa: SLF001 - a machine
    if definition.wide.team is None:
        return runtime.store.entities.there(definition.name, ids)
    found = (runtime.store.entities.look(definition.name, each) for each in ids)
    return {one.entity_id: one.state for one in found if one is not None and may_see(runtime, one, actor)}


def act(
    machine: Any,
    entity_id: str,
    name: str,
    actor: Actor,
    *,
    reason: str = "",
    epoch: int | None = None,
    payload: Mapping[str, Any] | None = None,
) -> str:
    """Take a simple action, or fire a trigger, with its payload; what came of it, in words. ``epoch``: that in which
    the entity was seen. Raises what these raise."""
    handle = machine.get(entity_id, actor=actor)
    asked: dict[str, Any] = {"actor": actor, "reason": reason.strip() or None}
    if name in SIMPLE and payload:
        raise DataError(f"{handle.address}: {name!r} takes no payload")
    if name not in SIMPLE:
        handle.trigger(name, payload or {}, epoch=epoch, **asked)
        return f"{handle.address}: {name} was fired; it is in {handle.state}."
    if "epoch" in ACTIONS[name].options:
        asked["epoch"] = epoch
    elif epoch is not None and handle.epoch != epoch:
        raise FsmflowError(f"{handle.address} has moved since this page was made; look at it again")
    getattr(handle, name)(**asked)
    return f"{handle.address} was {ACTIONS[name].done}; it is in {handle.state}."
