"""What a dead worker had taken, or had to ring, and had told nobody of: it is rung anew at once."""

from __future__ import annotations

import signal
from contextlib import closing
from typing import Any

import pytest
import redis

from fsmflow.dispatch.rqworker import StepWorker
from fsmflow.running.executor import Executor
from fsmflow.running.maintenance.sweep import Maintenance
from tests.support.bench import Bench
from tests.support.eventually import eventually
from tests.support.machines import Counter
from tests.support.process_flows import Chain
from tests.support.processes import World

#: Longer than a doorbell is ever left alone.
FAR_MS = 600_000


@pytest.mark.alone
@pytest.mark.parametrize("point", ["pop.after", "take.after", "claim.before"])
def test_a_worker_that_dies_between_its_doorbell_and_its_claim_costs_less_than_a_second(
    any_place: World, redis_url: str, point: str
) -> None:
    any_place.environment["FSMFLOW_MACHINES"] += ",tests.support.doomed"
    any_place.supervisor(processes=1)
    first = Chain.start("first")
    first.trigger("go")
    first.wait("ended", timeout=30)
    with closing(redis.Redis.from_url(redis_url)) as client:
        blocked: Any = lambda: client.info("clients")["blocked_clients"]  # noqa: E731
        eventually(lambda: blocked() == 1, what="a worker that waits for a doorbell")
    any_place.open(f"armed-{point}")
    chain = Chain.start("1")
    chain.trigger("go")
    ran = any_place.effect("1", "one")
    assert ran.at - (any_place.folder / f"died-{point}").stat().st_mtime < 1.0
    assert chain.wait("ended", timeout=30).state == "ended"
    assert "crashed" not in [entry.kind for entry in chain.history]
    assert [effect.state for effect in any_place.effects("1")] == ["one", "two", "three"]


@pytest.mark.alone
def test_a_worker_that_dies_before_it_rings_for_another_entity_costs_less_than_a_second(any_place: World) -> None:
    any_place.environment["FSMFLOW_MACHINES"] += ",tests.support.doomed"
    supervisor = any_place.supervisor(processes=1)
    chain = Chain.start("1", gate="gate")
    chain.trigger("go")
    any_place.effect("1", "two")
    any_place.open("armed-settle.after")
    any_place.open("gate")
    ran = any_place.effect("1", "three")
    assert ran.at - (any_place.folder / "died-settle.after").stat().st_mtime < 1.0
    supervisor.terminate()
    assert supervisor.ended() == 0


def worker(bench: Bench, name: str) -> StepWorker:
    runtime = bench.runtime
    return StepWorker(["default"], runtime.doorbell, Executor(runtime).execute, lambda: False, name=name)


def taken_by(bench: Bench, name: str, entity_id: str) -> Counter:
    """A counter whose doorbell a worker has taken, and answers no more; nobody looks after it for long."""
    counter = Counter.start(entity_id)
    counter.work()
    dead = worker(bench, name)
    assert dead.work_several(1, lambda tickets: None, block=False)
    put_off(bench)
    return counter


def put_off(bench: Bench) -> None:
    link = bench.runtime.store.link
    far = bench.clock.now() + FAR_MS
    link.write(lambda: link.execute(f"UPDATE fsmflow_work SET wake_at = {link.mark}", (far,)))


def test_what_the_workers_of_a_dead_supervisor_had_taken_is_rung_once_it_is_silent(bench: Bench) -> None:
    taken_by(bench, "dead.1.1", "1")
    taken_by(bench, "alive.1.1", "2")
    for name in ("dead", "alive"):
        bench.runtime.doorbell.appear(name)
    bench.clock.ms += 4_000
    other = Maintenance(bench.runtime, ("default",), "alive")
    other.sweep(in_turn=False)
    assert bench.queued() == []
    bench.clock.ms += 1_000
    other.sweep(in_turn=False)
    (ticket,) = bench.queued()
    assert ticket.dispatch == 1
    other.sweep(in_turn=False)
    assert bench.queued() == [ticket]
    bench.step()
    assert Counter.get("1").state != "busy"
    assert Counter.get("2").state == "busy"


def test_a_doorbell_that_was_popped_and_marked_by_nobody_or_never_rung_is_astray(bench: Bench) -> None:
    for number in range(3):
        Counter.start(str(number)).work()
    bench.redis.lpop(bench.queue_key())
    id_: Any = bench.redis.lindex(bench.queue_key(), 1)
    bench.redis.rpop(bench.queue_key())
    bench.redis.delete(b"rq:job:" + id_)
    put_off(bench)
    (waits,) = bench.queued()
    Maintenance(bench.runtime, ("default",)).left_behind("dead.1.")
    rung = bench.queued()
    assert rung[0] == waits
    assert [(ticket.row - waits.row, ticket.dispatch) for ticket in rung] == [(0, 0), (-1, 1), (1, 1)]


def test_what_is_paused_claimed_or_done_is_not_rung_for_a_dead_worker(bench: Bench) -> None:
    paused, claimed = taken_by(bench, "dead.1.1", "1"), Counter.start("2")
    paused.pause()
    claimed.work()
    ticket = bench.take()
    assert bench.runtime.store.work.claim(ticket, "somebody", lease_until=bench.clock.now() + FAR_MS) is not None
    Maintenance(bench.runtime, ("default",)).left_behind("dead.1.")
    assert bench.queued() == []


@pytest.mark.alone
def test_a_supervisor_that_ends_leaves_no_name_behind(place: World, redis_url: str) -> None:
    supervisor = place.supervisor(processes=1)
    with closing(redis.Redis.from_url(redis_url)) as client:
        names = lambda: [key for key in client.keys("rq:fsmflow:*:supervisors") if client.zcard(key)]  # noqa: E731
        eventually(lambda: bool(names()), what="the name of the supervisor")
        supervisor.process.send_signal(signal.SIGTERM)
        assert supervisor.ended() == 0
        assert names() == []
