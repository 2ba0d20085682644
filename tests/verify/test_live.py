"""``verify`` again and again beside workers that are at it: what is half-way is never taken for wrong."""

from __future__ import annotations

import pytest

import fsmflow
from fsmflow.engine import runtime
from fsmflow.verify import verify
from tests.support.eventually import eventually
from tests.support.hundred import Race
from tests.support.processes import World

pytestmark = pytest.mark.alone
PARENTS = 6
CHILDREN = 4


def test_there_is_no_false_alarm_while_workers_are_at_it(any_place: World) -> None:
    any_place.environment["FSMFLOW_MACHINES"] = "tests.support.hundred"
    fsmflow.configure(
        database_url=any_place.environment["FSMFLOW_DATABASE_URL"],
        redis_url=any_place.environment["FSMFLOW_REDIS_URL"],
        machines=["tests.support.hundred"],
    )
    any_place.supervisor(processes=2)
    races = [Race.start(str(number), count=CHILDREN) for number in range(PARENTS)]
    here = runtime.current()
    seen: set[int] = set()

    def all_over() -> bool:
        report = verify(here.store, here.machines.all())
        if report.violations:
            raise RuntimeError(str(report))
        seen.add(report.checked["history_rows"])
        return all(race.refresh().state == "over" for race in races)

    eventually(all_over, within=60, what="the end of all races")
    assert len(seen) > 1, "it was looked at while it went on"
    report = verify(here.store, here.machines.all())
    assert report.holds
    assert report.checked["entities"] == PARENTS * (CHILDREN + 1)
    assert report.checked["work_rows"] == 0
