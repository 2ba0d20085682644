"""Runs attempts: claim, run the job under its limit, settle."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fsmflow import clock, log
from fsmflow.decision.entity import Claim, Snapshot, StaleClaim
from fsmflow.decision.happenings import Returned, Settling, Unacceptable
from fsmflow.definition.model import Definition
from fsmflow.dispatch.doorbell import Ring
from fsmflow.dispatch.tickets import read_arguments
from fsmflow.engine import followup
from fsmflow.engine.alignment import pass_down
from fsmflow.engine.lookup import Instance, instance_for, instance_of, under_todays_names
from fsmflow.engine.runtime import Runtime, collecting, current
from fsmflow.errors import (
    DatabaseUnavailable,
    DataError,
    EntityNotFound,
    TransitionConflict,
    UnknownMachine,
    UnknownState,
    UpgradeError,
)
from fsmflow.patience import Patience
from fsmflow.points import point
from fsmflow.running.job import run_job
from fsmflow.running.jobview import LEASE_MS, JobView
from fsmflow.running.limits import TimeLimit
from fsmflow.running.outage import outlast
from fsmflow.running.slot import IDLE, RUNNING, SETTLING, Doing, Slot
from fsmflow.running.step import Step, cannot_upgrade, in_transaction, spread_of, undoing_of
from fsmflow.store.work import Ticket, grace

#: How long what follows a commit may take.
_TASKS_S = 60.0
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
        point("claim.before", ticket.row)
        try:
            claimed = self._claim(ticket, owner)
            if claimed is not None:
                point("claim.after", claimed.snapshot.address)
                with followup.following(self._runtime) as tasks:
                    self._run(claimed)
                    if tasks:
                        self._before_tasks(claimed.claim)
        except DatabaseUnavailable:
            # The process lives on, and must not be taken to run this: its lease would be renewed for ever.
            self._tell(Doing(state=IDLE))
            raise
        # Not told where something unforeseen was raised: the process then ends, and its attempt at once with it.
        self._tell(Doing(state=IDLE))
        return self._rings

    def _before_tasks(self, claim: Claim) -> None:
        """What follows the commit may take its time, hooks of the user's among it: the next step does not wait for it,
        and a process that hangs in it is ended."""
        self._runtime.ring_for(self._rings)
        self._rings = []
        deadline = clock.monotonic() + _TASKS_S
        self._tell(Doing(state=RUNNING, row=claim.row, owner=claim.owner, deadline=deadline))

    def _claim(self, ticket: Ticket, owner: str) -> Step | None:
        snapshot = self._take(ticket, owner)
        if snapshot is None or snapshot.work is None:
            log.claim_refused(f"{ticket.row}-{ticket.epoch}-{ticket.attempt}")
            return None
        claim = Claim(
            row=ticket.row, epoch=ticket.epoch, attempt=ticket.attempt, fence=snapshot.work.fence, owner=owner
        )
        try:
            instance = instance_for(self._runtime, snapshot).checked()
            parent = self._parent_of(instance)
        except (UnknownMachine, UnknownState) as error:
            self._release(snapshot, claim, str(error))
            return None
        except UpgradeError as error:
            root = self._runtime.machines.get(snapshot.machine)
            self._settle(root, snapshot, claim, cannot_upgrade(claim, error))
            return None
        root, definition, snapshot, spec = instance.root, instance.own, instance.snapshot, instance.spec
        if spec is None or (spec.job is None and spec.fan is None):
            self._release(snapshot, claim, f"this code has no job for state {snapshot.state!r}")
            return None
        if snapshot.branch_of is not None and (parent is None or self._is_unwanted(root, parent, snapshot, claim)):
            return None
        return Step(snapshot=snapshot, claim=claim, root=root, definition=definition, spec=spec, parent=parent)

    def _parent_of(self, instance: Instance) -> Snapshot | None:
        """The parent of a branch, brought up to the code of today."""
        if instance.snapshot.branch_of is None:
            return None
        parent = self._runtime.store.entities.load_row(instance.snapshot.parent or 0)
        return None if parent is None else instance_of(instance.root, parent).checked().snapshot

    def _is_unwanted(self, root: Definition, parent: Snapshot, branch: Snapshot, claim: Claim) -> bool:
        """Whether a branch is not to be run, as its parent has left the step or is paused; it is then told so."""
        if parent.step == branch.parent_step and parent.state == branch.branch_of and not parent.paused:
            return False
        with followup.following(self._runtime):
            pass_down(self._runtime, parent.row, [branch])
        self._release(branch, claim, f"{parent.address} is in {parent.state!r}{', paused' if parent.paused else ''}")
        return True

    def _take(self, ticket: Ticket, owner: str) -> Snapshot | None:
        work = self._runtime.store.work
        try:
            return work.claim(ticket, owner, lease_until=self._runtime.now() + LEASE_MS)
        except DatabaseUnavailable:
            return work.claim(ticket, owner, lease_until=self._runtime.now() + LEASE_MS)

    def _release(self, snapshot: Snapshot, claim: Claim, why: str) -> None:
        dispatch = snapshot.work.dispatch if snapshot.work else 0
        now = self._runtime.now()
        wake_at = now + grace(dispatch)
        work = self._runtime.store.work
        work.let_go(claim, attempt=claim.attempt, dispatch=dispatch + 1, wake_at=wake_at, now=now)
        log.claim_released(snapshot.address, why)

    def _run(self, step: Step) -> None:
        snapshot, claim, spec = step.snapshot, step.claim, step.spec
        limit_s = None if spec.limit_ms is None else spec.limit_ms / 1000
        if not outlast(snapshot.address, lambda: self._secure(step, limit_s)):
            return
        undoing = outlast(snapshot.address, lambda: undoing_of(self._runtime, step))
        point("job.before", snapshot.address)
        started = clock.monotonic()
        deadline = float("inf") if limit_s is None else started + limit_s
        self._tell(Doing(state=RUNNING, row=claim.row, owner=claim.owner, deadline=deadline))
        limit = TimeLimit(limit_s)
        view = JobView(
            self._runtime,
            step.definition,
            snapshot,
            claim,
            limit.shield,
            deadline,
            parent=step.parent,
            undoing=undoing,
        )

        def run() -> Settling:
            work = spread_of(self._runtime, step, limit.shield) if spec.fan is not None else None
            try:
                return run_job(spec, view, limit, lambda: round((clock.monotonic() - started) * 1000), work)
            finally:
                limit.disarm()

        with self._renewed(claim, deadline if not spec.transactional else started):
            if spec.transactional and spec.fan is None:
                with collecting() as self._rings:
                    ended = in_transaction(self._runtime, step, run, self._settling(claim))
            else:
                ended = run()
        if ended is None:
            return
        point("settle.before", snapshot.address)
        self._settling(claim)()
        if self._runtime.store.link.roll_back_open_transaction():
            log.transaction_left_open(snapshot.address, spec.job_name)
        # What the job itself started has been rung for at once; it may have waited for that.
        with collecting() as self._rings:
            self._settle(step.root, view.snapshot, claim, ended)
        point("settle.after", snapshot.address)

    def _secure(self, step: Step, limit_s: float | None) -> bool:
        """Before the job begins: a transactional one holds its lease for its whole limit, as nobody may renew it; one
        that runs at most once has a claim that outlives the database server. False where the claim is gone."""
        spec = step.spec
        if not spec.transactional and not spec.at_most_once:
            return True
        held_ms = LEASE_MS + (round((limit_s or 0) * 1000) if spec.transactional else 0)
        until = self._runtime.now() + held_ms
        work, claim = self._runtime.store.work, step.claim
        # Asked once more where no row changed: a MySQL driver may count the rows that changed, not those found.
        return work.heartbeat(claim, lease_until=until, durable=spec.at_most_once) or (
            work.owned_by(claim.row, claim.owner) is not None
        )

    def _settling(self, claim: Claim) -> Callable[[], None]:
        return lambda: self._tell(Doing(state=SETTLING, row=claim.row, owner=claim.owner))

    def _settle(self, definition: Definition, snapshot: Snapshot, claim: Claim, ended: Settling) -> None:
        """Commit, however long the database is away: the result is in hand. The fence decides whether it counts."""
        known: list[Snapshot] = [snapshot]
        patience = Patience()
        while True:
            try:
                followup.apply(self._runtime, lambda: instance_of(definition, self._latest(known, claim)), ended)
                return
            except UnknownState as error:
                self._hand_over(definition, snapshot, claim, error)
                return
            except UpgradeError as error:
                ended = cannot_upgrade(claim, error, ended)
            except DataError as error:
                if not isinstance(ended, Returned):
                    raise
                ended = Unacceptable(claim=claim, duration_ms=ended.duration_ms, returned=ended, error=error)
            except (StaleClaim, EntityNotFound):
                log.result_discarded(snapshot.address, snapshot.state, claim.attempt, "came to its end")
                return
            except (DatabaseUnavailable, TransitionConflict) as error:
                log.settle_waits(snapshot.address, error, patience.next_s)
                patience.pause()

    def _hand_over(self, definition: Definition, snapshot: Snapshot, claim: Claim, error: UnknownState) -> None:
        """Newer code has been at the entity meanwhile: leave it the step. What may run once only is left to its lease,
        whose end counts as the loss of this worker."""
        spec = under_todays_names(definition, snapshot).spec
        if self._runtime.store.work.owned_by(claim.row, claim.owner) is None:
            log.result_discarded(snapshot.address, snapshot.state, claim.attempt, "came to its end")
        elif spec is not None and spec.at_most_once:
            log.claim_abandoned(snapshot.address, str(error))
        else:
            self._release(snapshot, claim, str(error))

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


def run(installation: str, row: int, epoch: int, attempt: int, dispatch: int) -> None:
    """The entry point of jobs under a stock RQ worker (with the JSON serializer).

    Raises HostileJob for arguments that fsmflow did not put there.
    """
    runtime = current()
    ticket = read_arguments([installation, row, epoch, attempt, dispatch], runtime.store.installation)
    runtime.ring_for(Executor(runtime).execute(ticket))
