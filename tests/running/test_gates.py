"""Limits under real workers that are killed: never more than may, none waits for ever, and what may run does."""

from __future__ import annotations

import time

from fsmflow.engine.runtime import current
from fsmflow.verify import verify
from tests.support.eventually import eventually
from tests.support.gates import business, noted, with_ends
from tests.support.process_flows import folder
from tests.support.processes import World
from tests.support.servers import WHOLE
from tests.support.tolls import MOST, Toll

COUNT = 200 if WHOLE else 12
#: One of so many kills its worker.
FATAL = 20 if WHOLE else 6


def test_never_more_than_may_and_none_is_left_though_workers_are_killed(sampled_place: World) -> None:
    for number in range(COUNT):
        Toll.start(str(number), seconds=0.2 if WHOLE else 0.05, dies=number % FATAL == 3).trigger("go")
    first = sampled_place.supervisor(processes=4 if WHOLE else 3)
    second = sampled_place.supervisor(processes=4) if WHOLE else None
    eventually(lambda: len(noted(folder())) > COUNT // 2, within=60, what="half of them")
    killed_at = time.monotonic()
    if second is not None:
        first.kill()
        sampled_place.supervisor(processes=4)
    eventually(lambda: Toll.counts().get("over", 0) == COUNT, within=120, what="all are through")
    found = business(with_ends(noted(folder()), killed_at), MOST)
    assert found.most == MOST, f"{found.share:.0%} of all places were taken"
    runtime = current()
    report = verify(runtime.store, runtime.machines.all(), strict=True)
    assert report.holds, str(report)
