"""What can be done to the schedule of a machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any, Self

from fsmflow import clock
from fsmflow.decision import asker
from fsmflow.decision.course import Note, tick_id
from fsmflow.decision.inputs import Actor, as_actor, checked_reason
from fsmflow.definition.operators import SCHEDULE
from fsmflow.definition.schedule import zone_of
from fsmflow.engine.backfill import backfill, missing
from fsmflow.engine.permission import permit_machine
from fsmflow.engine.runtime import current
from fsmflow.engine.schedules import Scheduled
from fsmflow.engine.timetable import Timetable, timetable
from fsmflow.errors import DataError, shown
from fsmflow.machine.base import Base, Data, as_dict

#: Before these no tick has an entity, and Python's own end of time is after them.
_YEARS = range(1970, 9_000)
_LAST_MOMENT = time(23, 59, 59, 999999)


class Schedules(Base[Data]):
    """The class methods of a machine that has a ``schedule``. Others raise ConfigurationError."""

    @classmethod
    def timetable(cls) -> Timetable:
        """The schedule as it stands: its next tick, the entity that it started last, whether it is paused, and by whom.
        Three queries at most."""
        return timetable(current(), cls._scheduled())

    @classmethod
    def pause_schedule(cls, *, actor: Actor | str | None = None, reason: str | None = None) -> Timetable:
        """Start nothing at its ticks, until ``resume_schedule``; once this returns, no tick starts an entity.

        Entities that are there go on. A tick that waits for an earlier one is given up. It outlives all processes. A
        schedule that is paused stays as it is.
        """
        return cls._noted("pause_schedule", "paused", actor, reason)

    @classmethod
    def resume_schedule(cls, *, actor: Actor | str | None = None, reason: str | None = None) -> Timetable:
        """Go on with the next tick. What has passed meanwhile starts nothing; ``backfill_schedule`` makes up for it."""
        return cls._noted("resume_schedule", "resumed", actor, reason)

    @classmethod
    def run_schedule(
        cls,
        data: Mapping[str, Any] | None = None,
        /,
        *,
        actor: Actor | str | None = None,
        key: str | None = None,
        **fields: Any,
    ) -> Self:
        """Start an entity now, besides those of the ticks, also while the schedule is paused.

        Its id begins with ``by-hand-``, and ``data["scheduled_at"]`` is the moment. With a ``key`` that one of the last
        twenty notes of the schedule was made with, it is the entity of then. Raises TransitionConflict where an
        earlier entity is not finished, and ``overlap`` lets no two run.
        """
        scheduled = cls._scheduled("run_schedule", actor)
        return cls._handle(scheduled.by_hand({**as_dict(data), **fields}, as_actor(actor), key=key))

    @classmethod
    def backfill_schedule(
        cls,
        begin: date | datetime,
        end: date | datetime | None = None,
        *,
        dry_run: bool = False,
        actor: Actor | str | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> list[str]:
        """Start the entities of ticks that are past and have none; the addresses of these.

        ``begin`` and ``end`` (now, if it is not given) are included: aware datetimes, or dates, which mean whole days
        in the zone of the schedule. ``dry_run`` says what would be started. ``progress`` is called with each address.
        Repeated, it starts nothing again; a tick whose entity was deleted has none.

        Where ``overlap`` lets no two run, it waits until each is finished before it starts the next one. Raises
        TransitionConflict where one has failed, DataError for more than 10,000 ticks.
        """
        scheduled = cls._scheduled("backfill_schedule", actor)
        runtime = current()
        until = runtime.now() if end is None else _moment(scheduled, end, "end", last=True)
        ticks = missing(runtime, scheduled, _moment(scheduled, begin, "begin"), until)
        if not dry_run:
            backfill(runtime, scheduled, ticks, as_actor(actor), progress or (lambda address: None))
        return [f"{scheduled.name}:{tick_id(tick)}" for tick in ticks]

    @classmethod
    def _scheduled(cls, action: str | None = None, actor: Actor | str | None = None) -> Scheduled:
        definition = cls._compiled()
        if action is not None:
            asker.permit(action, definition.name)
        scheduled = Scheduled(current(), definition)
        if action is not None:
            permit_machine(current(), definition, SCHEDULE, as_actor(actor))
        return scheduled

    @classmethod
    def _noted(cls, action: str, what: str, actor: Actor | str | None, reason: str | None) -> Timetable:
        scheduled, runtime = cls._scheduled(action, actor), current()
        note = Note.of(as_actor(actor), what, runtime.now(), reason=checked_reason(reason))
        scheduled.change(lambda course: course.pausing(note) if what == "paused" else course.resuming(note))
        return timetable(runtime, scheduled)


def _moment(scheduled: Scheduled, given: object, name: str, *, last: bool = False) -> int:
    """A moment as given, or the first or last one of a day. Raises DataError."""
    if isinstance(given, date) and given.year not in _YEARS:
        raise DataError(f"{name} is {shown(given)}; its year is one from {_YEARS.start} to {_YEARS.stop - 1}")
    if isinstance(given, date) and not isinstance(given, datetime):
        # A day begins at the first midnight that clocks show, and ends with the last second.
        given = datetime.combine(given, _LAST_MOMENT if last else time.min, zone_of(scheduled.schedule.zone))
        given = given.replace(fold=last)
    if not isinstance(given, datetime) or given.utcoffset() is None:
        raise DataError(f"{name} is {shown(given)}; it is a date, or a datetime with a time zone")
    return clock.from_datetime(given)
