"""``Course``: how far the ticks of a schedule are dealt with, as all processes know it; what a tick comes to."""

from __future__ import annotations

import re
from typing import Any, Final

from fsmflow import clock, codec
from fsmflow.decision.inputs import Actor
from fsmflow.definition.schedule import SKIP, Schedule
from fsmflow.values import dataclass, replace

_TICK: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
#: The ids of the entities that a schedule starts, and of those that it starts by hand, as SQL has them with LIKE.
IDS: Final = ("____-__-__T__:__:__Z", "by-hand-____-__-__T%")
#: A tick that nobody has started for so long was missed: ``catch_up="skip"`` passes it over.
LATE_MS: Final = 60_000
#: So many notes are kept.
_NOTES: Final = 20


@dataclass(frozen=True, kw_only=True)
class Note:
    """What happened to a schedule: ``paused``, ``resumed``, ``run`` by hand or ``backfilled``; ``held``, where an
    earlier entity was not finished, or ``missed``, where nobody ran. ``at``: when, in milliseconds. ``about``: the id
    of an entity, or which ticks."""

    what: str
    at: int
    by: str | None = None
    reason: str | None = None
    about: str | None = None

    @classmethod
    def of(
        cls, actor: Actor | None, what: str, at: int, *, reason: str | None = None, about: str | None = None
    ) -> Note:
        """What somebody did, who may not have said a name."""
        return cls(what=what, at=at, by=None if actor is None else actor.name, reason=reason, about=about)


@dataclass(frozen=True, kw_only=True)
class Course:
    """``schedule``: cron and zone of whoever noted it last; two versions of a machine may be running. ``reached``: the
    moment up to which ticks are dealt with. ``waits``: a tick that is dealt with and is yet to start its entity.
    ``last``: the id of the entity that was started last. ``paused``: since when, and by whom. ``notes``: the latest.
    """

    schedule: str
    reached: int
    waits: int | None = None
    last: str | None = None
    paused: Note | None = None
    notes: tuple[Note, ...] = ()

    def to_text(self) -> str:
        paused = None if self.paused is None else self.paused.__dict__
        notes = [note.__dict__ for note in self.notes]
        return codec.encode({**self.__dict__, "paused": paused, "notes": notes}, what="the course of a schedule")

    @classmethod
    def from_text(cls, text: str) -> Course:
        """Also of what was noted before zones: the moment, and the cron text."""
        if not text.startswith("{"):
            reached, _, cron = text.partition(" ")
            return cls(schedule=cron, reached=int(reached))
        held: dict[str, Any] = codec.decode(text)
        paused = held.get("paused")
        notes = tuple(Note(**note) for note in held.get("notes", ()))
        return cls(**{**held, "paused": None if paused is None else Note(**paused), "notes": notes})

    def noting(self, note: Note, **changes: Any) -> Course:
        """The same with some fields changed, and a note of that."""
        return replace(self, notes=(*self.notes, note)[-_NOTES:], **changes)

    def pausing(self, note: Note) -> Course:
        """The same, paused. A tick that waits is given up. One that is paused stays as it is."""
        return self if self.paused is not None else self.noting(note, paused=note, waits=None)

    def resuming(self, note: Note) -> Course:
        """The same, no longer paused: it goes on with its next tick."""
        if self.paused is None:
            return self
        return self.noting(note, paused=None, reached=max(self.reached, note.at))


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What a look at a schedule comes to. ``start``: the tick whose entity is started. ``late``: one that was missed.
    ``held``: one whose entity is not started now, as an earlier one is not finished."""

    course: Course
    start: int | None = None
    late: int | None = None
    held: int | None = None


def move_on(
    course: Course, schedule: Schedule, catch_up: str, tick: int | None, now: int, *, blocker: str | None
) -> Moved:
    """What becomes of ``tick``, the latest that nobody has dealt with, and of one that waits.

    ``blocker``: the address of an earlier entity that is not finished, where ``overlap`` asks for that.
    """
    late = tick if tick is not None and now - tick > LATE_MS else None
    if tick is not None:
        course = replace(course, reached=tick)
        if late is not None and catch_up == "skip":
            return Moved(course=course.noting(Note(what="missed", at=now, about=tick_id(tick))), late=late)
    if blocker is not None and tick is None:
        return Moved(course=course)
    if blocker is not None and tick is not None:
        note = Note(what="held", at=now, reason=f"{blocker} is not finished", about=tick_id(tick))
        waits = course.waits if schedule.overlap == SKIP else tick
        return Moved(course=course.noting(note, waits=waits), held=tick)
    start = tick if tick is not None else course.waits
    if start is None:
        return Moved(course=course)
    return Moved(course=replace(course, waits=None, last=tick_id(start)), start=start, late=late)


def tick_id(tick: int) -> str:
    """The id of the entity of a tick: the moment, in UTC."""
    return clock.to_datetime(tick).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_tick(entity_id: str) -> bool:
    """Whether an entity was started at a tick, or for one that was past."""
    return _TICK.fullmatch(entity_id) is not None


def by_hand_id(moment: int) -> str:
    """The id of an entity that is started by hand."""
    return f"by-hand-{clock.iso(clock.to_datetime(moment))}"
