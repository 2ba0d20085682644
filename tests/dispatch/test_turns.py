"""Which queue a worker looks into first: by priority, and each in its turn where queues have shares."""

from __future__ import annotations

from collections import Counter as Tally
from pathlib import Path
from typing import Any

import pytest

from fsmflow import DefinitionError, FsmflowError, Machine, State, holds
from fsmflow.dispatch.rqworker import StepWorker
from fsmflow.dispatch.turns import Turns
from fsmflow.objects.counts import demand_object
from fsmflow.queries import queues_of, with_priorities
from fsmflow.running.executor import Executor
from tests.support.bench import Bench


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
