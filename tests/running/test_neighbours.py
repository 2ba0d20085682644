"""fsmflow beside others in one Redis: an RQ application, another installation, and what strays into a queue of ours."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import redis
from rq import Callback, Queue
from rq.job import Job
from rq.registry import FailedJobRegistry, FinishedJobRegistry
from rq.serializers import JSONSerializer

import fsmflow
from fsmflow.engine.runtime import current
from fsmflow.store.store import create_store
from tests.support.eventually import eventually
from tests.support.paths import ROOT
from tests.support.process_flows import Chain
from tests.support.processes import World, world


def theirs(number: int) -> int:
    """The job of an RQ application."""
    return number + 1


@contextmanager
def stock_worker(place: World, *queues: str) -> Iterator[None]:
    command = [
        sys.executable,
        "-m",
        "rq.cli",
        "worker",
        "-w",
        "rq.SimpleWorker",
        *queues,
        "--url",
        place.environment["FSMFLOW_REDIS_URL"],
    ]
    process = subprocess.Popen(command, env=place.environment, cwd=ROOT)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def walk(number: int) -> Chain:
    chain = Chain.start(str(number))
    chain.trigger("go")
    return chain


def test_an_rq_application_and_fsmflow_work_in_one_redis_database(place: World, redis_url: str) -> None:
    with closing(redis.Redis.from_url(redis_url)) as client:
        queue = Queue("default", connection=client)
        before = [queue.enqueue(theirs, number) for number in range(10)]
        chains = [walk(number) for number in range(10)]
        supervisor = place.supervisor("--queues", "default", processes=1)
        for chain in chains:
            chain.wait("ended", timeout=60)
        assert [job.get_status() for job in before] == ["queued"] * 10, "a worker of fsmflow took what is not its own"
        assert queue.job_ids == [job.id for job in before]
        with stock_worker(place, "default", "high"):
            more = [queue.enqueue(theirs, number) for number in range(10, 20)]
            late = [walk(number) for number in range(10, 20)]
            for chain in late:
                chain.wait("ended", timeout=60)
            jobs = before + more
            eventually(lambda: all(job.is_finished for job in jobs), within=60, what="their jobs")
        assert [job.return_value() for job in jobs] == list(range(1, 21))
        assert set(FinishedJobRegistry(queue=queue).get_job_ids()) == {job.id for job in jobs}
        assert FailedJobRegistry(queue=queue).get_job_ids() == []
        ours = Queue(current().doorbell.rq_queue("default"), connection=client)
        assert {name.name for name in Queue.all(connection=client)} == {"default", ours.name}
        assert FailedJobRegistry(queue=ours).get_job_ids() == []
    assert "job.refused" not in supervisor.log
    for chain in chains + late:
        assert [effect.attempt for effect in place.effects(chain.entity_id)] == [1, 1, 1]


def test_two_installations_in_one_redis_database_take_nothing_from_each_other(
    place: World, redis_url: str, tmp_path: Path
) -> None:
    other_url = f"sqlite:///{tmp_path}/other.db"
    (tmp_path / "other").mkdir()
    environment = {"FSMFLOW_DATABASE_URL": other_url, "FSMFLOW_REDIS_URL": redis_url}
    mine = fsmflow.settings.current()
    fsmflow.configure(database_url=other_url, redis_url=redis_url, machines=["tests.support.process_flows"])
    create_store(fsmflow.settings.current()).link.forget_connection()
    strangers = [walk(number) for number in range(5)]
    fsmflow.settings.choose(mine)
    chains = [walk(number) for number in range(5)]
    supervisor = place.supervisor(processes=1)
    for chain in chains:
        chain.wait("ended", timeout=60)
    with world(tmp_path / "other", environment) as other:
        fsmflow.configure(database_url=other_url, redis_url=redis_url, machines=["tests.support.process_flows"])
        with closing(redis.Redis.from_url(redis_url)) as client:
            waiting = Queue(current().doorbell.rq_queue("default"), connection=client, serializer=JSONSerializer)
            assert len(waiting.job_ids) == 5
        assert other.supervisor("--burst", processes=1).ended(60) == 0
        for stranger in strangers:
            assert stranger.refresh().state == "ended"
        assert [len(other.effects(str(number))) for number in range(5)] == [3] * 5
    assert "job.refused" not in supervisor.log


def test_a_foreign_job_in_a_queue_of_fsmflow_is_not_run_and_kept_as_failed_with_the_reason(
    place: World, redis_url: str
) -> None:
    with closing(redis.Redis.from_url(redis_url)) as client:
        ours = Queue(current().doorbell.rq_queue("default"), connection=client)
        stray = ours.enqueue(theirs, 1, failure_ttl=3_600)
        kept = ours.enqueue(theirs, 2, failure_ttl=-1, on_failure=Callback(theirs))
        large = ours.enqueue(theirs, "x" * 1_000_000)
        supervisor = place.supervisor(processes=1)
        walk(1).wait("ended", timeout=30)
        registry = FailedJobRegistry(queue=ours)
        assert set(registry.get_job_ids()) == {stray.id, kept.id, large.id}
        for job in (stray, kept, large):
            found = Job.fetch(job.id, connection=client)
            assert (found.get_status(), found.func_name, found.args) == ("failed", job.func_name, job.args)
            told = found.latest_result()
            assert told is not None
            assert (told.exc_string or "").startswith("fsmflow did not run this job: its data cannot be read")
        assert 0 < client.ttl(stray.key) <= 3_600
        assert client.ttl(kept.key) == -1
        registry.requeue(stray.id)
        walk(2).wait("ended", timeout=30)
        assert stray.id in registry.get_job_ids()
        assert ours.job_ids == []
    assert supervisor.log.count("job.refused") == 4
