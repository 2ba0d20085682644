"""A worker that waits for a doorbell knows by its id what it is for, and claims before RQ is told that it has begun."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from rq.job import Job
from rq.serializers import JSONSerializer

from fsmflow.dispatch.doorbell import Ring
from fsmflow.dispatch.rqworker import StepWorker
from fsmflow.dispatch.tickets import job_id, ticket_of_id
from fsmflow.running.executor import Executor
from fsmflow.store.work import Ticket
from tests.support.bench import Bench, bench_on
from tests.support.eventually import eventually
from tests.support.machines import Counter

OURS = "0a1b2c3d"


@pytest.mark.parametrize("numbers", [(1, 1, 1, 0), (0, 0, 0, 0), (10**18 - 1, 7, 2, 900)])
def test_an_id_tells_its_ticket(numbers: tuple[int, int, int, int]) -> None:
    row, epoch, attempt, dispatch = numbers
    ticket = Ticket(row=row, epoch=epoch, attempt=attempt, dispatch=dispatch)
    assert ticket_of_id(job_id(OURS, ticket).encode(), OURS) == ticket


@pytest.mark.parametrize(
    "id_",
    [
        b"",
        b"theirs",
        OURS.encode(),
        b"0a1b2c3d-1-1-1",
        b"0a1b2c3d-1-1-1-1-1",
        b"0a1b2c3d-1--1-1",
        b"0a1b2c3d--1-1-1-1",
        b"0a1b2c3d-1-1-1-+1",
        b"0a1b2c3d-1-1-1-1_0",
        b"0a1b2c3d-1-1-1-\xb2",
        b"0a1b2c3d-1-1-1-" + b"9" * 19,
        b"another1-1-1-1-1",
    ],
)
def test_no_other_id_tells_one(id_: bytes) -> None:
    assert ticket_of_id(id_, OURS) is None


@pytest.fixture
def bench(tmp_path: Path, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=f"sqlite:///{tmp_path}/waiting.db") as bench:
        yield bench


@contextmanager
def rung_for(worker: StepWorker, before: Callable[[], object]) -> Iterator[None]:
    """Inside, a worker that waits is rung for; something else is done before."""

    def ring() -> None:
        eventually(lambda: worker.waiting, what="it waits")
        before()
        Counter.start("1").trigger("work")

    thread = threading.Thread(target=ring)
    thread.start()
    yield
    thread.join()


def waits_and_takes(
    bench: Bench, seen: Callable[[StepWorker, Ticket], None], *, before: Callable[[], object] = lambda: None
) -> None:
    """A worker waits, then a doorbell is rung: what it does once it has taken that."""
    executor = Executor(bench.runtime)

    def perform(ticket: Ticket) -> Sequence[Ring]:
        seen(worker, ticket)
        return executor.execute(ticket)

    worker = StepWorker(["default"], bench.runtime.doorbell, perform, lambda: False)
    with rung_for(worker, before):
        assert worker.work_once(block=True)
    worker.leave()


def job_of(bench: Bench, ticket: Ticket) -> Job:
    id_ = job_id(bench.runtime.store.installation, ticket)
    return Job.fetch(id_, connection=bench.redis, serializer=JSONSerializer)


def test_who_looks_with_the_tools_of_rq_sees_that_it_has_begun_and_who_runs_it(bench: Bench) -> None:
    found = []

    def look(worker: StepWorker, ticket: Ticket) -> None:
        eventually(lambda: job_of(bench, ticket).get_status() == "started", what="it is marked")
        found.append((job_of(bench, ticket).worker_name == worker.name, bench.redis.ttl(job_of(bench, ticket).key) > 0))

    waits_and_takes(bench, look)
    assert found == [(True, True)]
    assert Counter.get("1").state == "over"
    assert not bench.redis.keys("rq:job:*"), "it is forgotten once it is done"


def test_one_whose_hash_is_gone_is_run(bench: Bench) -> None:
    def forget(worker: StepWorker, ticket: Ticket) -> None:
        bench.redis.delete(f"rq:job:{job_id(bench.runtime.store.installation, ticket)}")

    waits_and_takes(bench, forget)
    assert Counter.get("1").state == "over"


def test_a_redis_that_has_forgotten_the_script_is_no_reason_not_to_run_it(bench: Bench) -> None:
    waits_and_takes(bench, lambda worker, ticket: None, before=bench.redis.script_flush)
    assert Counter.get("1").state == "over"
    assert not bench.redis.keys("rq:job:*")


def test_one_that_is_told_to_end_meanwhile_puts_it_back_as_it_was(bench: Bench) -> None:
    told = threading.Event()
    worker = StepWorker(["default"], bench.runtime.doorbell, Executor(bench.runtime).execute, told.is_set)
    with rung_for(worker, told.set):
        assert not worker.work_once(block=True)
    (ticket,) = bench.queued()
    job = job_of(bench, ticket)
    assert job.get_status() == "queued"
    assert bench.redis.ttl(job.key) == -1
    assert Counter.get("1").state == "busy"
    worker.leave()
