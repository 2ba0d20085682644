"""The actions of operators as they could be taken of an entity now."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from fsmflow.decision.actions import ACTIONS, Action
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.inputs import Actor
from fsmflow.engine.details import Details
from fsmflow.engine.lookup import Instance, instance_of
from fsmflow.engine.permission import permit_action
from fsmflow.engine.requests import plan
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import FsmflowError, UnknownState, name_of, text_of
from fsmflow.values import dataclass


@dataclass(frozen=True, kw_only=True)
class Button:
    """An action as this actor could take it now; ``why`` not. ``command`` does the same in a terminal."""

    action: Action
    why: str | None
    command: str


def instance_in(runtime: Runtime, snapshot: Snapshot) -> Instance | None:
    """The entity with the code that it goes by; None where there is no such code."""
    root = runtime.machines.all().get(snapshot.machine)
    try:
        return None if root is None else instance_of(root, snapshot)
    except UnknownState:
        return None


def buttons(runtime: Runtime, instance: Instance, actor: Actor, details: Details) -> Iterator[Button]:
    """Every action of operators, each decided on as it would be now, and not done."""
    for action in ACTIONS.values():
        why = _why_not(runtime, instance, action, actor, details)
        yield Button(action=action, why=why, command=command_of(action, instance.snapshot.address))


def command_of(action: Action, address: str, place: str = "", **options: Any) -> str:
    """What does the same in a terminal."""
    places = [place or each.upper() for each in ("state", "event") if each in action.options]
    told = [f"--{name}={value}" for name, value in options.items() if value]
    # What stands for something yet to be chosen is no value.
    return shlex.join(["fsmflow", action.name, address, *places, *told])


def _why_not(runtime: Runtime, instance: Instance, action: Action, actor: Actor, details: Details) -> str | None:
    snapshot = instance.snapshot
    try:
        if "state" in action.options or "event" in action.options:
            permit_action(runtime, instance, action.name, actor)
            has_events = bool(details.kept or details.sent or details.lost)
            return None if "state" in action.options or has_events else "nothing is kept or on its way"
        after = plan(runtime, instance, action, action.asks(actor=actor, reason="-"))
    except FsmflowError as error:
        return text_of(error)
    except Exception as error:  # noqa: BLE001 - what a guard of the user raises is told where it stands in the way
        return f"{name_of(type(error))}: {text_of(error)}"
    return "there is nothing to do" if after == snapshot and not action.is_final else None
