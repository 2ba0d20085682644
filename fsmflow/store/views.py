"""Views for people who look with SQL: addresses, moments and JSON instead of numbers. fsmflow itself reads none.

Their names and columns stay from release to release; new columns are added at the end.
"""

from __future__ import annotations

from fsmflow.decision.work import FAR_FUTURE_MS
from fsmflow.store.link import Link
from fsmflow.store.spelling import Spelling
from fsmflow.store.tables import ENTITIES_VIEW, ENTITY, HISTORY, HISTORY_VIEW, WORK

Columns = list[tuple[str, str]]


def show(link: Link) -> None:
    """Make the views, or make them anew. Whoever may read them keeps that right, but on SQLite, which has none."""
    spelling = link.dialect.spelling
    quoted = link.quoted
    work = f"LEFT JOIN {WORK} w ON w.{quoted('entity')} = e.id LEFT JOIN {ENTITY} p ON p.id = e.parent"
    entities = f"SELECT {_listed(_of_entity(spelling))} FROM {ENTITY} e {work}"
    lines = f"SELECT {_listed(_of_history(link))} FROM {HISTORY} h JOIN {ENTITY} e ON e.id = h.{quoted('entity')}"
    for view, query in ((ENTITIES_VIEW, entities), (HISTORY_VIEW, lines)):
        for statement in spelling.replaced(view, query):
            link.execute(statement)


def _listed(columns: Columns) -> str:
    return ", ".join(f"{expression} AS {name}" for name, expression in columns)


def _of_entity(spelling: Spelling) -> Columns:
    # A branch without a name of its own is called by its number.
    number = f"CASE WHEN e.parent_index IS NOT NULL THEN {spelling.joined('e.parent_index', _text(''))} END"
    due = f"CASE WHEN w.wake_at < {FAR_FUTURE_MS} THEN {spelling.moment('w.wake_at')} END"
    return [
        ("address", _address(spelling, "e")),
        ("machine", "e.machine"),
        ("entity_id", "e.entity_id"),
        ("state", "e.state"),
        ("phase", "e.phase"),
        ("paused", spelling.truth("e.paused <> 0")),
        ("data", spelling.json("e.data")),
        ("created_at", spelling.moment("e.created_at")),
        ("since", spelling.moment("e.entered_at")),
        ("updated_at", spelling.moment("e.updated_at")),
        *_of_failure(spelling, "e.failure"),
        ("work", "w.kind"),
        ("queue", "w.queue"),
        ("attempt", "w.attempt"),
        ("running", spelling.truth("w.owner IS NOT NULL")),
        ("due_at", due),
        ("deadline", spelling.moment("w.deadline")),
        ("parent", f"CASE WHEN p.id IS NOT NULL THEN {_address(spelling, 'p')} END"),
        ("branch", f"COALESCE(e.branch_name, {number})"),
        ("item", spelling.json("e.item")),
        ("epoch", "e.epoch"),
        ("version", "e.version"),
    ]


def _of_history(link: Link) -> Columns:
    spelling, quoted = link.dialect.spelling, link.quoted
    return [
        ("address", _address(spelling, "e")),
        ("machine", "e.machine"),
        ("entity_id", "e.entity_id"),
        ("seq", "h.seq"),
        ("kind", "h.kind"),
        ("happened_at", spelling.moment(f"h.{quoted('at')}")),
        ("trigger_name", f"h.{quoted('trigger')}"),
        ("source", "h.source"),
        ("dest", "h.dest"),
        ("attempt", "h.attempt"),
        ("actor", "h.actor"),
        ("reason", "h.reason"),
        ("payload", spelling.json("h.payload")),
        ("request_key", f"h.{quoted('key')}"),
        *_of_failure(spelling, "h.failure"),
        ("seconds", "h.duration / 1000.0"),
        ("edit", spelling.json("h.edit")),
        ("epoch", "h.epoch"),
        ("version", "h.version"),
        ("code_release", f"h.{quoted('release')}"),
    ]


def _of_failure(spelling: Spelling, failure: str) -> Columns:
    return [
        ("error_type", spelling.part(failure, "error_type")),
        ("error_message", spelling.part(failure, "message")),
        ("failure", spelling.json(failure)),
    ]


def _address(spelling: Spelling, entity: str) -> str:
    return spelling.joined(f"{entity}.machine", _text(":"), f"{entity}.entity_id")


def _text(text: str) -> str:
    return f"'{text}'"
