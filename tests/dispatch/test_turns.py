"""Which queue a worker looks into first: by priority, and each in its turn where queues have shares."""

from __future__ import annotations

import threading
import time
from collections import Counter as Tally
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fsmflow import DefinitionError, FsmflowError, Machine, State, holds
from fsmflow.dispatch.rqworker import StepWorker
from fsmflow.dispatch.turns import Turns
from fsmflow.objects.counts import demand_object
from fsmflow.queries import queues_of, with_priorities
from fsmflow.running.executor import Executor
from fsmflow.store.work import Ticket
from tests.support.bench import Bench
from tests.support.eventually import eventually


class Parcel(Machine):
    """A parcel that is picked, and sent by a van, first or last as its data say."""

    name = "parcel"
    initial = "new"
    states = [
        State("new"),
        State("picking", job="nothing", queue="slow", priority="low"),
        State("sending", job="nothing", priority="how"),
        State("over", final=True),
    ]
    transitions = [
        ["pick", "new", "picking"],
        ["ship", "new", "sending"],
        ["done", ["picking", "sending"], "over"],
    ]

    def how(self) -> str:
        return str(self.data.get("how", "normal"))

    def nothing(self) -> None:
        """Nothing to do."""


def test_each_queue_is_first_as_often_as_its_share_says() -> None:
    turns = Turns(["urgent", "fast", "fast/low", "slow"], {"fast": 3, "slow": 1})
    orders = [turns.order() for _ in range(8)]
    assert {tuple(sorted(order)) for order in orders} == {("fast", "fast/low", "slow", "urgent")}
    assert {order[0] for order in orders} == {"urgent"}
    assert Tally(order[1] for order in orders) == {"fast": 6, "slow": 2}
    assert all(order.index("fast") + 1 == order.index("fast/low") for order in orders)
    assert [order[1] for order in orders] == ["fast", "fast", "slow", "fast"] * 2, "evenly, not one after all others"


def test_without_shares_the_first_queue_is_always_first() -> None:
    turns = Turns(["b", "a"])
    assert [turns.order(), turns.order()] == [["b", "a"], ["b", "a"]]


@pytest.fixture
def parcels(tmp_path: Path, redis_url: str) -> Bench:
    """Parcels on SQLite."""
    return Bench(redis_url, machines=(Parcel,), database_url=f"sqlite:///{tmp_path}/fsmflow.db")


def worker(bench: Bench, queues: list[str], shares: dict[str, int] | None = None) -> StepWorker:
    return StepWorker(queues, bench.runtime.doorbell, Executor(bench.runtime).execute, lambda: False, shares=shares)


def test_jobs_of_a_queue_with_a_share_are_done_however_many_wait_elsewhere(parcels: Bench) -> None:
    sent = [Parcel.start(f"sent-{number}", how="high") for number in range(6)]
    picked = Parcel.start("picked")
    for parcel in (*sent, picked):
        parcel.trigger("pick" if parcel is picked else "ship")
    queues = with_priorities(["default", "slow"], [Parcel._definition])
    turning = worker(parcels, queues, shares={"default": 2, "slow": 1})
    for _ in range(3):
        assert turning.work_once(block=False)
    assert picked.refresh().state == "over"
    assert sorted(each.refresh().state for each in sent) == ["over"] * 2 + ["sending"] * 4


def test_a_job_of_high_priority_comes_before_the_others_of_its_queue_and_a_low_one_after_them(parcels: Bench) -> None:
    waiting = {how: Parcel.start(how, how=how) for how in ("low", "normal", "high")}
    for parcel in waiting.values():
        parcel.trigger("ship")
    assert queues_of([Parcel._definition]) == ["slow/low", "default/high", "default", "default/low"]
    assert demand_object(parcels.runtime, ["default"])["due"] == 3
    assert "from queue 'default/high'" in str(waiting["high"].explain())
    queues = with_priorities(["slow", "default"], [Parcel._definition])
    assert queues == ["slow", "slow/low", "default/high", "default", "default/low"]
    only = worker(parcels, queues)
    for done in ("high", "normal", "low"):
        assert only.work_once(block=False)
        assert waiting[done].refresh().state == "over"


def test_no_more_of_a_queue_and_its_priorities_are_taken_than_there_is_room_for(parcels: Bench) -> None:
    for how in ("high", "normal", "low"):
        for number in range(2):
            Parcel.start(f"{how}-{number}", how=how).trigger("ship")
    for number in range(3):
        Parcel.start(f"picked-{number}").trigger("pick")
    queues = with_priorities(["default", "slow"], [Parcel._definition])
    several, executor, over = worker(parcels, queues), Executor(parcels.runtime), set[str]()

    def perform(tickets: Sequence[Ticket]) -> None:
        for ticket in tickets:
            executor.execute(ticket)

    def done(left: dict[str, int]) -> set[str]:
        several.work_several(5, perform, block=False, left=lambda: left)
        new = {parcel.entity_id for parcel in Parcel.find() if parcel.state == "over"} - over
        over.update(new)
        return new

    assert done({"default": 3, "slow": 9}) == {"high-0", "high-1", "normal-0", "picked-0", "picked-1"}
    assert done({"default": 0}) == {"picked-2"}
    assert done({}) == {"normal-1", "low-0", "low-1"}
    assert done({}) == set()


def test_who_waits_while_a_queue_is_full_is_woken_and_whoever_is_woken_before_does_not_begin_to(
    parcels: Bench,
) -> None:
    waiting, ended = worker(parcels, ["default", "slow"]), list[bool]()

    def wait() -> None:
        ended.append(waiting.work_several(5, lambda tickets: None, block=True, left=lambda: {"slow": 0}))

    def woken_at_once() -> dict[str, int]:
        waiting.wake()
        return {"slow": 0}

    thread = threading.Thread(target=wait)
    began = time.monotonic()
    thread.start()
    eventually(lambda: waiting.waiting, what="it waits")
    waiting.wake()
    thread.join()
    assert not waiting.work_several(5, lambda tickets: None, block=True, left=woken_at_once)
    assert ended == [False]
    assert time.monotonic() - began < 4, "else it waits five seconds"


def test_a_hold_of_a_queue_keeps_back_what_waits_there_with_any_priority(parcels: Bench) -> None:
    holds.hold(queue="default", reason="the van is broken")
    parcel = Parcel.start("1", how="high")
    parcel.trigger("ship")
    worker(parcels, ["default/high"]).work_once(block=False)
    assert parcel.refresh().state == "sending"
    assert "the van is broken" in str(parcel.explain())


def test_a_method_that_names_no_priority_is_told(parcels: Bench) -> None:
    parcel = Parcel.start("1", how="soon")
    with pytest.raises(FsmflowError, match="returned 'soon'; a priority is one of high, normal, low"):
        parcel.trigger("ship")


@pytest.mark.parametrize("wrong", ["urgent", 3])
def test_a_priority_that_is_none_is_refused_with_those_that_there_are(wrong: Any) -> None:
    with pytest.raises(DefinitionError, match="it is one of high, normal, low, or a method that returns one"):
        type(
            "Odd",
            (Machine,),
            {
                "initial": "a",
                "states": [State("a", job=print, priority=wrong), State("b", final=True)],
                "transitions": [["done", "a", "b"]],
            },
        )
