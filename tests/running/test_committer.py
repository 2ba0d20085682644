"""What jobs beside each other come to is claimed and committed together: all of it counts once, whatever happens."""

from __future__ import annotations

from typing import Any

from fsmflow.engine.runtime import current
from fsmflow.verify import verify
from tests.support.eventually import eventually
from tests.support.loop_flows import Call, Round
from tests.support.processes import World

MANY = ("--concurrency", "20")
#: Where a worker is killed, and after how many passes: early ones, and some when many are in the same commit.
DEATHS = {
    "take.after": 30,
    "claim.before": 60,
    "claim.after": 75,
    "settle.before": 50,
    "commit.before": 80,
    "commit.after": 70,
    "settle.after": 90,
    "ring.before": 2,
    "ring.after": 3,
}
COUNT = 60


def calls(count: int, **data: Any) -> list[Call]:
    found = [Call.start(f"call-{number}", **data) for number in range(count)]
    for call in found:
        call.trigger("go")
    return found


def check_all_arrived(world: World, found: list[Call]) -> None:
    for call in found:
        call.wait("ended", timeout=90)
        steps = [entry.dest for entry in call.history if entry.kind == "transition"]
        assert steps == ["asking", "telling", "ended"]
        attempts = [effect.attempt for effect in world.effects(call.entity_id, "asking")]
        assert len(set(attempts)) == len(attempts), "an attempt has run twice"
    runtime = current()
    report = verify(runtime.store, runtime.machines.all(), strict=True)
    assert report.holds, str(report)


def test_nothing_is_lost_or_done_twice_wherever_the_process_is_killed(any_place: World) -> None:
    any_place.environment["DIES_AT"] = ",".join(f"{point}~{nth}" for point, nth in DEATHS.items())
    found = calls(COUNT)
    supervisor = any_place.supervisor(*MANY)
    check_all_arrived(any_place, found)
    passed = {point: (any_place.folder / f"passed-{point}").stat().st_size for point in DEATHS}
    assert all(passed[point] >= nth for point, nth in DEATHS.items()), passed
    assert supervisor.log.count("worker.lost") == len(DEATHS)


def test_those_that_end_with_one_that_does_not_count_any_more_are_committed(any_place: World) -> None:
    found = calls(12, gate="open")
    supervisor = any_place.supervisor(*MANY)
    eventually(lambda: all(any_place.effects(call.entity_id) for call in found), within=60, what="twelve jobs wait")
    gone, *rest = found
    gone.cancel()
    any_place.open("open")
    check_all_arrived(any_place, rest)
    assert gone.refresh().state == "cancelled"
    eventually(lambda: "result.discarded: call:call-0" in supervisor.log, within=30, what="its end is told")


def test_a_plain_job_among_those_that_wait_holds_up_none_that_was_taken_with_it(place: World) -> None:
    """The first step of each waits in the loop, the second is plain: many of both are taken at once."""
    found = calls(80)
    supervisor = place.supervisor(*MANY)
    check_all_arrived(place, found)
    assert "attempt.crashed" not in supervisor.log


def test_what_was_taken_when_it_is_told_to_end_is_left_to_others(place: World) -> None:
    found = calls(100)
    first = place.supervisor(*MANY, processes=2)
    eventually(lambda: Call.counts().get("ended", 0) > 10, within=60, what="some have come to their end")
    first.terminate()
    assert first.ended() == 0
    assert "attempt.crashed" not in first.log
    place.supervisor(*MANY, processes=2)
    check_all_arrived(place, found)


def test_branches_that_end_together_are_joined_once_wherever_the_process_is_killed(place: World) -> None:
    place.environment["DIES_AT"] = "spread.page~1,commit.after~25,look.before~2,join.before~1"
    place.open("open")
    asked = Round.start("round", numbers=list(range(COUNT)))
    supervisor = place.supervisor(*MANY)
    asked.wait("ended", timeout=90)
    assert [entry.dest for entry in asked.history if entry.kind == "transition"] == ["ended"]
    assert {branch.state for branch in asked.branches} == {"done"}
    assert len(asked.branches) == COUNT
    runtime = current()
    report = verify(runtime.store, runtime.machines.all(), strict=True)
    assert report.holds, str(report)
    assert supervisor.log.count("worker.lost") == 4
