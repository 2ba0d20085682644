"""Deals with the ticks of a schedule: one entity for each, however many processes look after it."""

from __future__ import annotations

import hashlib
from typing import Final

from fsmflow import clock, log
from fsmflow.decision.course import TICK_IDS, Course, Moved, move_on, tick_id
from fsmflow.decision.inputs import Actor
from fsmflow.decision.values import replace
from fsmflow.definition.model import Definition
from fsmflow.definition.schedule import ALL, Schedule
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.start import Birth, start
from fsmflow.points import point

_MAX_KEY: Final = 64


class Scheduled:
    """The schedule of one machine, with its course.

    The course is one fact in the database. Whatever is done to a schedule changes it by compare-and-set, in the
    transaction that does the rest: so of all who do so at once one succeeds, a crash leaves all of it undone, and an
    entity that has been pruned is not started again. A new schedule, or a changed one, begins with its first tick after
    the first look of a process that knows it.
    """

    def __init__(self, runtime: Runtime, definition: Definition, schedule: Schedule) -> None:
        self._runtime = runtime
        self._definition = definition
        self._meta = runtime.store.meta
        self._key = _key(definition.name)
        self.schedule = schedule

    @property
    def name(self) -> str:
        """The name of the machine."""
        return self._definition.name

    def course(self, now: int) -> Course:
        """The course, noted where the schedule is new or has changed. One query, and a write for a new one."""
        text, course = self._read(now)
        if course.schedule == str(self.schedule):
            return course
        changed = replace(course, schedule=str(self.schedule), reached=max(course.reached, now))
        # Where somebody else was first, it is theirs that is gone by at the next tick.
        self._runtime.store.link.write(lambda: self._meta.swap(self._key, text, changed.to_text()))
        return changed

    def look(self, now: int) -> tuple[bool, Course]:
        """Start what is due by now, one entity at most; whether it did, and the course afterwards.

        A query, another one where ``overlap`` asks for entities that are not finished, and one transaction.
        """
        text, course = self._read(now)
        tick = self.schedule.latest(course.reached, now)
        if tick is None and course.waits is None:
            return False, course
        # Asked after the course was read: whoever starts another one meanwhile changes that.
        blocker = self.blocker()
        moved = move_on(course, self.schedule, self._definition.wide.catch_up, tick, now, blocked=blocker is not None)
        if moved.course == course:
            return False, course
        if not self._take(text, moved):
            return False, self._read(now)[1]
        self._tell(moved, blocker)
        return moved.start is not None, moved.course

    def blocker(self) -> str | None:
        """The address of an entity that keeps others from being started: an earlier one that is not finished."""
        if self.schedule.overlap == ALL:
            return None
        found = self._runtime.store.listing.first_like(self.name, _unfinished(self._definition), [TICK_IDS])
        return None if found is None else f"{self.name}:{found}"

    def _read(self, now: int) -> tuple[str, Course]:
        """The course as it is noted, as text too."""
        text = self._meta.get([self._key]).get(self._key)
        if text is None:
            fresh = Course(schedule=str(self.schedule), reached=now)
            # Where somebody else notes it at the same moment, theirs will do.
            self._meta.add(self._key, fresh.to_text())
            text = self._meta.get([self._key])[self._key]
        return text, Course.from_text(text)

    def _take(self, text: str, moved: Moved) -> bool:
        """Commit what a look came to; False where somebody else was first."""

        def take_once() -> bool:
            if not self._meta.swap(self._key, text, moved.course.to_text()):
                return False
            if moved.start is not None:
                start(self._runtime, self._definition, _birth(moved.start), if_exists="return")
            point("schedule.before", self.name)
            return True

        return self._runtime.store.link.write(take_once)

    def _tell(self, moved: Moved, blocker: str | None) -> None:
        if moved.late is not None:
            log.schedule_late(self.name, tick_id(moved.late), skipped=moved.start is None)
        if moved.held is not None and blocker is not None:
            log.schedule_held(self.name, tick_id(moved.held), blocker, waits=moved.course.waits is not None)


def _birth(tick: int) -> Birth:
    return Birth(entity_id=tick_id(tick), data={"scheduled_at": clock.to_datetime(tick)}, actor=Actor("schedule"))


def _unfinished(definition: Definition) -> list[str]:
    """The states in which an entity is not finished, by their former names too."""
    states = [name for name, spec in definition.states.items() if not spec.is_final]
    return [*states, *(old for old, new in definition.wide.renamed.items() if new in states)]


def _key(machine: str) -> str:
    """The name of the fact. It has a place of 64 characters, as the name of a machine has by itself."""
    key = f"schedule:{machine}"
    return key if len(key) <= _MAX_KEY else f"schedule:{hashlib.sha256(machine.encode()).hexdigest()[:32]}"
