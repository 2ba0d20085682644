"""Starts an entity at each tick of a machine's ``schedule``: exactly one, however many supervisors run."""

from __future__ import annotations

from typing import Final

from fsmflow import log
from fsmflow.decision.course import Course
from fsmflow.engine import followup
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.schedules import Scheduled
from fsmflow.errors import DatabaseUnavailable
from fsmflow.values import replace

_AGAIN_MS: Final = 30_000


class Schedules:
    """The schedules of the machines that this process knows, as one sweeper sees them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._scheduled: dict[str, Scheduled] | None = None
        #: When to look after each: its next tick, or, where one could not be started, the next try.
        self._next: dict[str, int] = {}
        #: Those of which a tick waits until an earlier entity is finished, which may be at any moment.
        self._waiting: set[str] = set()
        self._look_again_at = 0

    def start_due(self) -> int:
        """Start what is due by now; how many. Without a query where nothing is, and nothing waits.

        Some queries and one transaction for each tick. Raises DatabaseUnavailable; all else is logged and tried again.
        """
        now = self._runtime.now()
        self._look(now)
        due = [name for name, at in self._next.items() if at <= now or name in self._waiting]
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
        scheduled = {}
        try:
            for name, definition in self._runtime.machines.all().items():
                if definition.wide.schedule is not None:
                    scheduled[name] = one = Scheduled(self._runtime, definition)
                    self._note(one, one.course(now))
        except DatabaseUnavailable:
            raise
        except BaseException as error:  # noqa: BLE001 - modules of the user's; what else there is to do goes on
            log.schedule_failed("finding the machines", error)
            return
        self._scheduled = scheduled

    def _tick(self, name: str, now: int) -> bool:
        """Deal with the latest tick of a schedule, or with one that waits; whether an entity was started here."""
        one = (self._scheduled or {})[name]
        try:
            with followup.following(self._runtime):
                started, course = one.look(now)
            self._note(one, replace(course, reached=max(course.reached, now)))
            return started
        except DatabaseUnavailable:
            raise
        except BaseException as error:  # noqa: BLE001 - of the user's code; other schedules must not wait for it
            log.schedule_failed(name, error)
            self._next[name] = now + _AGAIN_MS
            self._waiting.discard(name)
            return False

    def _note(self, one: Scheduled, course: Course) -> None:
        """When to look after a schedule again."""
        self._next[one.name] = one.schedule.following(course.reached)
        if course.waits is not None:
            self._waiting.add(one.name)
        else:
            self._waiting.discard(one.name)
