"""Limits under real workers that are killed: never more than may, none waits for ever, and what may run does."""

from __future__ import annotations

import time

from fsmflow.engine.runtime import current
from fsmflow.verify import verify
from tests.support.eventually import eventually
from tests.support.process_flows import folder
from tests.support.processes import World
from tests.support.servers import WHOLE
from tests.support.tolls import MOST, Toll

COUNT = 200 if WHOLE else 12
#: One of so many kills its worker.
FATAL = 20 if WHOLE else 6


def noted() -> list[tuple[float, str, str]]:
    """When the jobs of entities began and ended, in order."""
    path = folder() / "gate"
    if not path.exists():
        return []
    lines = (line.split() for line in path.read_text().splitlines())
    return sorted((float(at), what, entity) for at, what, entity in lines)


def ended(notes: list[tuple[float, str, str]], killed_at: float) -> list[tuple[float, str, str]]:
    """The same with the ends of those that were killed in the middle: they begin once more."""
    found, inside = list(notes), set[str]()
    for _, what, entity in notes:
        if what == "begin" and entity in inside:
            found.append((killed_at, "end", entity))
        (inside.add if what == "begin" else inside.discard)(entity)
    return sorted(found)


def at_once(notes: list[tuple[float, str, str]]) -> tuple[int, float]:
    """How many were between their beginning and their end at most, and which share of all places was taken."""
    inside = most = 0
    busy, last = 0.0, notes[0][0]
    for at, what, _ in notes:
        busy += (at - last) * min(inside, MOST)
        inside, last = inside + (1 if what == "begin" else -1), at
        most = max(most, inside)
    return most, busy / MOST / (last - notes[0][0])


def test_never_more_than_may_and_none_is_left_though_workers_are_killed(sampled_place: World) -> None:
    for number in range(COUNT):
        Toll.start(str(number), seconds=0.2 if WHOLE else 0.05, dies=number % FATAL == 3).trigger("go")
    first = sampled_place.supervisor(processes=4 if WHOLE else 3)
    second = sampled_place.supervisor(processes=4) if WHOLE else None
    eventually(lambda: len(noted()) > COUNT // 2, within=60, what="half of them")
    killed_at = time.time()
    if second is not None:
        first.kill()
        sampled_place.supervisor(processes=4)
    eventually(lambda: Toll.counts().get("over", 0) == COUNT, within=120, what="all are through")
    most, share = at_once(ended(noted(), killed_at))
    assert most == MOST, f"{share:.0%} of all places were taken"
    runtime = current()
    report = verify(runtime.store, runtime.machines.all(), strict=True)
    assert report.holds, str(report)
