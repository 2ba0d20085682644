"""One attempt that is cut off: by a signal, by a deadlock, by an event that comes while its transaction is open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import peewee
import pytest

from fsmflow import Machine, State, clock
from fsmflow.decision.happenings import Failed
from fsmflow.running import executor as executor_of
from fsmflow.running.claim import claim_attempt
from fsmflow.running.job import Job
from fsmflow.testing import sandbox
from tests.support.bench import Bench, bench_on
from tests.support.servers import on_servers
from tests.support.traces import ran
from tests.support.users import elsewhere as elsewhere_of
from tests.support.users import texts


class Once(Machine):
    initial = "charging"
    states = [State("charging", job="charge", at_most_once=True), State("charged", final=True)]
    transitions = [["done", "charging", "charged"]]

    def charge(self) -> None:
        ran.append("charge")


def test_a_job_that_may_run_once_is_not_run_again_after_a_second_sigterm() -> None:
    with sandbox(machines=[Once]) as box:
        once = Once.start("1")
        ticket = box._doorbell.take()
        assert ticket is not None

        class Killed(BaseException):
            pass

        def killed(*_: Any) -> None:
            raise Killed

        executor = executor_of.Executor(box._runtime)
        owners: list[str] = []
        original = executor._claim

        def claim(ticket: Any, owner: str) -> Any:
            owners.append(owner)
            return original(ticket, owner)

        with patch.object(executor, "_claim", claim), patch.object(executor, "_settle", killed), pytest.raises(Killed):
            executor.execute(ticket)
        assert ran == ["charge"]
        box._maintenance.released(ticket.row, owners[0])
        box.advance(hours=1)
        assert ran == ["charge"]
        assert once.refresh().state == "failed_from_charging"


def test_a_deadlock_on_the_way_to_the_commit_is_no_failure_of_a_transactional_job() -> None:
    class Safe(Once):
        name = "safe"
        states = [State("charging", job="charge", transactional=True), State("charged", final=True)]

    with sandbox(machines=[Safe]) as box:
        safe = Safe.start("1")
        commits = type(box._runtime.store.commits)
        original = commits._write_entity
        calls: list[None] = []

        def write(self: Any, commit: Any, writes: Any) -> Any:
            if commit.after.state == "charged" and not calls:
                calls.append(None)
                raise peewee.OperationalError("deadlock detected")
            return original(self, commit, writes)

        with patch.object(commits, "_write_entity", write):
            box.advance(hours=1)
        assert safe.refresh().state == "charged"


@pytest.mark.parametrize("options", [{}, {"transactional": True}, {"each": "parts"}], ids=str)
def test_a_job_does_not_begin_once_the_time_of_its_step_is_over(options: dict[str, Any]) -> None:
    """Its worker may be quicker than the sweep: after a crash, or where the doorbell has waited for long."""

    class Brief(Machine):
        initial = "charging"
        states = [State("charging", job="charge", within=10, **options), State("charged", final=True)]
        transitions = [["done", "charging", "charged"]]

        def charge(self, part: object = None) -> None:
            ran.append("charge")

    with sandbox(machines=[Brief]) as box:
        brief = Brief.start("1", parts=[1])
        ticket = box._doorbell.take()
        assert ticket is not None
        box._clock.move_to(box._clock.now() + 10_000)
        executor_of.Executor(box._runtime).execute(ticket)
        assert (brief.refresh().state, list(brief.branches), ran) == ("failed_from_charging", [], [])
        assert brief.failure is not None
        assert brief.failure.error_type == "StepTimeout"
        assert brief.failure.origin is None, "where a limit strikes tells nothing"
        what = "making branches" if "each" in options else "job 'charge'"
        assert brief.failure.message == f"{what} was not begun as the time that its state gives the step was over"


def test_a_job_does_not_begin_where_its_turn_to_write_comes_after_the_time_of_its_step() -> None:
    """Its own limit, which is shorter, would let it run for a moment."""

    class Brief(Machine):
        initial = "charging"
        states = [
            State("charging", job="charge", within=10, timeout=5, transactional=True),
            State("charged", final=True),
        ]
        transitions = [["done", "charging", "charged"]]

        def charge(self) -> None:
            ran.append("charge")

    with sandbox(machines=[Brief]) as box:
        Brief.start("1")
        ticket = box._doorbell.take()
        assert ticket is not None
        attempt = claim_attempt(box._runtime, ticket, "worker")
        assert attempt is not None
        job = Job(box._runtime, attempt, None, lambda limit: None)
        began = clock.monotonic()
        with patch.object(clock, "monotonic", lambda: began + 11):
            ended = job.run()
        assert isinstance(ended, Failed)
        assert (ended.overdue, ran) == (True, [])
        assert ended.facts.message == "job 'charge' was not begun as the time that its state gives the step was over"


@pytest.mark.parametrize("options", [{"job": "check", "each": "parts"}, {"jobs": ["check"]}], ids=str)
def test_a_branch_does_not_begin_once_the_time_of_the_step_is_over(options: dict[str, Any]) -> None:
    """Its worker may be quicker than the sweep, after which its parent leaves the step as the time says."""

    class Inspection(Machine):
        initial = "checking"
        states = [State("checking", within=10, **options), State("passed", final=True), State("late", final=True)]
        transitions = [["done", "checking", "passed"], ["timeout", "checking", "late"]]

        def check(self, part: object = None) -> None:
            ran.append("check")

    with sandbox(machines=[Inspection]) as box:
        inspection = Inspection.start("1", parts=["brakes"])
        executor, makes = executor_of.Executor(box._runtime), box._doorbell.take()
        assert makes is not None
        box._runtime.ring_for(executor.execute(makes))
        ticket = box._doorbell.take()
        assert ticket is not None
        box._clock.move_to(box._clock.now() + 10_000)
        executor.execute(ticket)
        (branch,) = inspection.refresh().branches
        assert (inspection.state, branch.state, ran) == ("checking", "checking", [])
        box.advance(seconds=1)
        (branch,) = inspection.refresh().branches
        assert (inspection.state, branch.state, ran) == ("late", "cancelled", [])


class Late(Machine):
    initial = "charging"
    states = [
        State("charging", job="charge", transactional=True, defer=["cancel_order"]),
        State("packing"),
        State("called_off", final=True),
    ]
    transitions = [
        ["done", "charging", "packing"],
        ["cancel_order", "packing", "called_off"],
        ["x", "packing", "packing"],
    ]

    def charge(self) -> None:
        texts()  # reads, so that the transaction has a snapshot
        elsewhere_of(bench_of[0], lambda: Late.get("1").trigger("cancel_order"))


bench_of: list[Bench] = []


@pytest.fixture
def bench(db: peewee.Database, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database=db, machines=(Late,)) as bench:
        bench_of[:] = [bench]
        yield bench


@on_servers
def test_what_is_deferred_while_a_transactional_job_runs_fires_in_the_commit_that_enters_the_state(
    bench: Bench,
) -> None:
    late = Late.start("1")
    bench.run()
    assert late.refresh().state == "called_off"
