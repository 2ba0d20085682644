"""Worker processes and supervisors that die, stop or are told to stop, at the worst moment."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import pytest

import fsmflow
from tests.support.eventually import eventually
from tests.support.process_flows import Chain, Slow
from tests.support.processes import World, is_alive


def kinds(machine: fsmflow.Machine) -> list[tuple[str, str | None, str]]:
    return [(entry.kind, entry.trigger, entry.dest) for entry in machine.history]


@pytest.mark.alone
def test_a_killed_step_runs_again_within_a_second_and_nothing_before_it_does(any_place: World) -> None:
    any_place.supervisor(processes=1)
    chain = Chain.start("1", gate="gate")
    chain.trigger("go")
    first = any_place.effect("1", "two")
    killed_at = time.time()
    os.kill(first.pid, signal.SIGKILL)
    second = any_place.effect("1", "two", attempt=2)
    assert second.at - killed_at < 1.0
    assert second.key == first.key
    any_place.open("gate")
    chain.wait("ended", timeout=30)
    assert kinds(chain) == [
        ("start", None, "new"),
        ("transition", "go", "one"),
        ("transition", "done", "two"),
        ("crashed", None, "two"),
        ("transition", "done", "three"),
        ("transition", "done", "ended"),
    ]
    assert [effect.state for effect in any_place.effects("1")] == ["one", "two", "two", "three"]


@pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
def test_another_supervisor_takes_over_within_twenty_seconds(any_place: World) -> None:
    first = any_place.supervisor(processes=1)
    chain = Chain.start("1", gate="gate")
    chain.trigger("go")
    any_place.effect("1", "two")
    workers = first.workers()
    any_place.supervisor(processes=1)
    killed_at = time.time()
    first.kill()
    eventually(lambda: not any(is_alive(pid) for pid in workers), what="the end of the orphaned workers")
    assert any_place.effect("1", "two", attempt=2).at - killed_at < 20.0
    any_place.open("gate")
    chain.wait("ended", timeout=30)
    assert [kind for kind, _, dest in kinds(chain) if dest == "three"] == ["transition"]


def test_the_result_of_a_worker_that_was_stopped_beyond_its_lease_is_refused(place: World) -> None:
    supervisor = place.supervisor(processes=2)
    chain = Chain.start("1", gate="gate")
    chain.trigger("go")
    zombie = place.effect("1", "two").pid
    os.kill(zombie, signal.SIGSTOP)
    try:
        second = place.effect("1", "two", attempt=2, within=25)
        assert second.pid != zombie
        place.open("gate")
        chain.wait("ended", timeout=30)
        before = kinds(chain)
    finally:
        os.kill(zombie, signal.SIGCONT)
    eventually(lambda: "result.discarded" in supervisor.log, what="the refusal of the late result")
    assert kinds(chain) == before
    assert [trigger for _, trigger, dest in before if dest == "three"] == ["done"]


def test_sigterm_lets_the_running_step_end_and_exits_with_status_0(place: World) -> None:
    supervisor = place.supervisor(processes=2)
    chain = Chain.start("1", gate="gate")
    chain.trigger("go")
    place.effect("1", "two")
    supervisor.terminate()
    eventually(lambda: "finishing the running steps" in supervisor.log, what="the beginning of the end")
    place.open("gate")
    assert supervisor.ended() == 0
    chain.refresh()
    assert (chain.state, chain.data["two"]) == ("three", 1)
    assert not place.effects("1", "three")


def test_a_second_sigterm_gives_the_step_back_and_counts_no_crash(place: World) -> None:
    supervisor = place.supervisor(processes=1)
    chain = Chain.start("1", gate="gate")
    chain.trigger("go")
    place.effect("1", "two")
    supervisor.terminate()
    eventually(lambda: "finishing the running steps" in supervisor.log, what="the beginning of the end")
    supervisor.terminate()
    assert supervisor.ended() == 0
    place.open("gate")
    place.supervisor(processes=1)
    chain.wait("ended", timeout=30)
    assert "crashed" not in [kind for kind, _, _ in kinds(chain)]
    assert [effect.attempt for effect in place.effects("1", "two")] == [1, 2]


def test_a_step_that_kills_its_worker_every_time_ends_in_failed_while_others_go_on(any_place: World) -> None:
    any_place.supervisor(processes=2)
    poison = Chain.start("poison", dies=True)
    poison.trigger("go")
    others = [Chain.start(f"other-{number}") for number in range(10)]
    for other in others:
        other.trigger("go")
    for other in others:
        other.wait("ended", timeout=30)
    poison.wait(timeout=30)
    assert poison.state == "failed_from_two"
    assert poison.failure is not None
    assert (poison.failure.error_type, poison.failure.attempts) == ("WorkerLost", 4)
    assert len(any_place.effects("poison", "two")) == 4


def test_what_a_job_started_ends_with_its_worker(place: World) -> None:
    supervisor = place.supervisor(processes=1)
    Chain.start("1", child=True).trigger("go")
    place.effect("1", "two")
    noted = place.folder / "child"
    child = int(eventually(lambda: noted.read_text() if noted.exists() else None))
    supervisor.kill()
    eventually(lambda: not is_alive(child), what="the end of the job's own process")


@pytest.mark.parametrize("how", ["sleeps", "swallows", "holds the GIL"])
def test_a_job_that_runs_into_its_limit_fails_and_its_worker_is_usable_again(place: World, how: str) -> None:
    supervisor = place.supervisor(processes=1)
    slow = Slow.start("1", how=how)
    slow.trigger("go")
    slow.wait(timeout=30)
    assert slow.state == "failed_from_busy"
    assert slow.failure is not None
    assert (slow.failure.error_type, slow.failure.attempts) == ("StepTimeout", 1)
    if how == "holds the GIL":
        assert "did not stop at the time limit of slow:1; killing it" in supervisor.log
        assert "was killed by SIGKILL while running a step of slow:1;" in supervisor.log
        assert "entity row" not in supervisor.log
    quick = Slow.start("2")
    quick.trigger("go")
    assert quick.wait(timeout=30).state == "ended"


def test_a_supervisor_that_is_told_to_stop_while_its_workers_start_ends_well(place: World) -> None:
    supervisor = place.supervisor(processes=6)
    eventually(supervisor.workers, what="a first worker process")
    supervisor.terminate()
    assert supervisor.ended() == 0, supervisor.log


def test_workers_that_are_killed_while_they_start_do_not_end_the_supervisor(place: World) -> None:
    supervisor = place.supervisor()
    for _ in range(7):
        for pid in eventually(supervisor.workers, what="worker processes"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    chain = Chain.start("1")
    chain.trigger("go")
    chain.wait(timeout=60)
    assert supervisor.process.poll() is None
