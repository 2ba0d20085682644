"""Runs attempts: claim, run the job under its limit, settle."""

from __future__ import annotations

import asyncio
import os
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fsmflow import clock, log
from fsmflow.decision.decide import StaleClaim
from fsmflow.decision.events import Facts, Failed, Postponed, Returned, Settling
from fsmflow.decision.records import Claim, Outcome, Snapshot
from fsmflow.decision.view import subject_of
from fsmflow.definition.model import Definition, StateSpec
from fsmflow.definition.names import DONE, FAIL, RETRY
from fsmflow.dispatch.doorbell import Ring
from fsmflow.dispatch.tickets import read_arguments
from fsmflow.engine import engine
from fsmflow.engine.runtime import Runtime, collecting, current
from fsmflow.errors import (
    DatabaseUnavailable,
    DataError,
    EntityNotFound,
    Fail,
    RetryAfter,
    StepTimeout,
    TransitionConflict,
    UnknownMachine,
    told,
)
from fsmflow.running.jobview import LEASE_MS, JobView
from fsmflow.running.limits import TimeLimit, TimeUp
from fsmflow.running.slot import IDLE, RUNNING, SETTLING, Doing, Slot
from fsmflow.store.work import Ticket, grace

_MAX_WAIT_S = 2.0
_RENEW_S = 5.0


class Executor:
    """Runs one attempt at a time. With a slot, the supervisor renews the lease; without, a thread does."""

    def __init__(self, runtime: Runtime, slot: Slot | None = None) -> None:
        self._runtime = runtime
        self._slot = slot
        self._rings: list[Ring] = []

    def execute(self, ticket: Ticket) -> list[Ring]:
        """Claim the attempt, run its job, and commit how it ended. Returns quietly where it is not to be run.

        What the commit leaves to be dispatched is returned: the caller rings for it. A crash at any point leaves the
        lease to expire, or the supervisor to see it; what had not been committed then runs again. A result that comes
        too late changes nothing.
        """
        owner = os.urandom(12).hex()
        self._rings = []
        self._tell(Doing(state=RUNNING, row=ticket.row, owner=owner))
        try:
            claimed = self._claim(ticket, owner)
        except DatabaseUnavailable:
            self._tell(Doing(state=IDLE))
            raise
        if claimed is not None:
            self._run(*claimed)
        # Not told where something unforeseen was raised: the process then ends, and its attempt at once with it.
        self._tell(Doing(state=IDLE))
        return self._rings

    def _claim(self, ticket: Ticket, owner: str) -> tuple[Snapshot, Claim, Definition, StateSpec] | None:
        snapshot = self._take(ticket, owner)
        if snapshot is None or snapshot.work is None:
            log.claim_refused(f"{ticket.row}-{ticket.epoch}-{ticket.attempt}")
            return None
        claim = Claim(
            row=ticket.row, epoch=ticket.epoch, attempt=ticket.attempt, fence=snapshot.work.fence, owner=owner
        )
        try:
            definition = self._runtime.machines.get(snapshot.machine)
        except UnknownMachine as error:
            self._release(snapshot, claim, str(error))
            return None
        spec = definition.states.get(snapshot.state)
        if spec is None or spec.job is None:
            self._release(snapshot, claim, f"this code has no job for state {snapshot.state!r}")
            return None
        return snapshot, claim, definition, spec

    def _take(self, ticket: Ticket, owner: str) -> Snapshot | None:
        work = self._runtime.store.work
        try:
            return work.claim(ticket, owner, lease_until=self._runtime.now() + LEASE_MS)
        except DatabaseUnavailable:
            return work.claim(ticket, owner, lease_until=self._runtime.now() + LEASE_MS)

    def _release(self, snapshot: Snapshot, claim: Claim, why: str) -> None:
        dispatch = snapshot.work.dispatch if snapshot.work else 0
        wake_at = self._runtime.now() + grace(dispatch)
        self._runtime.store.work.let_go(claim, attempt=claim.attempt, dispatch=dispatch + 1, wake_at=wake_at)
        log.claim_released(snapshot.address, why)

    def _run(self, snapshot: Snapshot, claim: Claim, definition: Definition, spec: StateSpec) -> None:
        limit_s = None if spec.limit_ms is None else spec.limit_ms / 1000
        started = clock.monotonic()
        deadline = float("inf") if limit_s is None else started + limit_s
        self._tell(Doing(state=RUNNING, row=claim.row, owner=claim.owner, deadline=deadline))
        limit = TimeLimit(limit_s)
        view = JobView(self._runtime, definition, snapshot, claim, limit.shield, deadline)
        with self._renewed(claim, deadline):
            try:
                ended = run_job(definition, spec, view, limit, lambda: round((clock.monotonic() - started) * 1000))
            finally:
                limit.disarm()
        self._tell(Doing(state=SETTLING, row=claim.row, owner=claim.owner))
        if self._runtime.store.link.roll_back_open_transaction():
            log.transaction_left_open(snapshot.address, spec.job_name)
        with collecting() as rings:
            self._settle(definition, view.snapshot, claim, ended)
        self._rings = rings

    def _settle(self, definition: Definition, snapshot: Snapshot, claim: Claim, ended: Settling) -> None:
        """Commit, however long the database is away: the result is in hand. The fence decides whether it counts."""
        known: list[Snapshot] = [snapshot]
        wait_s = 0.05
        while True:
            try:
                engine.apply(self._runtime, definition, lambda: self._latest(known, claim), ended)  # type: ignore[arg-type]
                return
            except (StaleClaim, EntityNotFound):
                log.result_discarded(snapshot.address, snapshot.state, claim.attempt, "came to its end")
                return
            except (DatabaseUnavailable, TransitionConflict) as error:
                log.settle_waits(snapshot.address, error, wait_s)
                clock.pause(wait_s)
                wait_s = min(wait_s * 2, _MAX_WAIT_S)

    def _latest(self, known: list[Snapshot], claim: Claim) -> Snapshot:
        if known and claim.holds(known[0]):
            return known.pop()
        snapshot = self._runtime.store.entities.load_row(claim.row)
        if snapshot is None:
            raise EntityNotFound(f"entity row {claim.row}")
        return snapshot

    def _tell(self, doing: Doing) -> None:
        if self._slot is not None:
            self._slot.write(doing)

    @contextmanager
    def _renewed(self, claim: Claim, deadline: float) -> Iterator[None]:
        """Under a stock RQ worker nobody renews the lease from outside: a thread does, up to the deadline."""
        if self._slot is not None:
            yield
            return
        over = threading.Event()
        keeper = threading.Thread(target=self._renew, args=(claim, deadline, over), daemon=True)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()

    def _renew(self, claim: Claim, deadline: float, over: threading.Event) -> None:
        while not over.wait(_RENEW_S) and clock.monotonic() < deadline:
            try:
                until = self._runtime.now() + LEASE_MS
                if not self._runtime.store.work.heartbeat(claim, lease_until=until, progress=None):
                    return
            except DatabaseUnavailable as error:
                log.sweep_failed("renewing a lease", error)
        self._runtime.store.link.forget_connection()


def run_job(
    definition: Definition, spec: StateSpec, view: JobView, limit: TimeLimit, elapsed_ms: Callable[[], int]
) -> Settling:
    """Run the job of a state; how the attempt ended. Raises nothing."""
    claim = view.claim
    subject = subject_of(definition, view)
    try:
        with limit.running():
            result = _call(spec, subject)
        trigger, more = _read_result(spec, result)
        changes = view.changes(more)
    except RetryAfter as error:
        return Postponed(claim=claim, duration_ms=elapsed_ms(), seconds=max(0.0, float(error.seconds)))
    except TimeUp as error:
        limit.disarm()
        limit_s = (spec.limit_ms or 0) / 1000
        message = f"job {spec.job_name!r} ran longer than its limit of {limit_s:g} s"
        return _failed(view, Facts(kind=StepTimeout, message=message, traceback=_trace(error)), elapsed_ms())
    except BaseException as error:  # noqa: BLE001 - whatever a job raises is recorded
        limit.disarm()
        permanent = isinstance(error, (Fail, DataError))
        facts = Facts(kind=type(error), message=told(error), traceback=_trace(error), permanent=permanent)
        return _failed(view, facts, elapsed_ms())
    return Returned(claim=claim, duration_ms=elapsed_ms(), trigger=trigger, changes=changes)


def _call(spec: StateSpec, subject: Any) -> Any:
    if spec.job is None:
        raise AssertionError(f"state {spec.name!r} has no job")
    result = spec.job(subject)
    return asyncio.run(result) if asyncio.iscoroutine(result) else result


def _read_result(spec: StateSpec, result: Any) -> tuple[str, dict[str, Any] | None]:
    if result is None:
        return DONE, None
    if isinstance(result, Outcome):
        if not isinstance(result.trigger, str) or result.trigger in (FAIL, RETRY):
            raise DataError(f"job {spec.job_name!r} returned {result!r}; it fails by raising, for good with Fail(...)")
        return result.trigger, result.data
    if isinstance(result, Mapping):
        return DONE, dict(result)
    raise DataError(
        f"job {spec.job_name!r} returned {result!r:.80} ({type(result).__name__}); a job returns None, a mapping to be "
        f"merged into data, or Outcome(...)"
    )


def _failed(view: JobView, facts: Facts, duration_ms: int) -> Failed:
    log.attempt_failed(
        view.snapshot.address, view.snapshot.state, view.claim.attempt, f"{facts.error_type}: {facts.message}"
    )
    return Failed(claim=view.claim, duration_ms=duration_ms, facts=facts)


def _trace(error: BaseException) -> str:
    """The traceback from the job on, without fsmflow's own frames and without locals."""
    frames = traceback.extract_tb(error.__traceback__)
    while len(frames) > 1 and frames[0].filename == __file__:
        frames = traceback.StackSummary.from_list(frames[1:])
    return "".join(["Traceback (most recent call last):\n", *frames.format(), *traceback.format_exception_only(error)])


def run(installation: str, row: int, epoch: int, attempt: int, dispatch: int) -> None:
    """The entry point of jobs under a stock RQ worker (with the JSON serializer).

    Raises HostileJob for arguments that fsmflow did not put there.
    """
    runtime = current()
    ticket = read_arguments([installation, row, epoch, attempt, dispatch], runtime.store.installation)
    runtime.ring_for(Executor(runtime).execute(ticket))
