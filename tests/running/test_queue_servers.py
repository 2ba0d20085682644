"""What maintenance and those who look make of several Redis servers, of which one loses what it has, or is away."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fsmflow.engine.reasons import Reasons
from fsmflow.metrics.exposition import Numbers
from fsmflow.metrics.readiness import NO_ANSWER, Readiness
from fsmflow.metrics.sources import read
from fsmflow.objects.counts import queue_objects
from fsmflow.queries import listening
from fsmflow.running.executor import Executor
from fsmflow.running.maintenance import sweep
from fsmflow.running.supervisor import crews_of
from fsmflow.store.work import Ticket
from tests.support.bench import Bench, bench_on
from tests.support.ferries import Dinghy, Ferry
from tests.support.servers import Valkey, short_folder

SLOW = "slow-boat"


@pytest.fixture(scope="module")
def far() -> Iterator[Valkey]:
    """The server of the slow queue. It runs and is empty as a test begins."""
    with tempfile.TemporaryDirectory(prefix="fsmflow-", dir=short_folder()) as folder:
        server = Valkey(Path(folder))
        yield server
        server.stop()


@contextlib.contextmanager
def harbour_on(database_url: str, redis_url: str, far: Valkey) -> Iterator[Bench]:
    far.restart_empty()
    where: dict[str, Any] = {"database_url": database_url, "queues": {SLOW: far.url}}
    with bench_on(redis_url, machines=(Ferry, Dinghy), **where) as bench:
        for server in bench.runtime.doorbell.servers:
            server.set_marker()
        yield bench


@pytest.fixture
def any_harbour(database_url: str, redis_url: str, far: Valkey) -> Iterator[Bench]:
    with harbour_on(database_url, redis_url, far) as bench:
        yield bench


@pytest.fixture
def harbour(tmp_path: Path, redis_url: str, far: Valkey) -> Iterator[Bench]:
    with harbour_on(f"sqlite:///{tmp_path}/fsmflow.db", redis_url, far) as bench:
        yield bench


def waiting(server: Valkey, bench: Bench, queue: str = SLOW) -> int:
    with contextlib.closing(server.client()) as client:
        found: Any = client.llen(bench.queue_key(queue))
        return int(found)


def cross(bench: Bench, id_: str) -> None:
    """A ferry whose next job is on the other server."""
    Ferry.start(id_).trigger("go")
    bench.runtime.ring_for(Executor(bench.runtime).execute(bench.take()))


def test_a_server_that_loses_all_has_its_own_queues_rung_anew_and_no_others(
    any_harbour: Bench, far: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EFFECTS", str(tmp_path))
    cross(any_harbour, "1")
    Dinghy.start("2").trigger("go")
    assert (len(any_harbour.queued()), waiting(far, any_harbour)) == (1, 1)
    rung = any_harbour.queued()
    far.restart_empty()
    any_harbour.sweep()
    assert (any_harbour.queued(), waiting(far, any_harbour)) == (rung, 1)
    with contextlib.closing(any_harbour.runtime.doorbell.client()) as client:
        client.flushall()
    any_harbour.sweep()
    assert (len(any_harbour.queued()), waiting(far, any_harbour)) == (1, 1)


def test_what_waits_on_one_server_is_left_as_it_is_though_a_new_one_has_nothing(harbour: Bench, far: Valkey) -> None:
    """A server more, for an installation that is told so before anything was put there."""
    with contextlib.closing(far.client()) as client:
        client.flushall()
    Dinghy.start("1").trigger("go")
    rung = harbour.queued()
    harbour.sweep()
    assert harbour.queued() == rung


def test_many_jobs_of_a_server_that_is_away_do_not_hide_those_of_another_one(
    any_harbour: Bench, far: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "PAGE", 3)
    monkeypatch.setattr(sweep, "MAX_PAGES", 2)
    store = any_harbour.runtime.store
    for number in range(7):
        Ferry.start(str(number)).trigger("go")
    store.link.write(lambda: store.link.execute(f"UPDATE fsmflow_work SET queue = '{SLOW}'", ()))
    Dinghy.start("last").trigger("go")
    any_harbour.redis.flushall()
    far.stop()
    any_harbour.advance(10)
    assert len(any_harbour.queued()) == 1
    far.start()
    for _ in range(2):
        any_harbour.advance(1)
    assert waiting(far, any_harbour) == 7


def test_of_a_server_that_is_away_it_is_told_what_is_not_known(
    harbour: Bench, far: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EFFECTS", str(tmp_path))
    runtime = harbour.runtime
    cross(harbour, "1")
    Dinghy.start("2").trigger("go")
    runtime.doorbell.announce(["default"])
    assert Readiness(lambda: runtime).faults().get("redis") is None
    far.stop()
    ferry, dinghy = (runtime.store.entities.load(*pair) for pair in (("ferry", "1"), ("dinghy", "2")))
    assert ferry is not None
    assert dinghy is not None
    reasons = Reasons(runtime)
    assert "Redis, which does not answer" in str(reasons.obstacle(ferry))
    assert reasons.obstacle(dinghy) is None
    heard = listening(runtime)
    objects = {each["name"]: each["listening"] for each in queue_objects(runtime, ["default", SLOW], heard)}
    assert objects == {"default": True, SLOW: None}
    assert Readiness(lambda: runtime).faults()["redis"] == NO_ANSWER
    numbers = Numbers()
    read(runtime, numbers)
    assert 'fsmflow_queue_redis_up{queue="slow-boat"} 0' in numbers.text()


def test_each_server_gets_processes_of_its_own_and_what_fsmflow_runs_for_itself_one(harbour: Bench) -> None:
    queues = ["operations", "default", f"{SLOW}/high", SLOW, "deliveries"]
    crews = crews_of(harbour.runtime, queues, 4)
    assert [str(crew) for crew in crews] == [
        "4 on operations, default, deliveries",
        f"4 on {SLOW}/high, {SLOW}",
    ]
    crews = crews_of(harbour.runtime, ["operations", SLOW, "deliveries"], 4)
    assert [str(crew) for crew in crews] == ["1 on operations, deliveries", f"4 on {SLOW}"]


def test_what_is_done_is_forgotten_where_the_process_stands_and_the_rest_is_rung_where_it_is(
    harbour: Bench, far: Valkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EFFECTS", str(tmp_path))
    doorbell = harbour.runtime.doorbell
    cross(harbour, "1")
    with contextlib.closing(far.client()) as client:
        id_: Any = client.lindex(harbour.queue_key(SLOW), 0)
        assert client.exists(f"rq:job:{id_.decode()}")
        row, epoch, attempt, dispatch = map(int, id_.decode().split("-")[1:])
        ticket = Ticket(row=row, epoch=epoch, attempt=attempt, dispatch=dispatch)
        follows = Executor(harbour.runtime).execute(ticket)
        doorbell.stand_at(SLOW)
        assert doorbell.finish([ticket], follows)
        assert not client.exists(f"rq:job:{id_.decode()}")
    assert len(harbour.queued()) == 1
    doorbell.stand_at("default")
    assert list(doorbell.ring_others([(ticket, SLOW), (ticket, "default")])) == [(ticket, "default")]
    assert waiting(far, harbour) == 2
