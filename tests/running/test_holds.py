"""Holds under real workers: nothing is taken once one is made, and all of it goes on, whoever is killed on the way."""

from __future__ import annotations

import time

from fsmflow import holds
from fsmflow.engine.runtime import current
from fsmflow.verify import verify
from tests.support.eventually import eventually
from tests.support.process_flows import Chain
from tests.support.processes import World

COUNT = 40


def begun_after(world: World, moment: float) -> list[str]:
    """The entities whose second job has begun after a moment."""
    return [effect.entity_id for effect in world.all_effects() if effect.state == "two" and effect.at > moment]


def test_what_is_held_begins_nowhere_and_goes_on_though_supervisors_are_killed(sampled_place: World) -> None:
    first = sampled_place.supervisor(processes=2)
    for number in range(COUNT // 2):
        Chain.start(f"early-{number}").trigger("go")
    eventually(lambda: begun_after(sampled_place, 0.0), within=30, what="a second job")
    hold = holds.hold("chain", state="two", reason="maintenance")
    made = time.time()
    for number in range(COUNT // 2):
        Chain.start(f"late-{number}").trigger("go")
    late = [f"late-{number}" for number in range(COUNT // 2)]
    eventually(lambda: {Chain.get(name).state for name in late} == {"two"}, within=60, what="all who came later wait")
    # A worker parks what is held when its doorbell comes to it; each of the two may have taken one before.
    parked = COUNT // 2 - 2
    eventually(lambda: sum(holds.kept_back().values()) >= parked, within=60, what="all who wait are parked")
    first.kill()
    second = sampled_place.supervisor(processes=2)
    # What each of the two processes had taken by then may still begin, and may be run again.
    assert len(set(begun_after(sampled_place, made))) <= 2
    taken = set(begun_after(sampled_place, 0.0))
    assert {Chain.get(name).state for name in late} == {"two"}
    holds.release(hold.number, rate=10)
    eventually(lambda: set(begun_after(sampled_place, 0.0)) - taken, within=30, what="the first that is let go")
    second.kill()
    sampled_place.supervisor(processes=2)
    names = [f"{kind}-{number}" for kind in ("early", "late") for number in range(COUNT // 2)]
    for name in names:
        Chain.get(name).wait("ended", timeout=90)
    assert all(sum(entry.trigger == "done" for entry in Chain.get(name).history) == 3 for name in names)
    eventually(lambda: not holds.current_holds(), within=30, what="the hold is forgotten")
    runtime = current()
    report = verify(runtime.store, runtime.machines.all())
    assert report.holds, str(report)
