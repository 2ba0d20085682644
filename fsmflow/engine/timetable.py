"""``Timetable``: what there is of a schedule at a moment, to be shown."""

from __future__ import annotations

from datetime import datetime

from fsmflow.decision.course import LATE_MS, Note
from fsmflow.decision.versions import as_shown
from fsmflow.definition.schedule import Schedule
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.schedules import Scheduled
from fsmflow.values import dataclass


@dataclass(frozen=True, kw_only=True)
class Timetable:
    """The schedule of a machine, as it stands.

    ``next_at``: the next tick, as the clocks of its zone show it; None while it is paused. ``overdue``: a tick that has
    come, and that no worker has dealt with. ``waits``: one that waits until ``blocker`` is finished; under
    ``overlap="skip"`` such an entity has the next tick start nothing. ``last``: the address of the entity that was
    started last, and ``last_state`` its state, None where it is gone. ``paused``: since when, and by whom.
    ``notes``: the latest of what happened to it besides.
    """

    machine: str
    schedule: Schedule
    catch_up: str
    next_at: datetime | None
    overdue: datetime | None
    waits: datetime | None
    blocker: str | None
    last: str | None
    last_state: str | None
    paused: Note | None
    notes: tuple[Note, ...]


def timetable(runtime: Runtime, scheduled: Scheduled) -> Timetable:
    """Look at a schedule. Three queries at most; nothing is written."""
    now, schedule = runtime.now(), scheduled.schedule
    course = scheduled.seen(now)
    overdue = None if course.paused is not None else schedule.latest(course.reached, now - LATE_MS)
    found = None if course.last is None else runtime.store.entities.load_existing(scheduled.name, course.last)
    return Timetable(
        machine=scheduled.name,
        schedule=schedule,
        catch_up=scheduled.definition.wide.catch_up,
        next_at=None if course.paused is not None else schedule.at(schedule.following(max(course.reached, now))),
        overdue=None if overdue is None else schedule.at(overdue),
        waits=None if course.waits is None else schedule.at(course.waits),
        blocker=scheduled.blocker(),
        last=None if course.last is None else f"{scheduled.name}:{course.last}",
        last_state=None if found is None else as_shown(scheduled.definition, found).state,
        paused=course.paused,
        notes=course.notes,
    )
