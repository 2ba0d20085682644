"""A parent with a hundred children of ten steps each, on two worker processes."""

from __future__ import annotations

import time

import pytest

import fsmflow
from tests.support.hundred import STEPS, Race
from tests.support.processes import World

pytestmark = pytest.mark.alone
COUNT = 100


def test_a_hundred_children_of_ten_steps_arrive_within_thirty_seconds(any_place: World) -> None:
    any_place.environment["FSMFLOW_MACHINES"] = "tests.support.hundred"
    fsmflow.configure(
        database_url=any_place.environment["FSMFLOW_DATABASE_URL"],
        redis_url=any_place.environment["FSMFLOW_REDIS_URL"],
        machines=["tests.support.hundred"],
    )
    any_place.supervisor(processes=2)
    started = time.monotonic()
    race = Race.start("1", count=COUNT)
    race.wait("over", timeout=60)
    assert time.monotonic() - started < 30
    keys = (any_place.folder / "steps").read_text().split()
    assert len(keys) == len(set(keys)) == COUNT * STEPS
    assert [entry.trigger for entry in race.history] == [None, "done"]
    assert race.progress == fsmflow.Progress(done=COUNT, failed=0, running=0, total=COUNT)
