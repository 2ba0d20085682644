"""Schedules over HTTP: list, pause, resume, run now."""

from __future__ import annotations

from typing import Any, Final, cast

from fsmflow.definition.model import Definition
from fsmflow.definition.operators import SCHEDULE
from fsmflow.engine.permission import permit_machine
from fsmflow.engine.runtime import current
from fsmflow.engine.schedules import Scheduled
from fsmflow.engine.teams import permit_whole, sees_whole
from fsmflow.errors import EntityNotFound
from fsmflow.machine import Machine
from fsmflow.objects.schedules import object_of
from fsmflow.queries import resolve
from fsmflow.values import replace
from fsmflow.web.api.call import REPEATED, Answer, Call
from fsmflow.web.api.entities import told
from fsmflow.web.api.field import OBJECT, Field
from fsmflow.web.api.operation import REASON, Operation, page

_DATA: Final = Field(name="data", kind=OBJECT, told="Data of the entity.")


def find(call: Call) -> Answer:
    """All machines that start entities by themselves."""
    runtime = current()
    every = [one for one in runtime.machines.of_user().values() if one.wide.schedule is not None]
    seen = [one for one in every if sees_whole(runtime, one, call.actor)]
    kinds = [cast(type[Machine], one.owner) for one in sorted(seen, key=lambda one: one.name)]
    return Answer(content=page([object_of(kind.timetable()) for kind in kinds]))


def get(call: Call) -> Answer:
    """One of them."""
    return Answer(content=object_of(_kind(call).timetable()))


def pause(call: Call) -> Answer:
    """Start nothing at its ticks."""
    return Answer(content=object_of(_kind(call).pause_schedule(actor=call.actor, reason=call.body["reason"])))


def resume(call: Call) -> Answer:
    """Go on with the next tick."""
    return Answer(content=object_of(_kind(call).resume_schedule(actor=call.actor, reason=call.body["reason"])))


def run(call: Call) -> Answer:
    """Start an entity now; the one that is there, where the request is known by its key."""
    runtime, definition = current(), _definition(call)
    permit_machine(runtime, definition, SCHEDULE, call.actor)
    began, data = runtime.now(), call.body["data"] or {}
    found = Scheduled(runtime, definition).by_hand(data, call.actor, key=call.key, form=call.form)
    answer = told(runtime, resolve(runtime, found.address, call.actor), call, status=201)
    return replace(answer, headers=REPEATED) if call.key is not None and found.created_at < began else answer


def _kind(call: Call) -> type[Machine]:
    return cast(type[Machine], _definition(call).owner)


def _definition(call: Call) -> Definition:
    runtime = current()
    definition = runtime.machines.get(call.path["machine"])
    if definition.wide.schedule is None:
        raise EntityNotFound(f"the schedule of machine {definition.name}", why="is not there: it has none")
    permit_whole(runtime, definition, SCHEDULE, call.actor)
    return definition


def _changing(name: str, words: str, act: Any, *body: Field, **more: Any) -> Operation:
    common: dict[str, Any] = {"gives": "Schedule", "method": "POST", "tag": "schedules", "refusals": (404, 409)}
    common["takes_key"] = True
    path = f"/schedules/{{machine}}/{name}"
    return Operation(name=f"{name}_schedule", path=path, told=words, act=act, body=body, **(common | more))


OPERATIONS: Final = (
    Operation(
        name="list_schedules",
        method="GET",
        path="/schedules",
        told="Machines that start entities by themselves.",
        tag="schedules",
        act=find,
        gives="Schedules",
    ),
    Operation(
        name="get_schedule",
        method="GET",
        path="/schedules/{machine}",
        told="The schedule of a machine.",
        tag="schedules",
        act=get,
        gives="Schedule",
        refusals=(404,),
    ),
    _changing("pause", "Start nothing at its ticks, until it is resumed.", pause, REASON, once=True, again=get),
    _changing("resume", "Go on with the next tick.", resume, REASON, once=True, again=get),
    _changing(
        "run",
        "Start an entity now, besides those of the ticks.",
        run,
        _DATA,
        gives="Entity",
        status=201,
    ),
)
