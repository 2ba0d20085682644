"""Holds over HTTP: keep back what stands somewhere, and let it go."""

from __future__ import annotations

from typing import Any, Final

from fsmflow import holds
from fsmflow.errors import DataError
from fsmflow.objects.holds import object_of
from fsmflow.web.api.call import Answer, Call
from fsmflow.web.api.field import MOMENT, NUMBER, OBJECT, TEXT, Field, moment_of
from fsmflow.web.api.operation import REASON, Operation, page

_WANTED: Final = (
    Field(name="machine", kind=TEXT, told="Entities of this machine."),
    Field(name="state", kind=TEXT, told="What stands in this state, a glob."),
    Field(name="queue", kind=TEXT, told="What waits in this queue."),
    Field(name="where", kind=OBJECT, told="What has these values in its data."),
    Field(name="until", kind=MOMENT, told="It ends by itself then."),
    REASON,
)
_RATE: Final = Field(name="rate", kind=NUMBER, told="So many go on in a second; all at once, if it is not given.")


def find(call: Call) -> Answer:
    """All holds, and how many wait for each."""
    waiting = holds.kept_back(actor=call.actor)
    return Answer(
        content=page([object_of(each, waiting.get(each.number, 0)) for each in holds.current_holds(actor=call.actor)])
    )


def make(call: Call) -> Answer:
    """Keep something back."""
    asked: dict[str, Any] = {**call.body, "until": moment_of(call.body["until"], "until")}
    return Answer(content=object_of(holds.hold(**asked, actor=call.actor), 0), status=201)


def release(call: Call) -> Answer:
    """Let it go."""
    number = call.path["number"]
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise DataError(f"there is no hold {number[:40]!r}")
    waiting = holds.kept_back(actor=call.actor)
    found = holds.release(int(number), rate=call.body["rate"], actor=call.actor)
    return Answer(content=object_of(found, waiting.get(found.number, 0)))


OPERATIONS: Final = (
    Operation(
        name="list_holds",
        method="GET",
        path="/holds",
        told="What is kept back, and how many wait for each.",
        tag="holds",
        act=find,
        gives="Holds",
    ),
    Operation(
        name="hold",
        method="POST",
        path="/holds",
        told="Keep back what stands in a state or waits in a queue, and what arrives there.",
        tag="holds",
        act=make,
        gives="Hold",
        status=201,
        body=_WANTED,
        refusals=(404,),
        takes_key=True,
        once=True,
    ),
    Operation(
        name="release",
        method="POST",
        path="/holds/{number}/release",
        told="End a hold.",
        tag="holds",
        act=release,
        gives="Hold",
        body=(_RATE,),
        refusals=(404,),
        takes_key=True,
        once=True,
    ),
)
