"""Runs attempts beside others: what it does of each, when whoever has the lanes calls for it."""

from __future__ import annotations

from collections import deque
from functools import partial

from fsmflow import log
from fsmflow.decision.commit import Commit
from fsmflow.decision.entity import Snapshot
from fsmflow.dispatch.doorbell import Ring
from fsmflow.engine import followup
from fsmflow.engine.commits import follow
from fsmflow.engine.observation import observed_attempt, trace_of
from fsmflow.engine.runtime import collecting
from fsmflow.engine.tasks import Task, TaskKind
from fsmflow.observers import caused_by
from fsmflow.points import point
from fsmflow.running.attempt import Attempt, Ended
from fsmflow.running.executor import Executor, doing_of, told_of
from fsmflow.running.job import Job
from fsmflow.running.slot import BLOCKING, IDLE, RUNNING, Doing


class LaneExecutor(Executor):
    """Claiming, running and committing are done elsewhere, one attempt at a time in each lane."""

    def claimed(self, attempt: Attempt) -> None:
        """Take an attempt that somebody else has claimed for this one; the supervisor expects it by then."""
        self._begun(attempt)

    def queue(self, attempt: Attempt) -> None:
        """Tell the supervisor of an attempt that waits, or whose end does: its lease is to be renewed until then."""
        self._tell(doing_of(attempt, RUNNING))

    def rest(self) -> None:
        """Tell the supervisor that this one does nothing."""
        self._tell(Doing(state=IDLE))

    def blocks(self, attempt: Attempt) -> None:
        """Tell the supervisor of a job that keeps those beside it from going on."""
        self._tell(doing_of(attempt, BLOCKING))

    def finish(self, attempt: Attempt, ended: Ended, *, earlier: str | None = None) -> list[Ring]:
        """Commit how an attempt ended whose job has run elsewhere, and do what follows; what is to be rung for.
        ``earlier``: the token of a commit of this that was tried before."""
        self._rings = []
        self._followed(attempt, lambda: self._settle(attempt, ended, earlier))
        return self._rings

    def decide(self, attempt: Attempt, ended: Ended) -> Commit | None:
        """What is to be committed of an attempt whose job has run elsewhere, where that may be together with others;
        None where it is to ``finish`` by itself. Nothing is written."""
        with told_of(attempt):
            point("settle.before", attempt.address)
            self._settling(attempt)
            return self._joinable(attempt, ended)

    def follow(self, attempt: Attempt, ended: Ended, commit: Commit, after: Snapshot) -> tuple[list[Ring], deque[Task]]:
        """What follows once that is committed: what is to be rung for, and what is to be done by ``carry_out``."""
        point("commit.after", attempt.address)
        caused = caused_by(trace_of(attempt.snapshot))
        with told_of(attempt), followup.noting(deque()) as tasks, collecting() as rings, caused:
            follow(self._runtime, attempt.definition, commit, after, ended)
            if attempt.wanted:
                called = partial(self._pass_on, attempt, is_free=False)
                tasks.appendleft(Task(kind=TaskKind.PERMITS, row=attempt.claim.row, call=called))
        point("settle.after", attempt.address)
        return rings, tasks

    def carry_out(self, attempt: Attempt, tasks: deque[Task]) -> None:
        """Do what was noted as the end of an attempt was committed; it may take its time."""
        self._rings = []
        with told_of(attempt):
            self._before_tasks(attempt)
            followup.carry_out(self._runtime, tasks)

    def go_in_thread(self, attempt: Attempt, job: Job) -> Ended:
        """Run the job of an attempt in a thread, beside others; how it ended. Raises nothing that a job raises."""
        link = self._runtime.store.link
        link.refresh()
        try:
            with told_of(attempt), observed_attempt(attempt.snapshot, attempt.claim):
                ended = job.run()
            job.view.close_session()
            self._end_left_open(attempt)
            if link.roll_back_open_transaction():
                log.transaction_left_open(attempt.address, attempt.spec.job_name)
            return ended
        finally:
            link.refresh()
