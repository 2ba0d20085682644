"""Runs attempts: claim, secure, run the job under its limit, settle; and goes on with the next step where it may."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from fsmflow import clock, log
from fsmflow.decision.commit import Commit
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Returned
from fsmflow.dispatch.doorbell import Ring
from fsmflow.dispatch.tickets import read_arguments
from fsmflow.engine import followup
from fsmflow.engine.commits import follow, prepared
from fsmflow.engine.lookup import instance_of
from fsmflow.engine.observation import observed_attempt, trace_of
from fsmflow.engine.runtime import Runtime, collecting, current
from fsmflow.errors import ConfigurationError
from fsmflow.log.lines import running
from fsmflow.observers import caused_by
from fsmflow.points import point
from fsmflow.running.attempt import Attempt, Ended, undoing_of
from fsmflow.running.claim import attempt_of, claim_attempt, claim_of, new_owner, tell_refused
from fsmflow.running.fork import leave_if_forked
from fsmflow.running.job import Job
from fsmflow.running.lease import LEASE_MS, hand_back, renewed, secure
from fsmflow.running.limits import TimeLimit, ToldLimit
from fsmflow.running.outage import outlast
from fsmflow.running.permits import pass_on, taker_of
from fsmflow.running.settlement import settle
from fsmflow.running.slot import IDLE, RUNNING, SETTLING, Doing, Slot
from fsmflow.running.successor import Due, Outcome, Successor
from fsmflow.running.surroundings import Surroundings
from fsmflow.running.transaction import in_transaction
from fsmflow.scope import scope
from fsmflow.store.permits import Taken
from fsmflow.store.sentence import first_line
from fsmflow.store.work import Claimed, Ticket
from fsmflow.values import replace

#: How long what follows a commit may take.
_TASKS_S = 60.0
#: For how long, and for how many steps, a worker goes on with one entity before others have their turn.
_RUN_ON_S: Final = 1.0
_RUN_ON_STEPS: Final = 50
#: Who is first in line has waited for longer than who is in the queue: so many a worker runs, however long they take.
_IN_LINE: Final = 4
#: What of the user's may have forked, where it was not the job.
_OTHERS = "a guard, a callback or a hook"


class Executor:
    """Runs one attempt at a time. With a slot, the supervisor renews the lease; without, a thread does.

    ``surroundings``: those of this thread, where another executor in it has run jobs before. ``goes_on`` is asked, with
    how many steps were run, whether there may be one more of the same entity, where its machine wants that (``run_on``
    is what the settings say of machines that say nothing); without it there is none. ``successor``: of which step of
    another entity the claim may be made with the end of one.
    """

    def __init__(
        self,
        runtime: Runtime,
        slot: Slot | None = None,
        surroundings: Surroundings | None = None,
        *,
        goes_on: Callable[[int], bool] | None = None,
        run_on: bool = False,
        successor: Successor | None = None,
    ) -> None:
        self._runtime = runtime
        self._slot = slot
        self._rings: list[Ring] = []
        self._pid = os.getpid()
        self._surroundings = surroundings or Surroundings()
        self._goes_on = goes_on
        self._run_on = run_on
        self._successor = successor
        self._until = float("-inf")
        #: The entity with the next step claimed, once a step is settled.
        self._next: Snapshot | None = None
        #: The same of who was first in line for a limit, with a permit.
        self._taken: Taken | None = None
        #: How many attempts were run by the last call.
        self.ran = 0

    def execute(self, ticket: Ticket) -> list[Ring]:
        """Claim the attempt, run its job, and commit how it ended. Returns quietly where it is not to be run.

        What the commit leaves to be dispatched is returned: the caller rings for it. A crash at any point leaves the
        lease to expire, or the supervisor to see it; what had not been committed then runs again. A result that comes
        too late changes nothing. Where it goes on with the next step, that is claimed by the commit of the one before,
        with the same token: whoever finds this process dead finds that claim, too.
        """
        due = None if self._successor is None else self._successor.take(ticket)
        owner = new_owner() if due is None else due.owner
        with self._busy(ticket.row, owner):
            return self._run_all(self._claim(ticket, owner) if due is None else self._begin(due))

    def run(self, attempt: Attempt) -> list[Ring]:
        """The same for an attempt that is claimed already, and that somebody else in this process told of."""
        with self._busy(attempt.claim.row, attempt.claim.owner):
            return self._run_all(attempt)

    def _run_all(self, attempt: Attempt | None) -> list[Ring]:
        """The attempt, and those that it goes on with."""
        self._rings, self.ran, self._until = [], 0, clock.monotonic() + _RUN_ON_S
        while attempt is not None:
            self.ran, self._next, self._taken = self.ran + 1, None, None
            with observed_attempt(attempt.snapshot, attempt.claim):
                self._perform_all(attempt)
            attempt = None if self._next is None else self._go_on(self._next)
        return self._rings

    def _perform_all(self, attempt: Attempt) -> None:
        """The attempt, and what follows from it."""
        self._runtime.store.link.refresh()
        self._followed(attempt, lambda: self._perform(attempt))

    def _followed(self, attempt: Attempt, act: Callable[[], None]) -> None:
        with followup.following(self._runtime) as tasks:
            try:
                with told_of(attempt):
                    act()
                    self._pass_on(attempt, is_free=not tasks)
            finally:
                self._runtime.store.link.refresh()
            if tasks:
                self._before_tasks(attempt)

    def expect(self, row: int, owner: str) -> None:
        """Tell the supervisor of an attempt that somebody else claims next."""
        self._tell(Doing(state=RUNNING, row=row, owner=owner))

    def _perform(self, attempt: Attempt) -> None:
        if not self._secure(attempt):
            return
        job = self.prepare(attempt)
        ended = self._run(attempt, job)
        if ended is not None:
            self._settle(attempt.seen_as(job.view.snapshot), ended)

    @scope
    def _busy(self, row: int, owner: str) -> Iterator[None]:
        """Inside, the supervisor is told of the attempt."""
        self._tell(Doing(state=RUNNING, row=row, owner=owner))
        if self._successor is not None:
            self._successor.rest()
        try:
            yield
        except ConfigurationError:
            # The process lives on, and must not be taken to run this: its lease would be renewed for ever.
            self._tell(Doing(state=IDLE))
            raise
        finally:
            leave_if_forked(self._pid, _OTHERS)
        # Not told where something unforeseen was raised: the process then ends, and its attempt at once with it.
        self._tell(Doing(state=IDLE))

    def _claim(self, ticket: Ticket, owner: str) -> Attempt | None:
        called: list[Ticket] = []
        point("claim.before", ticket.row)
        return self._or_called(claim_attempt(self._runtime, ticket, owner, called.append), called)

    def _begin(self, due: Due) -> Attempt | None:
        """What was bid for with the end of another step."""
        found, called = due.found, list[Ticket]()
        if not due.is_known:
            return self._claim(due.ticket, due.owner)
        if found is None:
            tell_refused(self._runtime, due.ticket)
            return None
        entity = found.snapshot
        if self._goes_on is not None and not self._goes_on(0):
            self._leave(entity)
            return None
        attempt = outlast(entity.address, lambda: attempt_of(self._runtime, found, called.append))
        return self._or_called(attempt, called)

    def _or_called(self, attempt: Attempt | None, called: Sequence[Ticket]) -> Attempt | None:
        """``called``: who is to be run in its place."""
        if called:
            # It has to wait for whom there is room, whose doorbell may be behind many who will wait, too.
            owner, ticket = new_owner(), called[0]
            self.expect(ticket.row, owner)
            point("claim.before", ticket.row)
            attempt = claim_attempt(self._runtime, ticket, owner)
        return self._begun(attempt)

    def _go_on(self, entity: Snapshot) -> Attempt | None:
        """The next step, which is claimed; None where it is not to be run here, and is given back."""
        claim = claim_of(entity)
        self._tell(Doing(state=RUNNING, row=claim.row, owner=claim.owner, address=entity.address))
        self._runtime.ring_for(self._rings)
        self._rings = []
        if not self._may_go_on():
            self._leave(entity)
            return None
        found, permit = self._taken or (self._runtime.store.commits.claimed(entity), None)
        claimed = found or Claimed(entity, outlast(entity.address, self._runtime.store.work.holds))
        return outlast(entity.address, lambda: self._begun(attempt_of(self._runtime, claimed, permit=permit)))

    def _pass_on(self, attempt: Attempt, *, is_free: bool) -> None:
        """Call those who wait for the permits of an attempt; the first is run here, where nothing else is to be."""
        taker = None
        if attempt.wanted and is_free and self._next is None and self._has_time(_IN_LINE):
            taker = taker_of(self._runtime, attempt, new_owner(), self.expect)
        self._taken = pass_on(self._runtime, attempt, taker)
        self._next = self._next if self._taken is None else self._taken.claimed.snapshot

    def _leave(self, entity: Snapshot) -> None:
        claim, why = claim_of(entity), "its worker was told to stop"
        outlast(entity.address, lambda: hand_back(self._runtime, entity, claim, why))

    def _begun(self, attempt: Attempt | None) -> Attempt | None:
        if attempt is not None:
            point("claim.after", attempt.address)
            self._runtime.counting.answered(attempt.snapshot, self._runtime.now())
        return attempt

    def _may_go_on(self) -> bool:
        return self._goes_on is not None and self._goes_on(self.ran)

    def _runs_on(self, attempt: Attempt) -> bool:
        """Whether its worker goes on with the next step; never where there can be none, so that it may claim another
        entity's with this commit."""
        wanted = self._run_on if attempt.root.wide.run_on is None else attempt.root.wide.run_on
        if not wanted or _has_hooks(attempt) or attempt.snapshot.state not in attempt.definition.going_on:
            return False
        return self._has_time()

    def _has_time(self, least: int = 0) -> bool:
        """Whether nobody else is to have his turn yet, until so many were run at least."""
        if self._successor is not None and self._successor.is_due:
            return False
        is_early = self.ran < least or clock.monotonic() < self._until
        return is_early and self.ran < _RUN_ON_STEPS and self._may_go_on()

    def _secure(self, attempt: Attempt) -> bool:
        return outlast(attempt.address, lambda: secure(self._runtime, attempt))

    def prepare(self, attempt: Attempt, limit: type[TimeLimit] | None = None) -> Job:
        """The job, whose time begins now."""
        undoing = outlast(attempt.address, lambda: undoing_of(self._runtime, attempt))
        point("job.before", attempt.address)

        def told(limit: TimeLimit) -> None:
            # Whoever runs in a thread is not killed at its limit, as others in its process would be with it.
            until = {} if isinstance(limit, ToldLimit) else {"deadline": limit.deadline, "silent_at": limit.silent_at}
            self._tell(doing_of(attempt, RUNNING, **until))

        job = Job(self._runtime, attempt, undoing, told, limit)
        told(job.limit)
        return job

    def _run(self, attempt: Attempt, job: Job) -> Ended | None:
        """How the attempt ended; None where that is committed, or no longer wanted."""
        with self._renewed(attempt, job.limit), _closing(job):
            if not attempt.is_in_transaction:
                return self._go(attempt, job)
            with collecting() as self._rings:
                return in_transaction(
                    self._runtime, attempt, lambda: self._go(attempt, job), lambda: self._settling(attempt)
                )

    def _go(self, attempt: Attempt, job: Job) -> Ended:
        """Run the job, and have nothing that it did to this process last longer than that."""
        ended = job.run()
        if not attempt.is_in_transaction:
            job.view.close_session()
        self._end_left_open(attempt)
        self._surroundings.put_right(attempt.address, attempt.spec.job_name)
        return ended

    def _end_left_open(self, attempt: Attempt) -> None:
        """What the job has locked in a Session of its own and not committed, the end of its step would wait for."""
        found = self._runtime.store.link.stranger()
        if found is None or found.end is None:
            return
        log.transaction_left_open(attempt.address, attempt.spec.job_name, found.what)
        try:
            found.end()
        except Exception as error:  # noqa: BLE001 - the connection is lost, and the transaction with it
            log.connection_dropped(first_line(error))

    def _settle(self, attempt: Attempt, ended: Ended, earlier: str | None = None) -> None:
        """Commit how it ended. ``attempt`` has the entity as its job last saw it."""
        point("settle.before", attempt.address)
        self._settling(attempt)
        if self._runtime.store.link.roll_back_open_transaction():
            log.transaction_left_open(attempt.address, attempt.spec.job_name)
        if isinstance(ended, Returned) and self._runs_on(attempt):
            ended = replace(ended, runs_on_ms=LEASE_MS)
        elif self._successor is not None and self._successor.is_there:
            outcome = self._settle_with(self._successor, attempt, ended)
            if outcome is not None and outcome.is_committed:
                return
            earlier = earlier if outcome is None else outcome.token
        # What the job itself started has been rung for at once; it may have waited for that.
        with collecting() as self._rings:
            after = settle(self._runtime, attempt.root, attempt.snapshot, ended, earlier=earlier)
        point("settle.after", attempt.address)
        if after is not None and after.work is not None and after.work.owner == attempt.claim.owner:
            self._next = after

    def _settle_with(self, successor: Successor, attempt: Attempt, ended: Ended) -> Outcome | None:
        """Commit how it ended together with the claim of what comes next here; None where nothing is done."""
        commit = None if _has_hooks(attempt) or not self._may_go_on() else self._joinable(attempt, ended)
        outcome = None if commit is None else successor.settle(commit)
        if commit is not None and outcome is not None and outcome.is_committed:
            point("commit.after", attempt.address)
            with collecting() as self._rings, caused_by(trace_of(attempt.snapshot)):
                follow(self._runtime, attempt.definition, commit, commit.after, ended)
            point("settle.after", attempt.address)
        return outcome

    def _joinable(self, attempt: Attempt, ended: Ended) -> Commit | None:
        # What writes to a row of the user's is never written with others: it is not to be decided twice for that.
        if attempt.definition.wide.status_field is not None or not ended.claim.holds(attempt.snapshot):
            return None
        try:
            commit = prepared(self._runtime, instance_of(attempt.root, attempt.snapshot), ended)
        except Exception:  # noqa: BLE001 - it is decided anew where it finishes by itself, and told there
            return None
        return commit if self._runtime.store.bundles.takes(commit) else None

    def _before_tasks(self, attempt: Attempt) -> None:
        """What follows the commit may take its time, hooks of the user's among it: the next step does not wait for it,
        and a process that hangs in it is ended."""
        self._runtime.ring_for(self._rings)
        self._rings = []
        self._tell(doing_of(attempt, RUNNING, deadline=clock.monotonic() + _TASKS_S))

    def _renewed(self, attempt: Attempt, limit: TimeLimit) -> AbstractContextManager[None]:
        """With a slot the supervisor renews the lease. That of a transactional job holds for its whole limit."""
        if self._slot is not None:
            return nullcontext()
        if attempt.spec.transactional:
            return renewed(self._runtime, attempt.claim, lambda: limit.began)
        return renewed(self._runtime, attempt.claim, lambda: min(limit.deadline, limit.silent_at))

    def _settling(self, attempt: Attempt) -> None:
        self._tell(doing_of(attempt, SETTLING))

    def _tell(self, doing: Doing) -> None:
        leave_if_forked(self._pid, _OTHERS)
        if self._slot is not None:
            self._slot.write(doing)


def _has_hooks(attempt: Attempt) -> bool:
    """Whether hooks of the user's come after a commit: these may take their time, and no next step waits for them."""
    wide = attempt.root.wide
    return wide.on_transition is not None or wide.on_failed is not None


@scope
def told_of(attempt: Attempt) -> Iterator[None]:
    """Inside, each log line tells of the attempt."""
    before = running.set(attempt.fields)
    try:
        yield
    finally:
        running.reset(before)


@scope
def _closing(job: Job) -> Iterator[None]:
    """Afterwards the Session of the job is no more."""
    try:
        yield
    finally:
        job.view.close_session()


def doing_of(attempt: Attempt, state: int, **until: float) -> Doing:
    """What the supervisor is told of an attempt."""
    claim = attempt.claim
    return Doing(state=state, row=claim.row, owner=claim.owner, address=attempt.address, **until)


def run(installation: str, row: int, epoch: int, attempt: int, dispatch: int) -> None:
    """The entry point of jobs under a stock RQ worker (with the JSON serializer).

    Raises HostileJob for arguments that fsmflow did not put there.
    """
    runtime = current()
    ticket = read_arguments([installation, row, epoch, attempt, dispatch], runtime.store.installation)
    runtime.ring_for(Executor(runtime).execute(ticket))
