"""Queues of which no more than so many jobs run beside each other in a process, while others go on."""

from __future__ import annotations

from typing import Any

from tests.support.eventually import eventually
from tests.support.loop_flows import Errand
from tests.support.processes import World


def errands(count: int, queue: str, trigger: str = "go", **data: Any) -> list[Errand]:
    found = [Errand.start(f"{trigger}-{queue}-{number}", queue=queue, **data) for number in range(count)]
    for errand in found:
        errand.trigger(trigger)
    return found


def begun(world: World, found: list[Errand]) -> int:
    return sum(bool(world.effects(errand.entity_id)) for errand in found)


def spans(found: list[Errand]) -> list[tuple[float, float]]:
    """When each began and ended, once all have."""
    for errand in found:
        errand.wait("ended", timeout=60)
    return [(errand.refresh().data["began"], errand.data["over"]) for errand in found]


def most_at_once(spans: list[tuple[float, float]]) -> int:
    return max(sum(began <= moment < over for began, over in spans) for moment, _ in spans)


def test_a_queue_with_room_for_two_never_has_three_and_the_other_goes_on(sampled_place: World) -> None:
    slow = errands(16, "slow", seconds=0.05)
    plain = errands(2, "slow", "go_plainly")
    fast = errands(30, "fast", seconds=0.05)
    sampled_place.supervisor("--queues", "slow:2,fast:20")
    slow_spans, fast_spans = spans([*slow, *plain]), spans(fast)
    assert most_at_once(slow_spans) == 2
    assert most_at_once(fast_spans) > 2
    slow_ended = max(over for _, over in slow_spans)
    assert max(over for _, over in fast_spans) < slow_ended, "none waits for the full queue"
    assert slow_ended - min(began for began, _ in slow_spans) < 20, "nine waits of five seconds"


def test_what_has_no_room_is_for_others_and_sigterm_lets_what_runs_end(place: World) -> None:
    slow = errands(4, "slow", gate="open")
    first = place.supervisor("--queues", "slow:2=1,fast:3=1")
    eventually(lambda: begun(place, slow) == 2, within=30, what="two that wait at the gate")
    spans(errands(6, "fast"))
    assert begun(place, slow) == 2
    place.supervisor("--queues", "slow:2,fast")
    eventually(lambda: begun(place, slow) == 4, within=30, what="the others, in another process")
    first.terminate()
    eventually(lambda: "finishing the running steps" in first.log, within=30, what="it is told to end")
    place.open("open")
    assert first.ended() == 0
    spans(slow)
    assert {len(place.effects(errand.entity_id)) for errand in slow} == {1}
    assert len({place.effect(errand.entity_id, "running").pid for errand in slow}) == 2
