"""What the page of an entity knows: where it is, the way that it came, and what this actor could do."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from fsmflow.decision.actions import ACTIONS, Action
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.inputs import Actor
from fsmflow.decision.offers import Offer
from fsmflow.definition.model import Definition
from fsmflow.diagram import chart, svg
from fsmflow.engine.details import Details, details_of
from fsmflow.engine.lookup import Instance, instance_of
from fsmflow.engine.permission import permit_action
from fsmflow.engine.reasons import Reasons
from fsmflow.engine.requests import plan
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import FsmflowError, UnknownState, name_of, text_of
from fsmflow.objects.drawings import journey_of
from fsmflow.objects.entities import offered
from fsmflow.queries import definition_for, history_of, overdue_in, redacted
from fsmflow.redaction import hide
from fsmflow.values import dataclass
from fsmflow.web.difference import written

#: So many lines of a history, and so many branches, are on one page.
LINES: Final = 200
#: And so many tell the way that is drawn, the last ones.
WAY: Final = 1_000
BRANCHES: Final = 50


@dataclass(frozen=True, kw_only=True)
class Button:
    """An action as this actor could take it now; ``why`` not. ``command`` does the same in a terminal."""

    action: Action
    why: str | None
    command: str


@dataclass(frozen=True, kw_only=True)
class Portrait:
    """``own``: the definition that it goes by, None where the code does not know it. ``skipped``: so many lines of its
    history are before those that are here, and ``later`` after them. ``is_cut``: the way is drawn from its last lines
    alone."""

    snapshot: Snapshot
    own: Definition | None
    instance: Instance | None
    details: Details
    picture: str | None
    data: str
    event: str
    keys: frozenset[str]
    reasons: dict[str, str | None]
    overdue: str | None
    offers: Sequence[Offer]
    buttons: Sequence[Button]
    command: str
    lines: Sequence[HistoryEntry]
    skipped: int
    later: int
    is_cut: bool
    branches: Sequence[Snapshot]


def portrait(runtime: Runtime, snapshot: Snapshot, actor: Actor, *, upto: int | None = None) -> Portrait:
    """Look at an entity. Some twenty queries, each by an index. Of its history the last lines are read, and those up to
    ``upto`` where that is asked for."""
    instance, own = instance_in(runtime, snapshot), definition_for(runtime, snapshot)
    keys, details = redacted(runtime, snapshot), details_of(runtime, own, snapshot)
    last = min(snapshot.seq, snapshot.seq if upto is None else max(1, upto))
    skipped = max(0, last - LINES)
    lines = runtime.store.entities.history(snapshot.row, after=skipped, limit=last - skipped)
    branches = runtime.store.branches.page(snapshot.row, snapshot.step, limit=BRANCHES) if details.progress else []
    event = hide(dict(snapshot.event.payload), keys)
    return Portrait(
        snapshot=snapshot,
        own=own,
        instance=instance,
        details=details,
        picture=picture_of(runtime, instance, snapshot),
        data=written(hide(snapshot.data, keys)),
        event=written(event) if event else "",
        keys=keys,
        reasons=Reasons(runtime).told(snapshot.row),
        overdue=overdue_in(runtime, snapshot, runtime.now()),
        offers=[each for each in offered(runtime, snapshot, actor) if each.trigger not in ACTIONS],
        buttons=[] if instance is None else list(buttons(runtime, instance, actor, details)),
        command=shlex.join(["fsmflow", "show", snapshot.address]),
        lines=[each.hidden(keys) for each in lines],
        skipped=skipped,
        later=snapshot.seq - last,
        is_cut=snapshot.seq > WAY,
        branches=branches,
    )


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


def picture_of(runtime: Runtime, instance: Instance | None, snapshot: Snapshot, *, styled: bool = False) -> str | None:
    """Where an entity is, and the way that it came; None where the code does not know its state."""
    if instance is None or instance.spec is None:
        return None
    way = islice(history_of(runtime, snapshot.row, after=max(0, snapshot.seq - WAY)), WAY)
    return svg(chart(instance.own, journey=journey_of(runtime, instance.root, instance.snapshot, way)), styled=styled)
