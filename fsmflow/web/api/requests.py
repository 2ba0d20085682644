"""What is asked of an entity over HTTP: triggers, what they would lead to, and the actions of operators."""

from __future__ import annotations

from typing import Any, Final

from fsmflow.decision.actions import ACTIONS, Action
from fsmflow.decision.happenings import Triggered
from fsmflow.engine import requests
from fsmflow.engine.forecast import forecast
from fsmflow.engine.lookup import instance_of
from fsmflow.engine.runtime import current
from fsmflow.errors import DataError
from fsmflow.objects import entities
from fsmflow.queries import redacted, resolve
from fsmflow.web.api.call import REPEATED, Answer, Call
from fsmflow.web.api.entities import entity_of
from fsmflow.web.api.field import FLAG, NAME, OBJECT, TEXT, Field
from fsmflow.web.api.operation import REASON, Operation

PAYLOAD: Final = Field(name="payload", kind=OBJECT, told="What comes with the event.")
_DRY: Final = Field(name="dry_run", kind=FLAG, told="Only say what it would lead to.", default=False)
#: What the options of actions are in a body.
_OPTIONS: Final = {
    "data": Field(name="data", kind=OBJECT, told="Merged into its data first."),
    "new_key": Field(name="new_key", kind=FLAG, told="Give the step a new idempotency key.", default=False),
    "state": Field(name="state", kind=TEXT, told="The state that it leads to.", is_required=True),
    "event": Field(name="event", kind=NAME, told="The number of the event, or its trigger.", is_required=True),
}


def trigger(call: Call) -> Answer:
    """Fire a trigger."""
    runtime = current()
    found = entity_of(runtime, call)
    asked = Triggered(trigger=call.path["trigger"], payload=call.body["payload"] or {}, **call.asked)
    after, entry = requests.trigger(runtime, runtime.machines.get(found.machine), found.entity_id, asked)
    told = {
        "address": after.address,
        "state": after.state,
        "phase": after.phase,
        "epoch": after.epoch,
        "repeated": entry.repeated,
        "entry": entities.entry(entry, redacted(runtime, after)),
    }
    return Answer(content=told, epoch=after.epoch, headers=REPEATED if entry.repeated else {})


def what_if(call: Call) -> Answer:
    """Say what a trigger would lead to now."""
    runtime = current()
    instance = instance_of(runtime.machines.get(call.path["machine"]), entity_of(runtime, call))
    asked = Triggered(trigger=call.path["trigger"], payload=call.body["payload"] or {}, **call.asked)
    found = forecast(runtime, instance, asked)
    return Answer(content=entities.forecast_object(found), epoch=instance.snapshot.epoch)


def _acting(action: Action) -> Any:
    def act(call: Call) -> Answer:
        runtime, body = current(), call.body
        if action.is_final and not body["reason"]:
            raise DataError(f"{action.name!r} cannot be taken back: give a reason")
        found = entity_of(runtime, call)
        options = {
            "patch" if name == "data" else name: body[name] or ({} if name == "data" else body[name])
            for name in action.options
            if name != "epoch"
        }
        asked = action.asks(**call.asked, **options)
        root = runtime.machines.get(found.machine)
        if body["dry_run"]:
            after = requests.plan(runtime, instance_of(root, found), action, asked)
        else:
            requests.act(runtime, root, found.entity_id, action, asked)
            after = resolve(runtime, found.address, call.actor)
        told = {"address": after.address, "done": not body["dry_run"], "dry_run": body["dry_run"]}
        stands = {name: getattr(after, name) for name in ("state", "phase", "epoch", "paused")}
        return Answer(content={**told, "source": found.state, **stands}, epoch=after.epoch)

    return act


def _operation(action: Action) -> Operation:
    own = tuple(_OPTIONS[name] for name in action.options if name != "epoch")
    return Operation(
        name=action.name,
        method="POST",
        path=f"/entities/{{machine}}/{{id}}/actions/{action.name}",
        told=action.help,
        tag="actions",
        act=_acting(action),
        gives="Acted",
        body=(*own, REASON, _DRY),
        refusals=(404, 409),
        takes_key=True,
        takes_epoch=True,
    )


OPERATIONS: Final = (
    Operation(
        name="trigger",
        method="POST",
        path="/entities/{machine}/{id}/triggers/{trigger}",
        told="Fire a trigger on an entity.",
        tag="triggers",
        act=trigger,
        gives="Fired",
        body=(PAYLOAD, REASON),
        refusals=(404, 409),
        takes_key=True,
        takes_epoch=True,
        is_of_machines=True,
    ),
    Operation(
        name="what_if",
        method="POST",
        path="/entities/{machine}/{id}/what-if/{trigger}",
        told="Say what a trigger would lead to now; nothing is written.",
        tag="triggers",
        act=what_if,
        gives="Forecast",
        body=(PAYLOAD, REASON),
        refusals=(404,),
        takes_key=True,
        takes_epoch=True,
    ),
    *map(_operation, ACTIONS.values()),
)
