"""Failure groups over HTTP: what failed for one reason, and what people say of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fsmflow import failures
from fsmflow.engine.runtime import current
from fsmflow.failures import FailureGroup
from fsmflow.objects.failures import parts_of, stuck_object, whole
from fsmflow.queries import stuck_groups
from fsmflow.web.api.call import Answer, Call
from fsmflow.web.api.field import FLAG, MOMENT, TEXT, WHOLE, Field, moment_of
from fsmflow.web.api.operation import Operation, page

_EVERY: Final = Field(name="all", kind=FLAG, told="Also what is resolved, ignored, or empty now.", default=False)
_MACHINE: Final = Field(name="machine", kind=TEXT, told="What rests in this machine.")


def find(call: Call) -> Answer:
    """All groups that wait for somebody, and after them what is stuck."""
    machine, every = call.query["machine"], call.query["all"]
    found = failures.groups(machine, every=every, actor=call.actor)
    stuck = stuck_groups(current(), machine, call.actor)
    return Answer(content=page([*(each for group in found for each in parts_of(group)), *map(stuck_object, stuck)]))


def get(call: Call) -> Answer:
    """One group, whole."""
    return Answer(content=whole(failures.group(call.path["group"], actor=call.actor)))


def _said(say: Callable[[str, Call], FailureGroup]) -> Callable[[Call], Answer]:
    return lambda call: Answer(content=whole(say(call.path["group"], call)))


def _resolve(group: str, call: Call) -> FailureGroup:
    return failures.resolve(group, release=call.body["release"], actor=call.actor)


def _ignore(group: str, call: Call) -> FailureGroup:
    until = moment_of(call.body["until"], "until")
    return failures.ignore(group, until=until, count=call.body["count"], actor=call.actor)


def _reopen(group: str, call: Call) -> FailureGroup:
    return failures.reopen(group, actor=call.actor)


def _note(group: str, call: Call) -> FailureGroup:
    return failures.note(group, call.body["text"], link=call.body["link"], actor=call.actor)


def _merge(group: str, call: Call) -> FailureGroup:
    return failures.merge(group, call.body["into"], actor=call.actor)


def _saying(name: str, told: str, say: Callable[[str, Call], FailureGroup], *body: Field) -> Operation:
    common: dict[str, Any] = {"method": "POST", "tag": "failures", "gives": "FailureGroup", "refusals": (404,)}
    common |= {"takes_key": True, "once": True, "again": get}
    path = f"/failures/{{group}}/{name}"
    return Operation(name=f"{name}_failures", path=path, told=told, act=_said(say), body=body, **common)


OPERATIONS: Final = (
    Operation(
        name="list_failures",
        method="GET",
        path="/failures",
        told="What has failed and waits for somebody, group by group; and what is stuck.",
        tag="failures",
        act=find,
        gives="Failures",
        query=(_MACHINE, _EVERY),
        refusals=(404,),
    ),
    Operation(
        name="get_failures",
        method="GET",
        path="/failures/{group}",
        told="One group, by its id or enough of its beginning.",
        tag="failures",
        act=get,
        gives="FailureGroup",
        refusals=(404,),
    ),
    _saying(
        "resolve",
        "Say that it is mended. If it comes again, it is reopened.",
        _resolve,
        Field(name="release", kind=TEXT, told="The release that mends it."),
    ),
    _saying(
        "ignore",
        "Show it no more: until a moment, until it was seen so often, or for ever.",
        _ignore,
        Field(name="until", kind=MOMENT, told="A day or a moment, in UTC where it has no zone."),
        Field(name="count", kind=WHOLE, told="Until it was seen so many times more.", least=1, most=10**12),
    ),
    _saying("reopen", "Take back that it is resolved or ignored.", _reopen),
    _saying(
        "note",
        "Write a note, a link, or both; what is empty is taken away.",
        _note,
        Field(name="text", kind=TEXT, told="The note."),
        Field(name="link", kind=TEXT, told="Where more is written of it."),
    ),
    _saying(
        "merge",
        "Say that it is the same as another group, to which it belongs from now on.",
        _merge,
        Field(name="into", kind=TEXT, told="The other group.", is_required=True),
    ),
)
