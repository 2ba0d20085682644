"""Timers that are due: retries, delays, deadlines."""

from __future__ import annotations

from fsmflow.decision.entity import Snapshot, StaleClaim
from fsmflow.decision.happenings import Happening, TimerFired
from fsmflow.decision.work import Work
from fsmflow.engine.runtime import Runtime
from fsmflow.points import point
from fsmflow.running.maintenance.row import apply
from fsmflow.store.work import Due


def fire(runtime: Runtime, item: Due) -> None:
    """Fire what is due, if it still is. Raises StaleClaim if not, TransitionNotAllowed where nothing takes it."""

    def still_due(snapshot: Snapshot) -> Happening:
        work = snapshot.work
        if work is None or work.epoch != item.work.epoch or _due_at(work) > runtime.now():
            raise StaleClaim(f"{snapshot.address}: the timer is no longer due")
        return TimerFired()

    point("fire.before", item.row)
    apply(runtime, item.row, still_due)


def _due_at(work: Work) -> int:
    return work.wake_at if work.deadline is None else work.deadline
