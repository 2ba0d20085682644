"""Schedules as objects."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from fsmflow.decision.course import Note
from fsmflow.engine.timetable import Timetable
from fsmflow.objects.plain import iso, iso_of


def object_of(table: Timetable) -> dict[str, Any]:
    """A schedule as it is now."""
    moments = {name: getattr(table, name) for name in ("next_at", "overdue", "waits")}
    return {
        "machine": table.machine,
        "cron": table.schedule.cron,
        "zone": table.schedule.zone,
        "overlap": table.schedule.overlap,
        "catch_up": table.catch_up,
        **{name: None if moment is None else iso_of(moment.astimezone(UTC)) for name, moment in moments.items()},
        "blocker": table.blocker,
        "last": table.last,
        "last_state": table.last_state,
        "paused": None if table.paused is None else _note(table.paused),
        "notes": [_note(note) for note in table.notes],
    }


def _note(note: Note) -> dict[str, Any]:
    return {**note.__dict__, "at": iso(note.at)}
