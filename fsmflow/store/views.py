"""Views for people who look with SQL: addresses, moments and JSON instead of numbers. fsmflow itself reads none.

Their names and columns stay from release to release; new columns are added at the end.
"""

from __future__ import annotations

from fsmflow.decision.work import FAR_FUTURE_MS
from fsmflow.store.link import Link
from fsmflow.store.notation import Notation
from fsmflow.store.tables import ENTITIES_VIEW, ENTITY, HISTORY, HISTORY_VIEW, WORK

Columns = list[tuple[str, str]]


def show(link: Link) -> None:
    """Make the views, or make them anew. Whoever may read them keeps that right, but on SQLite, which has none."""
    notation = link.dialect.notation
    quoted = link.quoted
    work = f"LEFT JOIN {WORK} w ON w.{quoted('entity')} = e.id LEFT JOIN {ENTITY} p ON p.id = e.parent"
    entities = f"SELECT {_listed(_of_entity(notation))} FROM {ENTITY} e {work}"
    lines = f"SELECT {_listed(_of_history(link))} FROM {HISTORY} h JOIN {ENTITY} e ON e.id = h.{quoted('entity')}"
    for view, query in ((ENTITIES_VIEW, entities), (HISTORY_VIEW, lines)):
        for statement in notation.replaced(view, query):
            link.execute(statement)


def _listed(columns: Columns) -> str:
    return ", ".join(f"{expression} AS {name}" for name, expression in columns)


def _of_entity(notation: Notation) -> Columns:
    # A branch without a name of its own is called by its number.
    number = f"CASE WHEN e.parent_index IS NOT NULL THEN {notation.joined('e.parent_index', _text(''))} END"
    # Of what a pause holds, the row has how much time is left.
    deadline = f"CASE WHEN w.held IS NULL THEN {notation.moment('w.deadline')} END"
    due = f"CASE WHEN w.wake_at < {FAR_FUTURE_MS} THEN {notation.moment('w.wake_at')} END"
    return [
        ("address", _address(notation, "e")),
        ("machine", "e.machine"),
        ("entity_id", "e.entity_id"),
        ("state", "e.state"),
        ("phase", "e.phase"),
        ("paused", notation.truth("e.paused <> 0")),
        ("data", notation.json("e.data")),
        ("created_at", notation.moment("e.created_at")),
        ("since", notation.moment("e.entered_at")),
        ("updated_at", notation.moment("e.updated_at")),
        *_of_failure(notation, "e.failure"),
        ("work", "w.kind"),
        ("queue", "w.queue"),
        ("attempt", "w.attempt"),
        ("running", notation.truth("w.owner IS NOT NULL")),
        ("due_at", due),
        ("deadline", deadline),
        ("parent", f"CASE WHEN p.id IS NOT NULL THEN {_address(notation, 'p')} END"),
        ("branch", f"COALESCE(e.branch_name, {number})"),
        ("item", notation.json("e.item")),
        ("epoch", "e.epoch"),
        ("version", "e.version"),
    ]


def _of_history(link: Link) -> Columns:
    notation, quoted = link.dialect.notation, link.quoted
    return [
        ("address", _address(notation, "e")),
        ("machine", "e.machine"),
        ("entity_id", "e.entity_id"),
        ("seq", "h.seq"),
        ("kind", "h.kind"),
        ("happened_at", notation.moment(f"h.{quoted('at')}")),
        ("trigger_name", f"h.{quoted('trigger')}"),
        ("source", "h.source"),
        ("dest", "h.dest"),
        ("attempt", "h.attempt"),
        ("actor", "h.actor"),
        ("reason", "h.reason"),
        ("payload", notation.json("h.payload")),
        ("request_key", f"h.{quoted('key')}"),
        *_of_failure(notation, "h.failure"),
        ("seconds", "h.duration / 1000.0"),
        ("edit", notation.json("h.edit")),
        ("epoch", "h.epoch"),
        ("version", "h.version"),
        ("code_release", f"h.{quoted('release')}"),
    ]


def _of_failure(notation: Notation, failure: str) -> Columns:
    return [
        ("error_type", notation.part(failure, "error_type")),
        ("error_message", notation.part(failure, "message")),
        ("failure", notation.json(failure)),
    ]


def _address(notation: Notation, entity: str) -> str:
    return notation.joined(f"{entity}.machine", _text(":"), f"{entity}.entity_id")


def _text(text: str) -> str:
    return f"'{text}'"
