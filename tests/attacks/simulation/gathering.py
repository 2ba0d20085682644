"""A simulated worker that takes several doorbells at once: claimed in one commit, and what they come to in another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from fsmflow.engine.runtime import Runtime
from fsmflow.errors import FsmflowError
from fsmflow.points import point
from fsmflow.running.attempt import Attempt
from fsmflow.running.claim import claim_attempts, new_owner
from fsmflow.running.committer import Committer, Ending
from fsmflow.running.executor import Executor
from fsmflow.running.lane_executor import LaneExecutor
from fsmflow.running.lanes import is_suspect
from fsmflow.running.lease import hand_back
from fsmflow.running.outage import outlast
from fsmflow.running.slot import Slot
from fsmflow.store.work import Ticket

#: How many a worker has beside each other.
BESIDE: Final = 3
#: Of so many schedules one has such workers: a rest that none of the seeds has which find wrong variants.
_EVERY: Final = 12
_REST: Final = 3


def gathers_there(seed: int) -> bool:
    """Whether the workers of a schedule take several at once."""
    return seed % _EVERY == _REST


class _InTurn(Committer):
    """In the thread of the simulation, as all there is."""

    def submit(self, action: Callable[[], None]) -> None:
        """Do it now."""
        action()


class Gathering:
    """What ``Lanes`` does, one job after the other: the simulation chooses between whole workers."""

    def __init__(self, runtime: Runtime, slots: Sequence[Slot], alone: Executor) -> None:
        self._runtime = runtime
        self._executors = [LaneExecutor(runtime, slot) for slot in slots]
        self._alone = alone
        self._committer = _InTurn(runtime, lambda executors: None, _raise)

    def work(self, tickets: Sequence[Ticket]) -> None:
        """Run what these are for. Raises DatabaseUnavailable where nothing is claimed."""
        executors = self._executors[: len(tickets)]
        claims = [(ticket, new_owner()) for ticket in tickets]
        for executor, (ticket, owner) in zip(executors, claims, strict=True):
            executor.expect(ticket.row, owner)
            point("claim.before", ticket.row)
        try:
            attempts = claim_attempts(self._runtime, claims)
        except FsmflowError:
            for executor in executors:
                executor.rest()
            raise
        beside: list[tuple[LaneExecutor, Ticket, Attempt]] = []
        rest: list[tuple[LaneExecutor, Ticket, Attempt]] = []
        for executor, ticket, attempt in zip(executors, tickets, attempts, strict=True):
            if attempt is None:
                executor.rest()
                continue
            executor.claimed(attempt)
            (rest if _goes_alone(attempt) else beside).append((executor, ticket, attempt))
        for executor, _, attempt in rest[1:]:
            self._give_back(executor, attempt)
        if beside:
            self._committer.commit_all([self._run(*each) for each in beside])
        for executor, _, attempt in rest[:1]:
            self._alone.expect(attempt.claim.row, attempt.claim.owner)
            executor.rest()
            self._runtime.ring_for(self._alone.run(attempt))

    def _run(self, executor: LaneExecutor, ticket: Ticket, attempt: Attempt) -> Ending:
        job = executor.prepare(attempt)
        ended = executor.go_in_thread(attempt, job)
        seen = attempt.seen_as(job.view.snapshot)
        return Ending(executor=executor, ticket=ticket, attempt=seen, ended=ended)

    def _give_back(self, executor: LaneExecutor, attempt: Attempt) -> None:
        why = "another job runs before it here"
        outlast(attempt.address, lambda: hand_back(self._runtime, attempt.snapshot, attempt.claim, why))
        executor.rest()


def _goes_alone(attempt: Attempt) -> bool:
    spec = attempt.spec
    return spec.transactional or spec.at_most_once or attempt.makes_branches or is_suspect(attempt)


def _raise(error: BaseException) -> None:
    raise error
