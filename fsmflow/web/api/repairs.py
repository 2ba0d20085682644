"""Repairs over HTTP: one action done to many entities with care."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fsmflow.decision.member import Fate
from fsmflow.definition.names import RETRY
from fsmflow.errors import DataError, EntityNotFound, KeyConflict
from fsmflow.objects.repairs import object_of, objects_of
from fsmflow.operations import repairs
from fsmflow.operations.plan import AT_ONCE, REPAIRS
from fsmflow.operations.repair import Repair
from fsmflow.values import replace
from fsmflow.web.api.call import REPEATED, Answer, Call
from fsmflow.web.api.field import FLAG, NAME, OBJECT, TEXT, TEXTS, WHOLE, Field
from fsmflow.web.api.operation import CURSOR, LIMIT, REASON, Operation, page

_MANY: Final = 10**9
_WANTED: Final = (
    Field(name="addresses", kind=TEXTS, told="These entities; or those that all of the following is true of."),
    Field(name="machine", kind=TEXT, told="Those of this machine."),
    Field(name="state", kind=TEXTS, told="Those in these states, globs."),
    Field(name="error", kind=TEXT, told="Those with this failure, a glob."),
    Field(name="group", kind=TEXT, told="Those that rest in this failure group."),
    Field(name="older", kind=WHOLE, told="Those in their state for so many seconds.", least=0, most=_MANY),
    Field(name="where", kind=OBJECT, told="Those whose data have these values."),
    Field(name="branches", kind=FLAG, told="Branches and children too.", default=False),
    Field(name="branch", kind=TEXT, told="Branches and children of this name, a glob."),
    Field(name="limit", kind=WHOLE, told="At most so many.", least=1, most=_MANY),
)
_CARE: Final = (
    Field(
        name="canary",
        kind=WHOLE,
        told="So many first; the rest once each has recovered.",
        least=0,
        most=_MANY,
        default=0,
    ),
    Field(name="rate", kind=TEXT, told="At most so many in a time: `20/s`."),
    Field(name="at_once", kind=WHOLE, told="At most so many under way.", least=1, most=_MANY, default=AT_ONCE),
    Field(name="stop_after", kind=TEXT, told="Stop once more than this share has failed again: `3%`."),
)
_PLAN: Final = (
    Field(name="id", kind=NAME, told="A name for this very repair: none is started twice under it."),
    Field(name="action", kind=TEXT, told="What is done to each.", choices=REPAIRS, default=RETRY),
    Field(name="data", kind=OBJECT, told="What a retry merges into their data."),
    Field(name="new_key", kind=FLAG, told="A retry with a new idempotency key.", default=False),
    Field(name="to", kind=TEXT, told="Where `rewind` and `force` lead."),
    Field(name="event", kind=TEXT, told="What `drop` takes away: its number, or its trigger."),
    Field(name="trigger", kind=TEXT, told="What the action `trigger` fires."),
    Field(name="payload", kind=OBJECT, told="What comes with that."),
    Field(name="confirm", kind=FLAG, told="Go on after the preview; else it waits for `confirm`.", default=False),
    REASON,
)
_FATE: Final = Field(
    name="fate", kind=TEXT, told="Those of whom this is true.", choices=tuple(fate.value for fate in Fate)
)
_AFTER: Final = Field(name="after", kind=WHOLE, told="The `next` of the page before.", least=0, default=0)


def find(call: Call) -> Answer:
    """Repairs, the newest first."""
    limit, cursor = call.query["limit"], call.query["cursor"]
    found = list(repairs.find(newest=True, limit=limit + 1, after=cursor, actor=call.actor))
    then = found[limit - 1].entity_id if len(found) > limit else None
    return Answer(content=page(objects_of(found[:limit]), then))


def start(call: Call) -> Answer:
    """Start one. With an id, or a key, none is started twice."""
    given = {name: value for name, value in call.body.items() if value is not None}
    id_ = given.pop("id", call.key)
    action, confirm = given.pop("action"), given.pop("confirm")
    before = None if id_ is None else _there(call, str(id_))
    made = repairs.start(action, **given, confirm=confirm, actor=call.actor, id=id_)
    if before is not None and not _is_same(call, before, action, given):
        asked = f"another repair than {before.address}"
        raise KeyConflict(before.address, str(id_), asked, str(before.plan.action), before.created_at)
    return replace(_told(made, 201), headers=REPEATED if before else {})


def _there(call: Call, id_: str) -> Repair | None:
    try:
        return repairs.get(id_, actor=call.actor)
    except EntityNotFound:
        return None


def _is_same(call: Call, before: Repair, action: str, given: dict[str, Any]) -> bool:
    """Whether a repair that is there is the one that is asked for."""
    own = {"actor", "roles", "login", "teams"}
    asked = repairs.plan_of(action, **given, actor=call.actor).to_data()
    there = before.plan.to_data()
    return {name: value for name, value in asked.items() if name not in own} == {
        name: value for name, value in there.items() if name not in own
    }


def get(call: Call) -> Answer:
    """What a repair does, to how many, and what became of them."""
    return _told(_found(call))


def members(call: Call) -> Answer:
    """A page of those that it is about."""
    found, fate, limit = _found(call), call.query["fate"], call.query["limit"]
    rows = found.member_page(fate, after=call.query["after"], limit=limit + 1)
    then = rows[limit - 1].entity if len(rows) > limit else None
    return Answer(content={"items": [vars(member) for member in rows[:limit]], "next": then})


def confirm(call: Call) -> Answer:
    """Go on after the preview."""
    found = _found(call)
    if found.state != "previewed":
        raise DataError(f"{found.address} is in {found.state!r}: there is nothing to confirm")
    return _told(repairs.resume(found, actor=call.actor, reason=call.body["reason"]))


def stop(call: Call) -> Answer:
    """Ask no more of them."""
    return _told(repairs.stop(_found(call), reason=call.body["reason"], actor=call.actor))


def resume(call: Call) -> Answer:
    """Go on with one that is stopped, paused, or has failed."""
    return _told(repairs.resume(_found(call), actor=call.actor, reason=call.body["reason"]))


def cancel(call: Call) -> Answer:
    """Give it up; what was asked goes on its way."""
    return _told(_found(call).cancel(actor=call.actor, reason=call.body["reason"]))


def _found(call: Call) -> Repair:
    return repairs.get(call.path["repair"], actor=call.actor)


def _told(found: Repair, status: int = 200) -> Answer:
    found.refresh()
    return Answer(content=object_of(found), epoch=found.epoch, status=status)


def _changing(name: str, told: str, act: Callable[[Call], Answer], reason: Field = REASON) -> Operation:
    return Operation(
        name=f"{name}_repair",
        method="POST",
        path=f"/repairs/{{repair}}/{name}",
        told=told,
        tag="repairs",
        act=act,
        gives="Repair",
        body=(reason,),
        refusals=(404, 409),
        takes_key=True,
        once=True,
        again=get,
    )


OPERATIONS: Final = (
    Operation(
        name="list_repairs",
        method="GET",
        path="/repairs",
        told="Repairs, the newest first.",
        tag="repairs",
        act=find,
        gives="Repairs",
        query=(LIMIT, CURSOR),
        refusals=(404,),
    ),
    Operation(
        name="start_repair",
        method="POST",
        path="/repairs",
        told="Do an action to many entities with care. Without `confirm` it waits after its preview.",
        tag="repairs",
        act=start,
        gives="Repair",
        status=201,
        body=(*_PLAN, *_WANTED, *_CARE),
        refusals=(404, 409),
        takes_key=True,
    ),
    Operation(
        name="get_repair",
        method="GET",
        path="/repairs/{repair}",
        told="What a repair does, to how many, and what became of them: its preview and its report.",
        tag="repairs",
        act=get,
        gives="Repair",
        refusals=(404,),
    ),
    Operation(
        name="list_members",
        method="GET",
        path="/repairs/{repair}/members",
        told="The entities of a repair, and what became of each.",
        tag="repairs",
        act=members,
        gives="Members",
        query=(_FATE, LIMIT, _AFTER),
        refusals=(404,),
    ),
    _changing("confirm", "Go on after the preview.", confirm),
    _changing(
        "stop",
        "Ask no more of them, until `resume`.",
        stop,
        Field(name="reason", kind=TEXT, told="Why; kept in the history.", is_required=True),
    ),
    _changing("resume", "Go on with one that is stopped, paused, or has failed itself.", resume),
    _changing("cancel", "Give it up; what was asked goes on its way.", cancel),
)
