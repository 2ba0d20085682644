"""``heartbeat=`` and ``within=`` in real processes: what is silent counts as lost, what takes too long is ended."""

from __future__ import annotations

import pytest

from tests.support.process_flows import Watched
from tests.support.processes import World


@pytest.mark.parametrize("how", ["silent", "deaf"])
def test_a_job_that_gives_no_sign_of_life_counts_as_lost_and_is_run_again(any_place: World, how: str) -> None:
    any_place.supervisor(processes=1)
    watched = Watched.start("1", how=how)
    watched.trigger("go")
    assert watched.wait("over", timeout=30).state == "over"
    (crash,) = [entry for entry in watched.history if entry.kind == "crashed"]
    assert crash.failure is not None
    assert crash.failure.error_type == "WorkerLost"
    assert "gave no sign of life" in crash.failure.message
    assert len(any_place.effects("1", "digging")) == 2


def test_a_job_that_tells_that_it_lives_is_left_alone_however_long_it_takes(place: World) -> None:
    place.supervisor(processes=1)
    watched = Watched.start("1", how="signs")
    watched.trigger("go")
    assert watched.wait("over", timeout=30).state == "over"
    assert len(place.effects("1", "digging")) == 1


@pytest.mark.parametrize("how", ["fails", "long"])
def test_a_step_that_has_used_up_its_time_fails_whatever_it_does_with_it(sampled_place: World, how: str) -> None:
    sampled_place.supervisor(processes=1)
    watched = Watched.start("1", how=how)
    watched.trigger("go_bounded")
    watched.wait(timeout=30)
    assert watched.state == "failed_from_bounded"
    assert watched.failure is not None
    assert watched.failure.error_type == "StepTimeout"
    quick = Watched.start("2")
    quick.trigger("go")
    assert quick.wait("over", timeout=30).state == "over"
