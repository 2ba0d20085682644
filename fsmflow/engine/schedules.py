"""Deals with the ticks of a schedule: one entity for each, however many processes look after it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from fsmflow import clock, log
from fsmflow.decision.course import IDS, Course, Moved, Note, by_hand_id, move_on, tick_id
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.inputs import Actor
from fsmflow.decision.team import for_all
from fsmflow.decision.versions import as_shown
from fsmflow.definition.model import Definition
from fsmflow.definition.schedule import ALL
from fsmflow.engine.commits import TRIES, until_first
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.start import Birth, is_first_key, start
from fsmflow.errors import ConfigurationError, TransitionConflict
from fsmflow.points import point
from fsmflow.values import replace

_MAX_KEY: Final = 64

Found = TypeVar("Found")


class Scheduled:
    """The schedule of one machine, with its course. Raises ConfigurationError for a machine that has none.

    The course is one fact in the database. Whatever is done to a schedule changes it by compare-and-set, in the
    transaction that does the rest: so of all who do so at once one succeeds, a crash leaves all of it undone, and an
    entity that has been pruned is not started again. A new schedule, or a changed one, begins with its first tick after
    the first look of a process that knows it.
    """

    def __init__(self, runtime: Runtime, definition: Definition) -> None:
        if definition.wide.schedule is None:
            raise ConfigurationError(
                f"machine {definition.name!r} has no schedule; its class names one: schedule = '0 3 * * *'"
            )
        self.schedule = definition.wide.schedule
        self.definition = definition
        self._runtime = runtime
        self._meta = runtime.store.meta
        self._key = _key(definition.name)

    @property
    def name(self) -> str:
        """The name of the machine."""
        return self.definition.name

    def seen(self, now: int) -> Course:
        """The course, as it would be noted now. One query; nothing is written."""
        text = self._meta.get([self._key]).get(self._key)
        return self._fresh(now) if text is None else self._as_of_today(Course.from_text(text), now)

    def course(self, now: int) -> Course:
        """The course, noted where the schedule is new or has changed. A query, and a write for a new one."""
        text, noted = self._read(now)
        course = self._as_of_today(noted, now)
        if course is not noted:
            # Where somebody else was first, it is theirs that is gone by at the next tick.
            self._runtime.store.link.write(lambda: self._meta.swap(self._key, text, course.to_text()))
        return course

    def look(self, now: int) -> tuple[bool, Course]:
        """Start what is due by now, one entity at most; whether it did, and the course afterwards.

        A query, another one where ``overlap`` asks for entities that are not finished, and one transaction.
        """
        text, course = self._read(now)
        tick = self.schedule.latest(course.reached, now)
        if tick is None and course.waits is None:
            return False, course
        if course.paused is not None:
            log.schedule_is_paused(self.name, tick_id(now if tick is None else tick), course.paused.by)
            return False, course
        # Asked after the course was read: whoever starts another one meanwhile changes that.
        blocker = self.blocker()
        moved = move_on(course, self.schedule, self.definition.wide.catch_up, tick, now, blocker=blocker)
        if moved.course == course:
            return False, course
        if not self._swap(text, moved.course, lambda: self._start(moved)):
            return False, self._read(now)[1]
        self._tell(moved, blocker)
        return moved.start is not None, moved.course

    def blocker(self) -> str | None:
        """The address of an entity that keeps others from being started: an earlier one that is not finished."""
        if self.schedule.overlap == ALL:
            return None
        found = self._runtime.store.listing.first_like(self.name, _unfinished(self.definition), IDS)
        return None if found is None else f"{self.name}:{found}"

    def change(self, change: Callable[[Course], Course]) -> Course:
        """Change the course; what it is then. Raises TransitionConflict where others kept changing it."""

        def change_once(turn: int) -> Course | None:
            text, course = self._read(self._runtime.now())
            changed = change(course)
            done = changed == course or self._swap(text, changed, lambda: None)
            return changed if done else None

        return self._found(until_first(change_once))

    def start(self, birth: Birth, note: Note | None = None) -> Snapshot:
        """Start an entity of the schedule that is due at no tick, unless it is there.

        Raises TransitionConflict where an earlier one is not finished, and ``overlap`` asks for that.
        """

        def start_once(turn: int) -> Snapshot | None:
            text, course = self._read(self._runtime.now())
            there = self._with_key(course, birth)
            if there is not None:
                return there
            blocker = self.blocker()
            if blocker is not None:
                raise TransitionConflict(
                    blocker, f"it is not finished, and overlap={self.schedule.overlap!r} lets no other one start"
                )
            started: list[Snapshot] = []
            changed = replace(course, last=birth.entity_id)
            done = self._swap(
                text,
                changed if note is None else changed.noting(note),
                lambda: started.append(start(self._runtime, self.definition, birth, if_exists="return")),
            )
            return started[-1] if done else None

        return self._found(until_first(start_once))

    def by_hand(
        self, data: Mapping[str, Any], actor: Actor | None, *, key: str | None = None, form: str | None = None
    ) -> Snapshot:
        """Start an entity now, also while the schedule is paused; the one that is there, where one of the last was
        started with this key. ``form``: a digest of all that came with the request. Raises what ``start`` raises, and
        KeyConflict for a key that came with another form."""
        now = self._runtime.now()
        told = {"scheduled_at": clock.to_datetime(now), **data}
        birth = Birth(entity_id=by_hand_id(now), data=told, actor=actor, key=key, form=form)
        return self.start(birth, Note.of(actor, "run", now, about=birth.entity_id))

    def _with_key(self, course: Course, birth: Birth) -> Snapshot | None:
        """What the same request has started before. Two queries for each that was started by hand of late."""
        store = self._runtime.store.entities
        ids = [note.about for note in course.notes if note.what == "run" and note.about is not None]
        for entity_id in reversed(ids if birth.key is not None else ()):
            there = store.load_existing(self.name, entity_id)
            if there is not None and is_first_key(self._runtime, there, birth):
                return as_shown(self.definition, there)
        return None

    def _found(self, found: Found | None) -> Found:
        if found is None:
            raise TransitionConflict(self.name, f"others changed its schedule in each of {TRIES} tries")
        return found

    def _as_of_today(self, course: Course, now: int) -> Course:
        """The same course; where the schedule has changed since it was noted, one that begins now."""
        if course.schedule == str(self.schedule):
            return course
        return replace(course, schedule=str(self.schedule), reached=max(course.reached, now))

    def _fresh(self, now: int) -> Course:
        return Course(schedule=str(self.schedule), reached=now)

    def _read(self, now: int) -> tuple[str, Course]:
        """The course as it is noted, as text too."""
        text = self._meta.get([self._key]).get(self._key)
        if text is None:
            # Where somebody else notes it at the same moment, theirs will do.
            self._meta.add(self._key, self._fresh(now).to_text())
            text = self._meta.get([self._key])[self._key]
        return text, Course.from_text(text)

    def _swap(self, text: str, course: Course, also: Callable[[], Any]) -> bool:
        """Change the course, and do what belongs to that, in one transaction; False where somebody else was first."""

        def swap_once() -> bool:
            if not self._meta.swap(self._key, text, course.to_text()):
                return False
            also()
            point("schedule.before", self.name)
            return True

        return self._runtime.store.link.write(swap_once)

    def _start(self, moved: Moved) -> None:
        if moved.start is not None:
            start(self._runtime, self.definition, birth_of(moved.start), if_exists="return")

    def _tell(self, moved: Moved, blocker: str | None) -> None:
        if moved.late is not None:
            log.schedule_late(self.name, tick_id(moved.late), skipped=moved.start is None)
        if moved.held is not None and blocker is not None:
            log.schedule_held(self.name, tick_id(moved.held), blocker, waits=moved.course.waits is not None)


def birth_of(tick: int, actor: Actor | None = None) -> Birth:
    """How the entity of a tick begins."""
    data = {"scheduled_at": clock.to_datetime(tick)}
    return Birth(entity_id=tick_id(tick), data=data, actor=actor or for_all("schedule"))


def _unfinished(definition: Definition) -> list[str]:
    """The states in which an entity is not finished, by their former names too."""
    states = [name for name, spec in definition.states.items() if not spec.is_final]
    return [*states, *(old for old, new in definition.wide.renamed.items() if new in states)]


def _key(machine: str) -> str:
    """The name of the fact. It has a place of 64 characters, as the name of a machine has by itself."""
    key = f"schedule:{machine}"
    return key if len(key) <= _MAX_KEY else f"schedule:{hashlib.sha256(machine.encode()).hexdigest()[:32]}"
