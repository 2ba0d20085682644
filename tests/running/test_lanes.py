"""Many async jobs in one worker process: beside each other, and each for itself."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from fsmflow.engine.runtime import current
from fsmflow.verify import verify
from tests.support.eventually import eventually
from tests.support.loop_flows import Call, Round
from tests.support.processes import World

MANY = ("--concurrency", "20")


def calls(count: int, name: str = "call", **data: Any) -> list[Any]:
    found = [Call.start(f"{name}-{number}", **data) for number in range(count)]
    for call in found:
        call.trigger("go")
    return found


def begun(world: World, found: list[Any], state: str = "asking") -> int:
    return sum(bool(world.effects(call.entity_id, state)) for call in found)


def runs(world: World, found: list[Any]) -> int:
    return sum(len(world.effects(call.entity_id, "asking")) for call in found)


def failure_of(call: Any) -> tuple[str, str]:
    assert call.failure is not None
    return call.failure.error_type, call.failure.message


def all_arrive(world: World, found: list[Any], attempts: int = 1) -> None:
    for call in found:
        call.wait("ended", timeout=60)
    for call in found:
        assert [e.attempt for e in world.effects(call.entity_id, "asking")] == list(range(1, attempts + 1))
    runtime = current()
    report = verify(runtime.store, runtime.machines.all(), strict=True)
    assert report.holds, str(report)


def test_as_many_wait_beside_each_other_as_there_is_room_for(any_place: World) -> None:
    """Branches among them."""
    asked = Round.start("round", numbers=[1, 2, 3])
    any_place.supervisor(*MANY)
    eventually(lambda: len(any_place.all_effects()) == 3, within=30, what="three branches that wait")
    found = calls(24, gate="open")
    eventually(lambda: begun(any_place, found) == 17, within=30, what="as many others as there is room for")
    other = Call.start("plain", what=None)
    other.trigger("go")
    assert begun(any_place, found) == 17, "the rest is for others"
    any_place.open("open")
    all_arrive(any_place, [*found, other])
    asked.wait("ended", timeout=60)
    assert len({e.pid for call in found for e in any_place.effects(call.entity_id)}) == 1


def test_a_plain_job_runs_beside_those_that_wait(place: World) -> None:
    found = calls(3, gate="open")
    place.supervisor(*MANY)
    eventually(lambda: begun(place, found) == 3, within=30, what="three jobs that wait")
    (other,) = calls(1, "other")
    other.wait("ended", timeout=30)
    assert all(call.refresh().state == "asking" for call in found)
    place.open("open")
    all_arrive(place, [*found, other])


@pytest.mark.parametrize(
    ("what", "trigger", "error", "words"),
    [
        ("raises", "go", "ConnectionError", "nobody answers"),
        ("sleeps", "go_briefly", "StepTimeout", "job 'ask' ran longer than its limit of 0.5 s"),
        ("sleeps", "go_for_longer", "StepTimeout", "job 'ask' ran longer than its limit of 2.7 s"),
        ("atomic", "go", "FsmflowError", "awaited something inside atomic()"),
    ],
)
def test_what_fails_is_that_job_alone(place: World, what: str, trigger: str, error: str, words: str) -> None:
    found = calls(3, gate="open")
    wrong = Call.start("wrong", what=what)
    wrong.trigger(trigger)
    place.supervisor(*MANY)
    wrong.wait("failed", timeout=30)
    found_error, message = failure_of(wrong)
    assert found_error == error
    assert words in message
    place.open("open")
    all_arrive(place, found)


def test_those_that_run_come_to_their_end_after_sigterm_and_no_others_begin(place: World) -> None:
    found = calls(3, gate="open")
    supervisor = place.supervisor(*MANY)
    eventually(lambda: begun(place, found) == 3, within=30, what="three jobs that wait")
    supervisor.terminate()
    eventually(lambda: "finishing the running steps" in supervisor.log, within=30, what="it is told to end")
    later = calls(1, "later")
    place.open("open")
    assert supervisor.ended() == 0
    assert {call.refresh().state for call in found} == {"telling"}
    assert begun(place, later) == 0
    place.supervisor()
    all_arrive(place, [*found, *later])


def test_what_a_killed_process_ran_runs_again_one_after_the_other(any_place: World) -> None:
    found = calls(4, gate="open")
    any_place.supervisor(*MANY)
    eventually(lambda: begun(any_place, found) == 4, within=30, what="four jobs that wait")
    os.kill(any_place.effects("call-0")[0].pid, signal.SIGKILL)
    eventually(lambda: runs(any_place, found) == 5, within=30, what="one of them again")
    any_place.open("open")
    all_arrive(any_place, found, attempts=2)


def test_a_job_that_kills_its_process_each_time_takes_no_other_with_it(place: World) -> None:
    found = calls(3, gate="open")
    place.supervisor(*MANY)
    eventually(lambda: begun(place, found) == 3, within=30, what="three jobs that wait")
    poison = Call.start("poison", what="dies", always=True)
    poison.trigger("go")
    place.open("open")
    poison.wait("failed", timeout=60)
    assert failure_of(poison)[0] == "WorkerLost"
    for call in found:
        call.wait("ended", timeout=60)
        assert len(place.effects(call.entity_id, "asking")) <= 2


def test_a_job_that_blocks_the_loop_is_told_by_name_and_runs_by_itself(place: World) -> None:
    found = calls(2, gate="open")
    supervisor = place.supervisor(*MANY)
    eventually(lambda: begun(place, found) == 2, within=30, what="two jobs that wait")
    blocker = Call.start("blocker", what="blocks")
    blocker.trigger("go")
    place.open("open")
    blocker.wait("ended", timeout=60)
    assert "loop.blocked: the async job of call:blocker keeps process" in supervisor.log
    for call in found:
        call.wait("ended", timeout=60)


def test_what_a_job_has_begun_and_left_ends_with_it(place: World) -> None:
    leaver = Call.start("leaver", what="leaves")
    leaver.trigger("go")
    place.supervisor(*MANY)
    leaver.wait("ended", timeout=30)
    assert (place.folder / "left").exists()


@pytest.mark.parametrize("what", ["exits", "stops"])
def test_a_job_that_ends_the_loop_ends_its_process_and_nothing_is_lost(place: World, what: str) -> None:
    found = calls(2, gate="open")
    place.supervisor(*MANY)
    eventually(lambda: begun(place, found) == 2, within=30, what="two jobs that wait")
    culprit = Call.start("culprit", what=what)
    culprit.trigger("go")
    eventually(lambda: runs(place, [*found, culprit]) > 3, within=30, what="another process has begun")
    place.open("open")
    all_arrive(place, [culprit], attempts=2)
    all_arrive(place, found, attempts=2)


def test_a_job_whose_entity_is_cancelled_meanwhile_is_told(place: World) -> None:
    (call,) = calls(1, gate="never")
    supervisor = place.supervisor(*MANY)
    eventually(lambda: begun(place, [call]) == 1, within=30, what="a job that waits")
    call.cancel()
    eventually(lambda: "result.discarded: call:call-0" in supervisor.log, within=30, what="its end is told")
    assert "Cancelled" in supervisor.log
    (other,) = calls(1, "other")
    all_arrive(place, [other])


@pytest.mark.parametrize("trigger", ["go_once", "go_whole"])
def test_what_may_run_once_and_what_is_transactional_does_not_share_a_process_with_others(
    place: World, trigger: str
) -> None:
    found = calls(2, gate="open")
    place.supervisor(*MANY)
    eventually(lambda: begun(place, found) == 2, within=30, what="two jobs that wait")
    alone = Call.start("alone")
    alone.trigger(trigger)
    if trigger == "go_whole":
        alone.wait("ended", timeout=30)
        assert all(call.refresh().state == "asking" for call in found)
    place.open("open")
    alone.wait("ended", timeout=30)
    all_arrive(place, found)
    if trigger == "go_once":
        left = max(entry.at for call in found for entry in call.history if entry.source == "asking")
        assert place.effect("alone", "once").at >= left.timestamp(), "a death of theirs would have been its own"


def test_hundreds_go_through_one_process(sampled_place: World) -> None:
    found = calls(150)
    began = time.monotonic()
    sampled_place.supervisor(*MANY)
    all_arrive(sampled_place, found)
    assert time.monotonic() - began < 60
