"""Brings what is due back to life: lost doorbells, expired leases, timers, retries. Leaderless: any number may run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from fsmflow import clock, log
from fsmflow.decision.commit import EventKind
from fsmflow.decision.entity import Claim, Snapshot, StaleClaim
from fsmflow.decision.failure import Facts
from fsmflow.decision.happenings import Crashed, Failed, Happening, TimerFired
from fsmflow.decision.work import GRACE_MS, NUDGE_MS, Work
from fsmflow.dispatch.doorbell import REDIS_ERRORS
from fsmflow.engine import followup
from fsmflow.engine.alignment import align
from fsmflow.engine.commits import TRIES
from fsmflow.engine.delivery import deliver
from fsmflow.engine.fanout import look
from fsmflow.engine.lookup import instance_for, under_todays_names
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import (
    DatabaseUnavailable,
    EntityNotFound,
    StepTimeout,
    TransitionConflict,
    TransitionNotAllowed,
    UnknownMachine,
    UnknownState,
)
from fsmflow.points import point
from fsmflow.running.maintenance.schedules import Schedules
from fsmflow.store.work import Due

PAGE: Final = 200
MAX_PAGES: Final = 50
#: How far the clocks of hosts may be apart before a doorbell that is only queued is taken for lost.
_SKEW_MS: Final = 1_000
_MAX_PATIENCE_MS: Final = 120_000
_POISON_MS: Final = 30_000
_LOCKED_MS: Final = 2_000
#: How long the database must have answered before a lease that ran out meanwhile counts as a crash.
SETTLED_S: Final = 6.0
#: Rows that are rung in one transaction: few, as each is locked until it ends.
_BATCH: Final = 20
_REFUSED_MS: Final = 60_000
#: What the code here cannot handle, as it is of another version.
_STRANGE_MS: Final = 10_000
#: How often a parent is looked at whose branches tell nothing.
WATCH_MS: Final = 600_000


class Maintenance:
    """One sweeper. ``sweep`` may run anywhere, any number of times at once: each row is a compare-and-set."""

    def __init__(self, runtime: Runtime, queues: Iterable[str]) -> None:
        self._runtime = runtime
        self._queues = tuple(queues)
        self._answers_since = clock.monotonic()
        self._redis_was_there = True
        self._schedules = Schedules(runtime)

    def sweep(self) -> int:
        """Look after all that is due now; how many rows. One query where nothing is.

        Raises DatabaseUnavailable. A row that cannot be handled is logged and looked at again later; it never keeps
        others from being handled.
        """
        try:
            return self._sweep()
        except DatabaseUnavailable:
            self._answers_since = float("inf")
            raise

    def no_renewals(self) -> None:
        """Leases could not be renewed, as where a long transaction holds SQLite's lock: those that ran out meanwhile
        are no crashes, until they could have been."""
        self._answers_since = float("inf")

    def _sweep(self) -> int:
        rings = self._look_at_redis()
        seen = 0
        for _ in range(MAX_PAGES):
            now = self._runtime.now()
            due = self._runtime.store.work.due(now, PAGE, doorbells=rings)
            self._answers_since = min(self._answers_since, clock.monotonic())
            for item in due:
                if not item.is_doorbell or _is_over(item, now):
                    self._handle(item, now)
            rings = self._ring([item for item in due if item.is_doorbell and not _is_over(item, now)], now) and rings
            seen += len(due)
            if len(due) < PAGE:
                break
        return seen + self._deliver() + self._schedules.start_due()

    def next_due(self) -> int | None:
        """The first moment after now at which something becomes due by itself, in milliseconds."""
        moments = (self._runtime.next_due(), self._schedules.next_due())
        return min((moment for moment in moments if moment is not None), default=None)

    def _deliver(self) -> int:
        """Deliver the messages that are due, and pass down what parents have to pass down. How many there were."""
        due = self._runtime.store.events.due(self._runtime.now(), PAGE)
        for post in due:
            try:
                with followup.following(self._runtime):
                    if post.kind == EventKind.ALIGN:
                        if not align(self._runtime, post.entity, pages=MAX_PAGES):
                            self._runtime.store.events.postpone(post, self._runtime.now() + GRACE_MS)
                    else:
                        deliver(self._runtime, post)
            except DatabaseUnavailable:
                raise
            except BaseException as error:  # noqa: BLE001 - one of them must not keep the others waiting
                log.sweep_failed(f"{post.kind} of entity row {post.entity}", error)
                self._runtime.store.events.postpone(post, self._runtime.now() + _POISON_MS)
        return len(due)

    def lost(self, row: int, owner: str, how: str, *, timed_out: bool = False) -> None:
        """A worker process is gone: end the attempt that it held, if its claim is still live.

        Where it died before it had claimed anything, the doorbell that it had taken is rung again.
        """
        claim = self._runtime.store.work.owned_by(row, owner)
        if claim is None:
            self._ring_again(row)
            return
        point("lost.before", row)
        if timed_out:
            message = f"the job ran longer than its limit and did not stop; {how}"
            happening: Happening = Failed(claim=claim, facts=Facts(kind=StepTimeout, message=message))
        else:
            happening = Crashed(claim=claim, detail=how)
        self._apply(row, lambda snapshot: happening)

    def released(self, row: int, owner: str) -> None:
        """A worker process was told to stop at once: give back the attempt that it held, and count no crash, unless the
        job may run only once and may have begun."""
        claim = self._runtime.store.work.owned_by(row, owner)
        point("release.before", row)
        if claim is not None and self._runs_once(row):
            crashed = Crashed(claim=claim, detail="its worker process was told to stop at once")
            self._apply(row, lambda snapshot: crashed)
        elif claim is not None:
            now = self._runtime.now()
            self._runtime.store.work.let_go(claim, attempt=claim.attempt + 1, dispatch=0, wake_at=now, now=now)

    def _runs_once(self, row: int) -> bool:
        snapshot = self._runtime.store.entities.load_row(row)
        machine = self._runtime.machines.all().get(snapshot.machine) if snapshot is not None else None
        if snapshot is None or machine is None:
            return False
        spec = under_todays_names(machine, snapshot).spec
        return spec is not None and spec.at_most_once

    def _ring_again(self, row: int) -> None:
        snapshot = self._runtime.store.entities.load_row(row)
        work = snapshot.work if snapshot else None
        if work is not None and work.runs and work.owner is None and work.rung_at is not None:
            self._ring_now([Due(row=row, work=work)], self._runtime.now())

    def _look_at_redis(self) -> bool:
        """Whether Redis is there. Where it has lost what it had, all jobs that it should have become due."""
        doorbell = self._runtime.doorbell
        try:
            if not doorbell.has_marker():
                point("flush.before", 0)
                count = self._runtime.store.work.wake_rung(self._runtime.now())
                if count:
                    log.redis_was_empty(count)
                point("flush.after", 0)
                doorbell.set_marker()
            doorbell.announce(self._queues)
        except REDIS_ERRORS as error:
            if self._redis_was_there:
                log.redis_lost(error, 1.0)
            self._redis_was_there = False
            doorbell.forget()
            return False
        self._redis_was_there = True
        return True

    def withdraw(self) -> None:
        """Tell that nobody here listens any more; Redis may be gone itself."""
        try:
            self._runtime.doorbell.withdraw(self._queues)
        except REDIS_ERRORS as error:
            log.redis_lost(error, 0.0)

    def _handle(self, item: Due, now: int) -> None:
        claim = item.claim
        again_ms = _POISON_MS
        try:
            if claim is not None and (item.work.lease_until or 0) <= now:
                # Before its deadline, which comes again: nothing else would ever end the attempt of a dead worker.
                self._expire(item, claim, now)
            elif _is_over(item, now) and item.work.held is None:
                self._fire(item)
            elif item.work.watches:
                self._look(item, now)
            elif claim is not None:
                self._runtime.store.work.postpone([(item, item.work.lease_until or now)])
            else:
                self._fire(item)
            return
        except (StaleClaim, EntityNotFound, TransitionConflict):
            # Mostly it has moved on, and putting it off does nothing. A row that nobody handles must not come first
            # again and again.
            again_ms = _REFUSED_MS
        except TransitionNotAllowed as error:
            again_ms = _REFUSED_MS
            log.timer_refused(f"entity row {item.row}", item.work.kind, str(error), again_ms / 1000)
            if item.work.deadline is not None:
                self._runtime.store.work.put_off(item, now=now, deadline=now + again_ms)
                return
        except UnknownState as error:
            # In a rolling deployment others know it: they are not to be kept waiting long.
            again_ms = _STRANGE_MS
            log.left_to_others(f"entity row {item.row}", str(error), again_ms / 1000)
        except DatabaseUnavailable as error:
            again_ms = _LOCKED_MS
            log.sweep_failed(f"entity row {item.row}", error)
        except BaseException as error:  # noqa: BLE001 - one row must not keep the others waiting
            log.sweep_failed(f"entity row {item.row}", error)
        self._runtime.store.work.postpone([(item, now + again_ms)])

    def _expire(self, item: Due, claim: Claim, now: int) -> None:
        if clock.monotonic() - self._answers_since < SETTLED_S:
            # After an outage of the database those who are alive come first, and renew their leases.
            self._runtime.store.work.postpone([(item, now + _LOCKED_MS)])
            return

        def expired(snapshot: Snapshot) -> Happening:
            work = snapshot.work
            if work is not None and work.lease_until is not None and work.lease_until > self._runtime.now():
                raise StaleClaim(f"{snapshot.address}: the lease has been renewed")
            return Crashed(claim=claim, detail="its worker stopped renewing the lease")

        point("expire.before", item.row)
        try:
            self._apply(item.row, expired)
        except UnknownMachine as error:
            # Only code that knows the machine may tell whether the job can be run again.
            self._runtime.store.work.postpone([(item, now + _LOCKED_MS)])
            log.claim_released(f"entity row {item.row}", str(error))

    def _look(self, item: Due, now: int) -> None:
        """After a parent whose branches have settled; the next look is due once more of them have.

        It is put off first, and by more than a branch that settles meanwhile does: so that one is not overlooked.
        """
        work = self._runtime.store.work
        item = work.postpone([(item, now + 2 * NUDGE_MS)])[0]
        with followup.following(self._runtime):
            more = look(self._runtime, item.row)
        if more:
            work.postpone([(item, now)])
        elif self._runtime.now() - now < NUDGE_MS:
            work.postpone([(item, now + WATCH_MS)])

    def _fire(self, item: Due) -> None:
        def still_due(snapshot: Snapshot) -> Happening:
            work = snapshot.work
            if work is None or work.epoch != item.work.epoch or _due_at(work) > self._runtime.now():
                raise StaleClaim(f"{snapshot.address}: the timer is no longer due")
            return TimerFired()

        point("fire.before", item.row)
        self._apply(item.row, still_due)

    def _apply(self, row: int, happening: Callable[[Snapshot], Happening]) -> None:
        for _ in range(TRIES):
            snapshot = self._runtime.store.entities.load_row(row)
            if snapshot is None:
                raise EntityNotFound(f"entity row {row}")
            instance, happens = instance_for(self._runtime, snapshot), happening(snapshot)
            if followup.attempt(self._runtime, instance, happens) is not None:
                if isinstance(happens, Crashed):
                    log.attempt_crashed(snapshot.address, happens.detail)
                return
        raise TransitionConflict(f"entity row {row}", f"others changed it {TRIES} times while this was decided")

    def _ring(self, due: list[Due], now: int) -> bool:
        """Ring for what is not queued any more. Whether Redis was there."""
        if not due:
            return True
        try:
            heads = self._runtime.doorbell.oldest({item.work.queue or "default" for item in due})
        except REDIS_ERRORS as error:
            log.redis_lost(error, 1.0)
            return False
        queued = [item for item in due if _is_queued(item, heads)]
        if queued:
            patience = min(_patience(item, now) for item in queued)
            self._runtime.store.work.leave([item.row for item in queued], now=now, wake_at=now + patience)
        waiting = {item.row for item in queued}
        lost = [item for item in due if item.row not in waiting]
        batches = [lost[start : start + _BATCH] for start in range(0, len(lost), _BATCH)]
        rung = [self._ring_now(batch, now) for batch in batches]
        return all(rung)

    def _ring_now(self, due: list[Due], now: int) -> bool:
        rings = self._runtime.store.work.ring(due, now)
        point("ring.noted", due[0].row)
        if self._runtime.doorbell.ring(rings, insist=True):
            return True
        rung = {ticket.row for ticket, _ in rings}
        again = [item.after_ring(now) for item in due if item.row in rung]
        self._runtime.store.work.postpone((item, now + _LOCKED_MS) for item in again)
        return False


def _is_over(item: Due, now: int) -> bool:
    deadline = item.work.deadline
    return deadline is not None and item.work.held is None and deadline <= now


def _due_at(work: Work) -> int:
    return work.wake_at if work.deadline is None else work.deadline


def _patience(item: Due, now: int) -> int:
    """How long a doorbell that is still queued is left alone: the longer, the longer it has been."""
    return min(max(now - (item.work.rung_at or now), GRACE_MS), _MAX_PATIENCE_MS)


def _is_queued(item: Due, heads: dict[str, int | None]) -> bool:
    """Whether the doorbell is still in its queue: first in, first out, so nothing younger stands at its head."""
    rung_at, head = item.work.rung_at, heads.get(item.work.queue or "default")
    return rung_at is not None and head is not None and head <= rung_at + _SKEW_MS
