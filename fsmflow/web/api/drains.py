"""Drains over HTTP: have a host take nothing new, and work again."""

from __future__ import annotations

from typing import Final

from fsmflow import drains
from fsmflow.drains import Drain
from fsmflow.engine.runtime import current
from fsmflow.objects.drains import object_of, processes
from fsmflow.web.api.call import Answer, Call
from fsmflow.web.api.field import TEXT, Field
from fsmflow.web.api.operation import REASON, Operation, page

_HOST: Final = Field(name="host", kind=TEXT, told="A host, as `GET /workers` names it.", is_required=True)


def find(call: Call) -> Answer:
    """All hosts that drain, and how many processes are left on each."""
    there = processes(current())
    return Answer(content=page([object_of(each, there) for each in drains.current_drains()]))


def drain(call: Call) -> Answer:
    """Have a host take nothing new."""
    made = drains.drain(call.body["host"], reason=call.body["reason"], actor=call.actor)
    return Answer(content=_object(made), status=201)


def undo(call: Call) -> Answer:
    """Have it work again."""
    return Answer(content=_object(drains.undo(call.path["host"], actor=call.actor)))


def _object(drain: Drain) -> dict[str, object]:
    return object_of(drain, processes(current()))


OPERATIONS: Final = (
    Operation(
        name="list_drains",
        method="GET",
        path="/drains",
        told="Hosts whose workers take nothing new, and how many processes are left on each.",
        tag="machines",
        act=find,
        gives="Drains",
    ),
    Operation(
        name="drain",
        method="POST",
        path="/drains",
        told="Have the workers of a host take nothing new and end what they run, until `undo`.",
        tag="machines",
        act=drain,
        gives="Drain",
        status=201,
        body=(_HOST, REASON),
        refusals=(409,),
        takes_key=True,
        once=True,
    ),
    Operation(
        name="undo_drain",
        method="POST",
        path="/drains/{host}/undo",
        told="Have the workers of a host work again.",
        tag="machines",
        act=undo,
        gives="Drain",
        body=(),
        refusals=(409,),
        takes_key=True,
        once=True,
    ),
)
