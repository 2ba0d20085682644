"""Entities over HTTP: list, get, start, history, explain."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final, cast

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.inputs import checked_id
from fsmflow.definition.names import PHASES
from fsmflow.engine.explain import explain as explained
from fsmflow.engine.lookup import load
from fsmflow.engine.runtime import Runtime, current
from fsmflow.engine.selection import Selection, select
from fsmflow.engine.start import Birth
from fsmflow.engine.start import start as started_by
from fsmflow.errors import DataError, EntityNotFound, shown
from fsmflow.ids import made_of
from fsmflow.machine import Machine
from fsmflow.objects import entities
from fsmflow.objects.fields import read_condition
from fsmflow.queries import history_of, overdue_in, redacted, resolve, stuck_events, stuck_in
from fsmflow.values import replace
from fsmflow.web.api.call import REPEATED, Answer, Call
from fsmflow.web.api.field import FLAG, NAME, OBJECT, TEXT, TEXTS, WHOLE, Field, canonical
from fsmflow.web.api.operation import CURSOR, LIMIT, Operation, page

_FILTERS: Final = (
    Field(name="machine", kind=TEXT, told="Those of this machine."),
    Field(name="state", kind=TEXTS, told="Those in this state, or in one that this glob matches; may be repeated."),
    Field(name="phase", kind=TEXT, told="Those in this phase.", choices=PHASES),
    Field(name="error", kind=TEXT, told="Those whose failure has this type or `type: message`, a glob: `Timeout*`."),
    Field(name="older", kind=WHOLE, told="Those in their state for so many seconds.", least=0, most=10**9),
    Field(name="where", kind=TEXTS, told="Those whose data has this value: `customer=ada`, `amount:>=1000`."),
    Field(name="child", kind=TEXTS, told="Those that have such a child: `shipment.tracking=T7`."),
    Field(name="group", kind=TEXT, told="Those that rest in this failure group, branches too."),
    Field(name="waiting", kind=FLAG, told="Those whose job waits out an interval.", default=False),
    Field(name="stuck", kind=FLAG, told="Those of which something is due and cannot go on.", default=False),
    Field(name="overdue", kind=FLAG, told="Those in their state for longer than is expected.", default=False),
    Field(name="branches", kind=FLAG, told="Branches and children too.", default=False),
    Field(name="branch", kind=TEXT, told="Branches and children of this name, a glob."),
)
_ORDERS: Final = (
    Field(name="newest", kind=FLAG, told="The newest first.", default=False),
    Field(name="order", kind=TEXT, told="By a field of the data; `-amount` from the largest on."),
)
_BIRTH: Final = (
    Field(name="id", kind=NAME, told="Its id; one is made, if it is not given."),
    Field(name="data", kind=OBJECT, told="Its data."),
    Field(name="state", kind=TEXT, told="Adopts it in this state: no job is run, until `resume`."),
    Field(
        name="if_exists",
        kind=TEXT,
        told="`return` takes one that is there as it is.",
        choices=("raise", "return"),
        default="raise",
    ),
)


def find(call: Call) -> Answer:
    """A page of entities that all of this is true of, the oldest first."""
    runtime, query = current(), call.query
    last = _last(runtime, call)
    how: dict[str, Any] = {"newest": query["newest"], "order": query["order"], "actor": call.actor}
    selection, limit = _selection(query), query["limit"]
    found = list(islice(select(runtime, selection, limit=limit + 1, after=last, **how), limit + 1))
    events, now = stuck_events(runtime, found), runtime.now()
    told = [
        entities.summary(each, stuck_in(runtime, each, events), overdue_in(runtime, each, now))
        for each in found[:limit]
    ]
    return Answer(content=page(told, _cursor(query, found[limit - 1]) if len(found) > limit else None))


def _selection(query: Mapping[str, Any]) -> Selection:
    same = ("machine", "phase", "error", "group", "waiting", "stuck", "overdue", "branches", "branch")
    try:
        where = tuple(map(read_condition, query["where"] or ()))
        children = tuple(map(read_condition, query["child"] or ()))
    except ValueError as error:
        raise DataError(str(error)) from error
    return Selection(
        states=tuple(query["state"]) if query["state"] else None,
        older_ms=None if query["older"] is None else query["older"] * 1000,
        data={each.name: each.value for each in where if each.operator == "="},
        where=tuple(each for each in where if each.operator != "="),
        children=children,
        **{name: query[name] for name in same},
    )


def _cursor(query: Mapping[str, Any], last: Snapshot) -> str:
    text = json.dumps([_list_of(query), last.machine, last.entity_id])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _list_of(query: Mapping[str, Any]) -> str:
    """What tells a list from another one: a cursor goes on with its own."""
    asked = {name: value for name, value in query.items() if name not in ("cursor", "limit")}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]


def _last(runtime: Runtime, call: Call) -> Snapshot | None:
    """The entity that ended the page before, as it is now. Raises DataError, EntityNotFound."""
    cursor = call.query["cursor"]
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        of, machine, entity_id = json.loads(text)
        address = f"{machine!s}:{entity_id!s}"
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise DataError(f"cursor is {shown(cursor)}; it is the 'next' of a page") from error
    if of != _list_of(call.query):
        raise DataError("the cursor is that of another list; leave it out, or ask for the same list again")
    return resolve(runtime, address, call.actor)


def get(call: Call) -> Answer:
    """All that is known of an entity but its history."""
    runtime = current()
    snapshot = entity_of(runtime, call)
    return told(runtime, snapshot, call)


def told(runtime: Runtime, snapshot: Snapshot, call: Call, *, status: int = 200) -> Answer:
    """An entity, with what the one who asks may do with it."""
    return Answer(content=entities.entity(runtime, snapshot, call.actor), epoch=snapshot.epoch, status=status)


def entity_of(runtime: Runtime, call: Call) -> Snapshot:
    """The entity that the path names. Raises EntityNotFound, UnknownMachine, DataError."""
    found = resolve(runtime, f"{call.path['machine']}:{call.path['id']}", call.actor)
    if found.machine != call.path["machine"] and not found.entity_id.startswith(f"{call.path['machine']}:"):
        raise EntityNotFound(f"{call.path['machine']}:{call.path['id']}")
    return found


def history(call: Call) -> Answer:
    """A page of what happened to an entity, in order."""
    runtime, limit = current(), call.query["limit"]
    snapshot = entity_of(runtime, call)
    keys = redacted(runtime, snapshot)
    found = list(islice(history_of(runtime, snapshot.row, after=call.query["after"]), limit + 1))
    then = found[limit - 1].seq if len(found) > limit else None
    return Answer(content={"items": [entities.entry(each, keys) for each in found[:limit]], "next": then})


def explain(call: Call) -> Answer:
    """What an entity does, waits for and is blocked by, and what is allowed now."""
    runtime = current()
    snapshot = entity_of(runtime, call)
    instance = load(runtime, runtime.machines.get(snapshot.machine), snapshot.entity_id, call.actor)
    return Answer(
        content=entities.explanation_object(explained(runtime, instance, call.actor)), epoch=instance.snapshot.epoch
    )


def start(call: Call) -> Answer:
    """Start an entity."""
    runtime, body = current(), call.body
    definition = runtime.machines.get(call.path["machine"])
    options: dict[str, Any] = {"state": body["state"], "actor": call.actor, "key": call.key}
    there: Snapshot | None = None
    entity_id = body["id"] if body["id"] is not None or call.key is None else _id_of(definition.name, call)
    if entity_id is None:
        kind = cast(type[Machine], definition.owner)
        entity_id = kind.start(body["data"] or {}, if_exists=body["if_exists"], **options).entity_id
    else:
        entity_id = checked_id(entity_id)
        there = runtime.store.entities.load_existing(definition.name, entity_id)
        birth = Birth(entity_id=entity_id, data=body["data"] or {}, form=call.form, **options)
        started_by(runtime, definition, birth, if_exists=body["if_exists"])
    answer = told(runtime, resolve(runtime, f"{definition.name}:{entity_id}", call.actor), call, status=201)
    return answer if there is None else replace(answer, headers=REPEATED)


def _id_of(machine: str, call: Call) -> str:
    """The id of what is started with a key and no id: the same for the same request of the same person."""
    return str(made_of(canonical({"machine": machine, "actor": call.actor.name, "key": call.key})))


_AFTER: Final = Field(name="after", kind=WHOLE, told="Entries after the one of this number.", least=0, default=0)

OPERATIONS: Final = (
    Operation(
        name="list_entities",
        method="GET",
        path="/entities",
        told="A page of entities, by the same filters as `fsmflow list`.",
        tag="entities",
        act=find,
        gives="Entities",
        query=(*_FILTERS, *_ORDERS, LIMIT, CURSOR),
        refusals=(404,),
    ),
    Operation(
        name="start",
        method="POST",
        path="/entities/{machine}",
        told="Start an entity. Give it an id, or a key, wherever the request may be repeated.",
        tag="entities",
        act=start,
        gives="Entity",
        status=201,
        body=_BIRTH,
        refusals=(404, 409),
        takes_key=True,
        is_of_machines=True,
    ),
    Operation(
        name="get",
        method="GET",
        path="/entities/{machine}/{id}",
        told="An entity as it is now, with what is allowed.",
        tag="entities",
        act=get,
        gives="Entity",
        refusals=(404,),
        is_of_machines=True,
    ),
    Operation(
        name="get_history",
        method="GET",
        path="/entities/{machine}/{id}/history",
        told="What happened to an entity.",
        tag="entities",
        act=history,
        gives="History",
        query=(LIMIT, _AFTER),
        refusals=(404,),
    ),
    Operation(
        name="explain",
        method="GET",
        path="/entities/{machine}/{id}/explain",
        told="What an entity does, waits for and is blocked by.",
        tag="entities",
        act=explain,
        gives="Explanation",
        refusals=(404,),
    ),
)
