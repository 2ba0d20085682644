"""Starts an entity at each tick of a machine's ``schedule``: exactly one, however many supervisors run."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

from croniter import croniter

from fsmflow import clock, log
from fsmflow.decision.inputs import Actor
from fsmflow.definition.model import Definition
from fsmflow.engine import followup
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.start import Birth, start
from fsmflow.errors import DatabaseUnavailable
from fsmflow.points import point

#: A tick that nobody has started for so long was missed: ``catch_up="skip"`` passes it over.
LATE_MS: Final = 60_000
_AGAIN_MS: Final = 30_000
_MAX_KEY: Final = 64
_TRIES: Final = 3


class Schedules:
    """The schedules of the machines that this process knows, as one sweeper sees them.

    For each there is one fact in the database: the cron text, and the moment up to which its ticks are dealt with. A
    tick moves that moment by compare-and-set in the transaction that starts the entity: so one of all sweepers starts
    it, a crash leaves both undone, and an entity that has been pruned is not started again. A new schedule, or a
    changed one, begins with its first tick after the first look of a process that knows it.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._scheduled: dict[str, Definition] | None = None
        #: When to look after each: its next tick, or, where one could not be started, the next try.
        self._next: dict[str, int] = {}
        self._look_again_at = 0

    def start_due(self) -> int:
        """Start what is due by now; how many. Without a query where nothing is.

        One query and one transaction for each tick. Raises DatabaseUnavailable; all else is logged and tried again.
        """
        now = self._runtime.now()
        self._look(now)
        due = [name for name, at in self._next.items() if at <= now]
        return sum(self._tick(name, now) for name in due)

    def next_due(self) -> int | None:
        """The moment at which the next tick is due, in milliseconds; None without any schedule."""
        self._look(self._runtime.now())
        return min(self._next.values(), default=None)

    def _look(self, now: int) -> None:
        """At the first time: find the schedules, and where each has got to. One query, and a write for a new one."""
        if self._scheduled is not None or now < self._look_again_at:
            return
        self._look_again_at = now + _AGAIN_MS
        try:
            every = self._runtime.machines.all()
        except BaseException as error:  # noqa: BLE001 - modules of the user's; what else there is to do goes on
            log.schedule_failed("finding the machines", error)
            return
        scheduled = {name: definition for name, definition in every.items() if definition.wide.schedule is not None}
        self._next = {name: _following(_cron(it), self._reached(it, now)) for name, it in scheduled.items()}
        self._scheduled = scheduled

    def _reached(self, definition: Definition, now: int) -> int:
        """The moment up to which the ticks of a schedule are dealt with; it is noted where it is new or has changed."""
        meta, key, cron = self._runtime.store.meta, _key(definition.name), _cron(definition)
        for _ in range(_TRIES):
            noted = meta.get([key]).get(key)
            if noted is None:
                if meta.add(key, _fact(cron, now)):
                    return now
                continue
            before, reached = _read(noted)
            if before == cron:
                return reached
            changed = _fact(cron, max(reached, now))
            if self._runtime.store.link.write(lambda old=noted, new=changed: meta.swap(key, old, new)):  # type: ignore[misc]
                return max(reached, now)
        return now

    def _tick(self, name: str, now: int) -> bool:
        """Deal with the latest tick of a schedule; whether an entity was started here."""
        definition = (self._scheduled or {})[name]
        try:
            with followup.following(self._runtime):
                started = self._start(definition, _latest(_cron(definition), now), now)
            self._next[name] = _following(_cron(definition), now)
            return started
        except DatabaseUnavailable:
            raise
        except BaseException as error:  # noqa: BLE001 - of the user's code; other schedules must not wait for it
            log.schedule_failed(name, error)
            self._next[name] = now + _AGAIN_MS
            return False

    def _start(self, definition: Definition, tick: int, now: int) -> bool:
        meta, key = self._runtime.store.meta, _key(definition.name)
        noted = meta.get([key]).get(key)
        if noted is None:
            self._reached(definition, now)
            return False
        before, reached = _read(noted)
        if tick <= reached:
            return False
        skipped = definition.wide.catch_up == "skip" and now - tick > LATE_MS
        # The cron text stays that of whoever noted it last: two versions of a machine may be running.
        moved = _fact(before, tick)

        def start_once() -> bool:
            if not meta.swap(key, noted, moved):
                return False
            if not skipped:
                start(self._runtime, definition, _birth(tick), if_exists="return")
            point("schedule.before", definition.name)
            return True

        if not self._runtime.store.link.write(start_once):
            return False
        if skipped or now - tick > LATE_MS:
            log.schedule_late(definition.name, _text(tick), skipped=skipped)
        return not skipped


def _birth(tick: int) -> Birth:
    return Birth(entity_id=_text(tick), data={"scheduled_at": clock.to_datetime(tick)}, actor=Actor("schedule"))


def _text(tick: int) -> str:
    return clock.to_datetime(tick).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cron(definition: Definition) -> str:
    return definition.wide.schedule or ""


def _key(machine: str) -> str:
    """The name of the fact. It has a place of 64 characters, as the name of a machine has by itself."""
    key = f"schedule:{machine}"
    return key if len(key) <= _MAX_KEY else f"schedule:{hashlib.sha256(machine.encode()).hexdigest()[:32]}"


def _fact(cron: str, reached: int) -> str:
    return f"{reached} {cron}"


def _read(fact: str) -> tuple[str, int]:
    reached, _, cron = fact.partition(" ")
    return cron, int(reached)


def _following(cron: str, moment: int) -> int:
    """The first tick after a moment."""
    return clock.from_datetime(croniter(cron, clock.to_datetime(moment)).get_next(datetime))


def _latest(cron: str, moment: int) -> int:
    """The last tick at a moment or before it."""
    after = clock.to_datetime(moment).replace(microsecond=0) + timedelta(seconds=1)
    return clock.from_datetime(croniter(cron, after).get_prev(datetime))
