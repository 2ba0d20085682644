"""Jobs that fork: only the process that has claimed goes on with the step."""

from __future__ import annotations

import pytest

import fsmflow
from fsmflow.engine import runtime as runtime_of
from fsmflow.verify import verify
from tests.support.eventually import eventually
from tests.support.processes import World, is_alive
from tests.support.unruly_flows import Bound, Unruly

WAYS = ["fork", "fork and raise", "fork and exit", "daemonise", "pty", "async fork", "guard forks", "hook forks"]


def walked(machine: fsmflow.Machine) -> list[tuple[str, str | None]]:
    return [(entry.kind, entry.trigger) for entry in machine.history]


@pytest.mark.parametrize("how", WAYS)
def test_what_a_job_forks_neither_settles_nor_goes_on(sampled_place: World, how: str) -> None:
    supervisor = sampled_place.supervisor(processes=1)
    unruly = Unruly.start("1", how=how)
    unruly.trigger("go")
    unruly.wait("over", timeout=30)
    worker = sampled_place.effects("1", "doing")[0].pid
    # The worker, alive and well, takes what comes next; nobody else takes anything.
    others = [Unruly.start(str(number), how="nothing") for number in range(2, 12)]
    for other in others:
        other.trigger("go")
    for other in others:
        other.wait("over", timeout=30)
    for one in [unruly, *others]:
        assert walked(one) == [("start", None), ("transition", "go"), ("transition", "done"), ("transition", "done")]
        assert [effect.pid for effect in sampled_place.effects(one.entity_id)] == [worker, worker]
    assert unruly.data.get("by", "the worker") == "the worker"
    assert unruly.data.get("status", 0) == {"fork and raise": 1, "fork and exit": 7}.get(how, 0)
    if how != "pty":  # that one speaks into its own terminal
        eventually(lambda: "job.forked" in supervisor.log, what="a word about the end of the child")
    assert "worker.lost" not in supervisor.log
    assert "maintenance.failed" not in supervisor.log
    runtime = runtime_of.current()
    assert verify(runtime.store, runtime.machines.all()).violations == []
    supervisor.terminate()
    assert supervisor.ended() == 0


def test_what_a_transactional_job_forks_has_no_part_in_its_transaction(sampled_place: World) -> None:
    supervisor = sampled_place.supervisor(processes=1)
    bound = Bound.start("1")
    bound.trigger("go")
    bound.wait("over", timeout=30)
    assert walked(bound) == [("start", None), ("transition", "go"), ("transition", "done")]
    assert [effect.attempt for effect in sampled_place.effects("1")] == [1]
    eventually(lambda: "job.forked" in supervisor.log, what="a word about the end of the child")
    assert "worker.lost" not in supervisor.log


def test_a_child_process_is_refused_what_is_for_the_worker_and_may_do_what_anybody_may(sampled_place: World) -> None:
    sampled_place.supervisor(processes=1)
    unruly = Unruly.start("1", how="multiprocess")
    unruly.trigger("go")
    unruly.wait("over", timeout=30)
    assert unruly.data["status"] == 0
    refused = (sampled_place.folder / "refused").read_text().splitlines()
    assert [line.split(":")[0] for line in refused] == ["heartbeat", "save", "send", "branches"]
    assert all("was forked by its job, and has no part in the step" in line for line in refused)
    assert Unruly.get("of the child").wait("over", timeout=30).state == "over"


def test_a_daemon_that_a_job_started_lives_on_and_holds_nothing_up(place: World) -> None:
    supervisor = place.supervisor(processes=1)
    unruly = Unruly.start("1", how="leaves a child")
    unruly.trigger("go")
    unruly.wait("over", timeout=30)
    child = int((place.folder / "child").read_text())
    assert f"the child process {child} (sleep)" in supervisor.log
    supervisor.terminate()
    assert supervisor.ended() == 0
    assert is_alive(child)
