"""The schemas of what the API answers, as its OpenAPI document has them. Newer releases may add fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

_TEXT: Final = {"type": "string"}
_MAYBE: Final = {"type": ["string", "null"]}
_COUNT: Final = {"type": "integer"}
_FLAG: Final = {"type": "boolean"}
_LIST: Final = {"type": "array"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_OBJECT: Final = {"type": "object"}
_MAYBE_OBJECT: Final = {"type": ["object", "null"]}
_MAYBE_COUNT: Final = {"type": ["integer", "null"]}
_MOMENT: Final = {"type": "string", "format": "date-time"}
_MAYBE_MOMENT: Final = {"type": ["string", "null"], "format": "date-time"}


def reference(name: str) -> Schema:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(told: str, /, **fields: Schema) -> Schema:
    """An object that has all of these fields, and may have more."""
    return {"type": "object", "description": told, "required": list(fields), "properties": fields}


def _page(of: str) -> Schema:
    items = {"type": "array", "items": reference(of)}
    return record("A page; `next` begins the next one.", items=items, next={"type": ["string", "integer", "null"]})


_SUMMARY: Final[Mapping[str, Schema]] = {
    "address": _TEXT,
    "machine": _TEXT,
    "entity_id": _TEXT,
    "branch": _MAYBE_COUNT,
    "state": _TEXT,
    "phase": _TEXT,
    "epoch": _COUNT,
    "paused": _FLAG,
    "since": _MOMENT,
    "created_at": _MOMENT,
    "updated_at": _MOMENT,
    "failure": _MAYBE_OBJECT,
    "stuck": _LIST,
    "overdue": _MAYBE,
}
_STANDS: Final[Mapping[str, Schema]] = {"address": _TEXT, "state": _TEXT, "phase": _TEXT, "epoch": _COUNT}
_LINE: Final[Mapping[str, Schema]] = {
    "seq": _COUNT,
    "kind": _TEXT,
    "at": _MOMENT,
    "trigger": _MAYBE,
    "source": _MAYBE,
    "dest": _TEXT,
    "epoch": _COUNT,
    "actor": _MAYBE,
    "reason": _MAYBE,
    "payload": _OBJECT,
    "key": _MAYBE,
}

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Data": {
        "type": "object",
        "description": (
            "JSON of any shape, up to 256 KB. What JSON has no form for is an object of one field: "
            '`{"$decimal": "12.30"}`, `{"$date": "2030-01-31"}`, `{"$datetime": "2030-01-31T09:00:00+01:00"}`, '
            '`{"$uuid": "..."}`. Answers have these as plain text.'
        ),
    },
    "Problem": {
        "type": "object",
        "description": "What was refused, and why (RFC 9457). `allowed`: the triggers that could be fired instead.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": _TEXT,
            "title": _TEXT,
            "status": _COUNT,
            "detail": _TEXT,
            "allowed": _TEXTS,
            "state": _TEXT,
            "epoch": _COUNT,
            "meanwhile": {"type": "array", "items": reference("Line")},
        },
    },
    "Summary": record("An entity in a list.", **_SUMMARY),
    "Entities": _page("Summary"),
    "Entity": record(
        "An entity as it is now.",
        **_SUMMARY,
        data=reference("Data"),
        work=_MAYBE_OBJECT,
        event=_OBJECT,
        allowed=_TEXTS,
        triggers={"type": "array", "items": reference("Offer")},
    ),
    "Offer": record(
        "A trigger, whether it may be fired now, and if not, why; null where that depends on its payload.",
        trigger=_TEXT,
        allowed={"type": ["boolean", "null"]},
    ),
    "Line": record("A line of a history.", **_LINE),
    "History": _page("Line"),
    "Explanation": record(
        "What an entity does, waits for and is blocked by.",
        address=_TEXT,
        state=_TEXT,
        phase=_TEXT,
        since=_MOMENT,
        doing=_MAYBE,
        waiting_for=_MAYBE,
        next_at=_MAYBE_MOMENT,
        blocked_by=_MAYBE,
        allowed=_TEXTS,
    ),
    "Fired": record("What a trigger came to.", **_STANDS, repeated=_FLAG, entry=reference("Line")),
    "Forecast": record("What a trigger would lead to.", address=_TEXT, trigger=_TEXT, allowed=_FLAG),
    "Acted": record("What an action came to.", **_STANDS, done=_FLAG, dry_run=_FLAG, source=_TEXT, paused=_FLAG),
    "Failures": record(
        "Groups, one object for each state in which entities rest; then what is stuck.",
        items={"type": "array", "items": _OBJECT},
        next={"type": "null"},
    ),
    "FailureGroup": record(
        "A failure group.",
        group=_TEXT,
        machine=_TEXT,
        state=_TEXT,
        error_type=_TEXT,
        message=_TEXT,
        traceback=_MAYBE,
        count=_COUNT,
        seen=_COUNT,
        first_seen=_MOMENT,
        last_seen=_MOMENT,
        life=_TEXT,
        releases=_OBJECT,
        causes=_LIST,
        parts=_LIST,
    ),
    "Repair": record(
        "A repair: what it is to do, its preview, and what became of its members.",
        address=_TEXT,
        state=_TEXT,
        phase=_TEXT,
        members=_COUNT,
        pending=_COUNT,
        under_way=_COUNT,
        recovered=_COUNT,
        failed_alike=_COUNT,
        failed_otherwise=_COUNT,
        taken_over=_COUNT,
        refused=_COUNT,
        moved=_COUNT,
        proposed=_COUNT,
        why=_MAYBE,
        preview=_OBJECT,
        plan=_OBJECT,
        started_at=_MOMENT,
    ),
    "Repairs": _page("Repair"),
    "Member": record("An entity of a repair.", address=_TEXT, state=_TEXT, fate=_TEXT, would=_MAYBE, why=_MAYBE),
    "Members": _page("Member"),
    "Hold": record(
        "What is kept back.",
        number=_COUNT,
        machine=_MAYBE,
        state=_MAYBE,
        queue=_MAYBE,
        where=_OBJECT,
        reason=_MAYBE,
        by=_MAYBE,
        at=_MAYBE_MOMENT,
        until=_MAYBE_MOMENT,
        released_at=_MAYBE_MOMENT,
        rate={"type": ["number", "null"]},
        waiting=_COUNT,
    ),
    "Holds": _page("Hold"),
    "Limit": record(
        "A limit as it is used. `held`: how many have a permit; `started`: how many began within a minute; `since`: "
        "since when the first in line waits; `room_at`: when there is room again, where that follows from the starts.",
        name=_TEXT,
        template=_TEXT,
        running=_MAYBE_COUNT,
        per_minute=_MAYBE_COUNT,
        held=_COUNT,
        started=_COUNT,
        waiting=_COUNT,
        since=_MAYBE_MOMENT,
        room_at=_MAYBE_MOMENT,
        holders=_LIST,
    ),
    "Limits": _page("Limit"),
    "Drain": record(
        "A host whose workers take nothing new. `processes`: how many are left there, null where that is not known.",
        host=_TEXT,
        at=_MOMENT,
        by=_MAYBE,
        reason=_MAYBE,
        processes=_MAYBE_COUNT,
    ),
    "Drains": _page("Drain"),
    "Schedule": record(
        "A schedule as it is now.",
        machine=_TEXT,
        cron=_TEXT,
        zone=_TEXT,
        next_at=_MAYBE_MOMENT,
        last=_MAYBE,
        paused=_MAYBE_OBJECT,
        notes=_LIST,
    ),
    "Schedules": _page("Schedule"),
    "Feed": record("A stored feed.", name=_TEXT, behind=_COUNT, told=_COUNT, missed=_COUNT, reader=_MAYBE),
    "Feeds": _page("Feed"),
    "FeedEntry": record(
        "A line of history as a feed tells it.", id=_TEXT, number=_COUNT, address=_TEXT, entry=reference("Line")
    ),
    "FeedEntries": record(
        "What comes next, and the mark by which it is acknowledged.",
        items={"type": "array", "items": reference("FeedEntry")},
        mark=_MAYBE,
    ),
    "MachineBrief": record("A machine.", name=_TEXT, summary={"type": ["string", "null"]}, version=_COUNT),
    "Machines": _page("MachineBrief"),
    "Machine": record(
        "A machine: its states and transitions.", machine=_TEXT, initial=_TEXT, states=_LIST, transitions=_LIST
    ),
    "Counts": record(
        "How many stand in each state of each machine.",
        entities=_COUNT,
        counts=_OBJECT,
        oldest=_OBJECT,
        queues={"type": "array", "items": reference("Queue")},
        redis=_OBJECT,
        due=_MAYBE_COUNT,
        active=_MAYBE_COUNT,
        stuck=_COUNT,
    ),
    "Queue": record("A queue.", name=_TEXT, in_rq=_TEXT, listening={"type": ["boolean", "null"]}),
    "Queues": _page("Queue"),
    "Worker": record("A worker process.", host=_TEXT, pid=_COUNT, since=_MOMENT, queues=_TEXTS, release=_MAYBE),
    "Workers": _page("Worker"),
}
