"""Plain jobs that only wait, beside each other in threads: each counts once, and none holds up another."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from fsmflow.engine.runtime import current
from fsmflow.verify import verify
from tests.support.eventually import eventually
from tests.support.loop_flows import Call, Letter
from tests.support.processes import World

MANY = ("--threads", "6")


def letters(count: int, name: str = "letter", trigger: str = "go", **data: Any) -> list[Letter]:
    found = [Letter.start(f"{name}-{number}", **data) for number in range(count)]
    for letter in found:
        letter.trigger(trigger)
    return found


def begun(world: World, found: list[Letter]) -> int:
    return sum(bool(world.effects(letter.entity_id)) for letter in found)


def check_all_arrived(world: World, found: list[Letter], attempts: int = 1) -> None:
    for letter in found:
        letter.wait("ended", timeout=60)
        assert [effect.attempt for effect in world.effects(letter.entity_id)] == list(range(1, attempts + 1))
    runtime = current()
    report = verify(runtime.store, runtime.machines.all(), strict=True)
    assert report.holds, str(report)


def test_as_many_wait_beside_each_other_as_there_are_threads_and_a_plain_job_beside_them(any_place: World) -> None:
    found = letters(6, gate="open")
    any_place.supervisor(*MANY)
    eventually(lambda: begun(any_place, found) == 6, within=60, what="six jobs that wait")
    more = letters(4, "more")
    any_place.open("open")
    check_all_arrived(any_place, [*found, *more])
    assert {letter.refresh().data["thread"].rpartition("_")[0] for letter in found} == {"fsmflow-job"}


def test_without_threads_they_are_jobs_like_any_other_and_async_ones_are_where_there_is_no_loop(place: World) -> None:
    (letter,) = letters(1)
    place.supervisor()
    check_all_arrived(place, [letter])
    assert letter.refresh().data["thread"] == "MainThread"
    place.supervisors[0].terminate()
    place.supervisors[0].ended()
    place.supervisor(*MANY)
    found = [Call.start(f"call-{number}") for number in range(4)]
    for call in found:
        call.trigger("go")
    for call in found:
        call.wait("ended", timeout=60)


def test_what_fails_and_what_leaves_a_transaction_open_harms_no_other(any_place: World) -> None:
    found = letters(3, gate="open")
    supervisor = any_place.supervisor(*MANY)
    eventually(lambda: begun(any_place, found) == 3, within=60, what="three jobs that wait")
    (wrong,) = letters(1, "wrong", fails=True)
    wrong.wait("failed", timeout=60)
    (left,) = letters(1, "left", opens=True)
    check_all_arrived(any_place, [left])
    assert "letter:left-0: job 'send_it' left a transaction open" in supervisor.log
    any_place.open("open")
    check_all_arrived(any_place, found)


def test_a_limit_that_is_passed_is_told_and_what_the_job_comes_to_counts(place: World) -> None:
    (slow,) = letters(1, "slow", "go_briefly", gate="open")
    supervisor = place.supervisor(*MANY)
    eventually(lambda: "limit.passed: job 'send_it' of letter:slow-0" in supervisor.log, within=60, what="it is told")
    place.open("open")
    check_all_arrived(place, [slow])
    assert supervisor.log.count("limit.passed") == 1


def test_what_a_killed_process_ran_in_threads_runs_again(any_place: World) -> None:
    found = letters(4, gate="open")
    supervisor = any_place.supervisor(*MANY)
    eventually(lambda: begun(any_place, found) == 4, within=60, what="four jobs that wait")
    os.kill(any_place.effects("letter-0")[0].pid, signal.SIGKILL)
    eventually(lambda: "worker.lost" in supervisor.log, within=30, what="its death is told")
    any_place.open("open")
    check_all_arrived(any_place, found, attempts=2)


def test_those_that_run_come_to_their_end_after_sigterm(place: World) -> None:
    found = letters(3, gate="open")
    supervisor = place.supervisor(*MANY)
    eventually(lambda: begun(place, found) == 3, within=60, what="three jobs that wait")
    supervisor.terminate()
    eventually(lambda: "finishing the running steps" in supervisor.log, within=30, what="it is told to end")
    place.open("open")
    assert supervisor.ended() == 0
    check_all_arrived(place, found)


def processor_s(pid: int) -> float:
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells what a process uses so")
def test_a_process_whose_threads_are_all_busy_waits_without_work(place: World) -> None:
    found = letters(3, gate="open")
    place.supervisor("--concurrency", "5", "--threads", "1")
    eventually(lambda: begun(place, found) == 1, within=60, what="a job that waits, and others for its thread")
    pid = next(effect.pid for letter in found for effect in place.effects(letter.entity_id))
    with pytest.raises(TimeoutError):
        found[0].wait("ended", timeout=1)
    before = processor_s(pid)
    with pytest.raises(TimeoutError):
        found[0].wait("ended", timeout=2)
    assert processor_s(pid) - before < 0.7
    place.open("open")
    check_all_arrived(place, found)
