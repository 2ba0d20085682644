"""``Course``: how far the ticks of a schedule are dealt with, as all processes know it; what a tick comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fsmflow import clock, codec
from fsmflow.decision.values import replace
from fsmflow.definition.schedule import SKIP, Schedule

#: The ids of the entities that a schedule starts, as SQL has it with LIKE.
TICK_IDS: Final = "____-__-__T__:__:__Z"
#: A tick that nobody has started for so long was missed: ``catch_up="skip"`` passes it over.
LATE_MS: Final = 60_000


@dataclass(frozen=True, kw_only=True)
class Course:
    """``schedule``: cron and zone of whoever noted it last; two versions of a machine may be running. ``reached``: the
    moment up to which ticks are dealt with. ``waits``: a tick that is dealt with and is yet to start its entity.
    ``last``: the id of the entity that was started last.
    """

    schedule: str
    reached: int
    waits: int | None = None
    last: str | None = None

    def to_text(self) -> str:
        return codec.encode(self.__dict__, what="the course of a schedule")

    @classmethod
    def from_text(cls, text: str) -> Course:
        """Also of what was noted before zones: the moment, and the cron text."""
        if not text.startswith("{"):
            reached, _, cron = text.partition(" ")
            return cls(schedule=cron, reached=int(reached))
        return cls(**codec.decode(text))


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What a look at a schedule comes to. ``start``: the tick whose entity is started. ``late``: one that was missed.
    ``held``: one whose entity is not started now, as an earlier one is not finished. ``dropped``: one that has waited,
    and starts nothing any more, as a later one has come."""

    course: Course
    start: int | None = None
    late: int | None = None
    held: int | None = None
    dropped: int | None = None


def move_on(course: Course, schedule: Schedule, catch_up: str, tick: int | None, now: int, *, blocked: bool) -> Moved:
    """What becomes of ``tick``, the latest that nobody has dealt with, and of one that waits.

    ``blocked``: an earlier entity is not finished, and ``overlap`` asks for that.
    """
    late = tick if tick is not None and now - tick > LATE_MS else None
    if tick is not None:
        course = replace(course, reached=tick)
        if late is not None and catch_up == "skip":
            return Moved(course=course, late=late)
    if blocked and (tick is None or schedule.overlap == SKIP):
        return Moved(course=course, held=tick)
    dropped = course.waits if tick is not None else None
    if blocked:
        return Moved(course=replace(course, waits=tick), held=tick, dropped=dropped)
    start = tick if tick is not None else course.waits
    if start is None:
        return Moved(course=course)
    return Moved(course=replace(course, waits=None, last=tick_id(start)), start=start, late=late, dropped=dropped)


def tick_id(tick: int) -> str:
    """The id of the entity of a tick: the moment, in UTC."""
    return clock.to_datetime(tick).strftime("%Y-%m-%dT%H:%M:%SZ")
