"""What goes on while jobs run, and what survives Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zlib
from collections import Counter

import pytest

import fsmflow
from fsmflow.engine.runtime import current
from tests.support.eventually import eventually
from tests.support.paths import ROOT
from tests.support.process_flows import Chain, Flaky
from tests.support.processes import World
from tests.support.servers import Valkey

pytestmark = pytest.mark.alone

TRANSITIONS = ["go", "done", "done", "done"]


def queue_in_rq() -> str:
    return current().doorbell.rq_queue("default")


def triggers(machine: fsmflow.Machine) -> list[str | None]:
    return [entry.trigger for entry in machine.history if entry.kind == "transition"]


@pytest.mark.parametrize("accident", ["flush", "restart"])
def test_a_hundred_entities_arrive_when_redis_loses_everything_in_their_midst(
    place: World, valkey: Valkey, accident: str
) -> None:
    place.supervisor(processes=2)
    # Two of them keep both workers busy until it has happened.
    chains = [Chain.start(str(number), gate="gate" if number < 2 else None) for number in range(100)]
    for chain in chains:
        chain.trigger("go")
    for number in range(2):
        place.effect(str(number), "two")
    if accident == "flush":
        valkey.client().flushall()
    else:
        valkey.restart_empty()
    assert Chain.counts().get("ended", 0) < 100
    place.open("gate")
    eventually(lambda: Chain.counts().get("ended") == 100, within=60, what="all hundred")
    for chain in chains:
        assert triggers(chain) == TRANSITIONS
    runs = Counter((effect.entity_id, effect.state) for chain in chains for effect in place.effects(chain.entity_id))
    assert len(runs) == 300


def test_a_trigger_while_redis_is_down_is_durable_and_its_job_follows(place: World, valkey: Valkey) -> None:
    place.supervisor(processes=1)
    chain = Chain.start("1")
    valkey.stop()
    chain.trigger("go")
    assert Chain.get("1").state == "one"
    valkey.start()
    chain.wait("ended", timeout=30)
    assert triggers(chain) == TRANSITIONS


def test_internal_transitions_saves_and_pause_cost_a_running_job_nothing(place: World) -> None:
    place.supervisor(processes=1)
    chain = Chain.start("1", gate="gate", saves=True)
    chain.trigger("go")
    place.effect("1", "two")
    eventually(lambda: chain.refresh().data.get("saved"), what="the saved data")
    epoch = chain.epoch
    assert chain.trigger("note", text="hello").kind == "internal"
    chain.pause(reason="lunch")
    place.open("gate")
    chain.wait("three", timeout=30)
    assert (chain.epoch, chain.paused, chain.data["note"]) == (epoch + 1, True, "hello")
    assert [effect.attempt for effect in place.effects("1", "two")] == [1]
    assert not place.effects("1", "three")
    chain.resume()
    chain.wait("ended", timeout=30)


def test_a_result_that_no_guard_accepts_is_kept_and_goes_on_once_the_guard_is_mended(place: World) -> None:
    place.supervisor(processes=1)
    chain = Chain.start("1", guarded=True)
    chain.trigger("go")
    chain.wait(timeout=30)
    assert chain.state == "failed_from_two"
    assert chain.failure is not None
    assert "may_leave_two" in chain.failure.message
    place.open("mended")
    chain.retry()
    chain.wait("ended", timeout=30)
    assert len(place.effects("1", "two")) == 1
    assert chain.data["two"] == 1


def test_automatic_retries_run_by_themselves_on_a_queue_of_their_own(place: World) -> None:
    place.supervisor(processes=1)
    flaky = Flaky.start("1", fails=2)
    flaky.trigger("go")
    assert flaky.wait(timeout=30).state == "ended"
    assert [effect.attempt for effect in place.effects("1")] == [1, 2, 3]
    hopeless = Flaky.start("2", fails=3)
    hopeless.trigger("go")
    assert hopeless.wait(timeout=30).state == "failed_from_busy"
    hopeless.resume()
    assert hopeless.wait(timeout=30).state == "ended"
    assert [effect.attempt for effect in place.effects("2")] == [1, 2, 3, 4]
    assert len({effect.key for effect in place.effects("2")}) == 1


def test_burst_runs_all_that_is_due_and_ends(place: World) -> None:
    for number in range(20):
        Chain.start(str(number), gate="gate").trigger("go")
    supervisor = place.supervisor("--burst", processes=2)
    place.effect("0", "two")
    assert len(supervisor.workers()) == 2, "nobody stands by"
    place.open("gate")
    assert supervisor.ended(within=60) == 0
    assert Chain.counts() == {"ended": 20}


HOSTILE = [
    b'["os.system", null, ["touch hacked"], {}]',
    b'["fsmflow.running.executor.run", null, ["x", 1, 1, 1, 0], {}]',
    b'["fsmflow.running.executor.run", null, [["a"], {}, null, 1.5, true], {}]',
    b"cos\nsystem\n(S'touch hacked'\ntR.",
    b"\xff" * 10_000,
]


def test_hostile_jobs_in_redis_run_nothing_and_do_no_harm(place: World, valkey: Valkey) -> None:
    with valkey.client() as client:
        for number, data in enumerate(HOSTILE):
            fields = {"data": zlib.compress(data), "origin": "default", "status": "queued"}
            fields |= {"success_callback_name": "os.abort", "failure_callback_name": "os.abort"}
            client.hset(f"rq:job:evil-{number}", mapping=fields)
        client.set(f"rq:job:evil-{len(HOSTILE)}", "not a hash")
        evil = [f"evil-{number}" for number in range(len(HOSTILE) + 1)]
        client.rpush(f"rq:queue:{queue_in_rq()}", *evil)
        supervisor = place.supervisor(processes=1)
        chain = Chain.start("1")
        chain.trigger("go")
        chain.wait("ended", timeout=30)
        assert client.llen(f"rq:queue:{queue_in_rq()}") == 0
    assert not list(ROOT.glob("hacked"))
    assert supervisor.process.poll() is None


def test_a_stock_rq_worker_can_run_the_steps(place: World) -> None:
    chain = Chain.start("1")
    chain.trigger("go")
    rq = [sys.executable, "-m", "rq.cli", "worker", queue_in_rq(), "--serializer", "json", "--url"]
    stock = subprocess.Popen([*rq, place.environment["FSMFLOW_REDIS_URL"]], env=place.environment, cwd=ROOT)
    try:
        chain.wait("ended", timeout=30)
    finally:
        stock.send_signal(signal.SIGTERM)
        stock.wait(timeout=30)
    assert triggers(chain) == TRANSITIONS
    assert os.getpid() not in [effect.pid for effect in place.effects("1")]
