"""Brings what is due back to life: lost doorbells, expired leases, timers, retries. Leaderless: any number may run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from fsmflow import log
from fsmflow.decision.decide import StaleClaim
from fsmflow.decision.events import Crashed, Facts, Failed, Happening, TimerFired
from fsmflow.decision.records import JOB, TIMER, Claim, Snapshot
from fsmflow.dispatch.doorbell import REDIS_ERRORS
from fsmflow.engine import engine
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import (
    DatabaseUnavailable,
    EntityNotFound,
    StepTimeout,
    TransitionConflict,
    TransitionNotAllowed,
    UnknownMachine,
)
from fsmflow.store.work import Due, grace

PAGE: Final = 200
MAX_PAGES: Final = 50
#: How far the clocks of hosts may be apart before a doorbell that is only queued is taken for lost.
_SKEW_MS: Final = 1_000
_STILL_QUEUED_MS: Final = 30_000
_POISON_MS: Final = 30_000
_REFUSED_MS: Final = 60_000


class Maintenance:
    """One sweeper. ``sweep`` may run anywhere, any number of times at once: each row is a compare-and-set."""

    def __init__(self, runtime: Runtime, queues: Iterable[str]) -> None:
        self._runtime = runtime
        self._queues = tuple(queues)

    def sweep(self) -> int:
        """Look after all that is due now; how many rows. One query where nothing is.

        Raises DatabaseUnavailable. A row that cannot be handled is logged and looked at again later; it never keeps
        others from being handled.
        """
        redis_is_there = self._look_at_redis()
        seen = 0
        for _ in range(MAX_PAGES):
            now = self._runtime.now()
            due = self._runtime.store.work.due(now, PAGE)
            if not redis_is_there:
                due = [item for item in due if item.claim is not None or item.work.kind == TIMER]
            for item in due:
                if item.claim is not None or item.work.kind == TIMER:
                    self._handle(item, now)
            self._ring([item for item in due if item.claim is None and item.work.kind == JOB], now)
            seen += len(due)
            if len(due) < PAGE:
                break
        return seen

    def lost(self, row: int, owner: str, how: str, *, timed_out: bool = False) -> None:
        """A worker process is gone: end the attempt that it held, if its claim is still live."""
        claim = self._runtime.store.work.owned_by(row, owner)
        if claim is None:
            return
        if timed_out:
            message = f"the job ran longer than its limit and did not stop; {how}"
            happening: Happening = Failed(claim=claim, facts=Facts(kind=StepTimeout, message=message))
        else:
            happening = Crashed(claim=claim, detail=how)
        self._apply(row, lambda snapshot: happening)

    def released(self, row: int, owner: str) -> None:
        """A worker process was told to stop at once: give back the attempt that it held, and count no crash."""
        claim = self._runtime.store.work.owned_by(row, owner)
        if claim is not None:
            now = self._runtime.now()
            self._runtime.store.work.let_go(claim, attempt=claim.attempt + 1, dispatch=0, wake_at=now)

    def _look_at_redis(self) -> bool:
        doorbell = self._runtime.doorbell
        try:
            if not doorbell.marker_is_there():
                count = self._runtime.store.work.wake_rung(self._runtime.now())
                if count:
                    log.redis_was_empty(count)
            doorbell.announce(self._queues)
        except REDIS_ERRORS as error:
            log.redis_lost(error, 1.0)
            doorbell.forget()
            return False
        return True

    def _handle(self, item: Due, now: int) -> None:
        claim = item.claim
        try:
            if claim is not None:
                self._expire(item, claim, now)
            else:
                self._fire(item, now)
        except (StaleClaim, EntityNotFound, TransitionConflict):
            return
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one row must not keep the others waiting
            log.sweep_failed(f"entity row {item.row}", error)
            self._runtime.store.work.postpone([item], now + _POISON_MS)

    def _expire(self, item: Due, claim: Claim, now: int) -> None:
        detail = "its worker stopped renewing the lease"
        try:
            self._apply(item.row, lambda snapshot: Crashed(claim=claim, detail=detail))
        except UnknownMachine as error:
            self._runtime.store.work.let_go(
                claim, attempt=claim.attempt, dispatch=item.work.dispatch + 1, wake_at=now + grace(item.work.dispatch)
            )
            log.claim_released(f"entity row {item.row}", str(error))

    def _fire(self, item: Due, now: int) -> None:
        def still_due(snapshot: Snapshot) -> Happening:
            work = snapshot.work
            if work is None or work.epoch != item.work.epoch or work.wake_at > self._runtime.now():
                raise StaleClaim(f"{snapshot.address}: the timer is no longer due")
            return TimerFired()

        try:
            self._apply(item.row, still_due)
        except (TransitionNotAllowed, UnknownMachine) as error:
            log.timer_refused(f"entity row {item.row}", item.work.kind, str(error), _REFUSED_MS / 1000)
            self._runtime.store.work.postpone([item], now + _REFUSED_MS)

    def _apply(self, row: int, happening: Callable[[Snapshot], Happening]) -> None:
        snapshot = self._runtime.store.entities.load_row(row)
        if snapshot is None:
            raise EntityNotFound(f"entity row {row}")
        definition = self._runtime.machines.get(snapshot.machine)
        for _ in range(engine.TRIES):
            now_happens = happening(snapshot)
            applied = engine.attempt(self._runtime, definition, snapshot, now_happens)
            if applied is not None:
                if isinstance(now_happens, Crashed):
                    log.attempt_crashed(snapshot.address, now_happens.detail)
                return
            again = self._runtime.store.entities.load_row(row)
            if again is None:
                raise EntityNotFound(f"entity row {row}")
            snapshot = again

    def _ring(self, due: list[Due], now: int) -> None:
        if not due:
            return
        try:
            heads = self._runtime.doorbell.oldest({item.work.queue or "default" for item in due})
        except REDIS_ERRORS as error:
            log.redis_lost(error, 1.0)
            return
        queued = [item for item in due if _is_queued(item, heads)]
        self._runtime.store.work.postpone(queued, now + _STILL_QUEUED_MS)
        waiting = {item.row for item in queued}
        rings = self._runtime.store.work.ring([item for item in due if item.row not in waiting], now)
        self._runtime.doorbell.ring(rings)


def _is_queued(item: Due, heads: dict[str, int | None]) -> bool:
    """Whether the doorbell is still in its queue: first in, first out, so nothing younger stands at its head."""
    rung_at, head = item.work.rung_at, heads.get(item.work.queue or "default")
    return rung_at is not None and head is not None and head <= rung_at + _SKEW_MS
