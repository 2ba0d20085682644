"""A step for each line of a batch: joined once and in order, and only what failed is run again. With virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fsmflow import DataError, Machine, Outcome, Progress, State, TransitionNotAllowed
from tests.support.machines import Trigger
from tests.support.sample import SAMPLED
from tests.support.sandbox import every_database, sandbox
from tests.support.traces import failing, ran

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")


class Batch(Machine):
    initial = "new"
    states = ["new", State("packing", job="pack", each="lines"), State("shipped", final=True)]
    transitions = [
        ["go", "new", "packing"],
        {"trigger": "done", "source": "packing", "dest": "shipped", "before": "sum_up"},
    ]
    go: Trigger

    def pack(self, item: Any) -> Any:
        ran.append(item)
        if item in failing:
            raise ValueError(f"no box for {item}")
        return {"box": item, "of": self.entity_id, "key": self.idempotency_key}

    def sum_up(self) -> None:
        self.data["boxes"] = [branch.result["box"] for branch in self.branches]


def test_after_the_fix_exactly_the_three_that_failed_are_run_again() -> None:
    with sandbox(machines=[Batch]) as box:
        failing.update({2, 5, 7})
        batch = Batch.start("1", lines=list(range(10)))
        batch.go()
        box.run()
        assert batch.refresh().state == "failed_from_packing"
        assert str(batch.progress) == "7 of 10 done, 3 failed, 0 running"
        assert batch.failure is not None
        assert (
            "(the first of 3 branches that failed: batch:1/packing/2, batch:1/packing/5, batch:1/packing/7)"
            in batch.failure.message
        )
        keys = [branch.result["key"] for branch in batch.branches if branch.is_done]
        ran.clear()
        failing.clear()
        batch.resume()
        box.run()
        assert batch.refresh().state == "shipped"
        assert ran == [2, 5, 7]
        assert batch.data["boxes"] == list(range(10))
        assert len(set(keys)) == 7
        assert [entry.trigger for entry in batch.history] == ["start", "go", "fail", "retry", "done"] or [
            entry.trigger for entry in batch.history
        ] == [None, "go", "fail", "retry", "done"]


@pytest.mark.parametrize("count", [0, 1, 450])
def test_lists_of_any_length_are_joined_once_and_in_order(count: int) -> None:
    with sandbox(machines=[Batch]) as box:
        batch = Batch.start("1", lines=list(range(count)))
        batch.go()
        box.run()
        assert batch.refresh().state == "shipped"
        assert batch.data["boxes"] == list(range(count))
        assert [entry.trigger for entry in batch.history].count("done") == 1


def test_one_branch_is_retried_by_itself_and_the_parent_goes_back_for_it() -> None:
    with sandbox(machines=[Batch]) as box:
        failing.update({0, 1})
        batch = Batch.start("1", lines=[0, 1, 2])
        batch.go()
        box.run()
        ran.clear()
        failing.clear()
        branch = Batch.get("1/packing/1")
        assert (branch.state, branch.address, branch.item) == ("failed_from_packing", "batch:1/packing/1", 1)
        branch.retry(actor="alice")
        assert batch.refresh().state == "packing"
        box.run()
        assert ran == [1]
        # The other one still has failed.
        assert batch.refresh().state == "failed_from_packing"
        batch.retry()
        box.run()
        assert ran == [1, 0]
        assert batch.refresh().state == "shipped"


def test_a_branch_whose_parent_has_gone_on_is_not_retried() -> None:
    with sandbox(machines=[Batch]) as box:
        failing.add(0)
        batch = Batch.start("1", lines=[0])
        batch.go()
        box.run()
        batch.cancel()
        # What it left behind is cancelled too, so that no failure stays that nobody can mend.
        assert Batch.get("1/packing/0").state == "cancelled"
        with pytest.raises(TransitionNotAllowed):
            Batch.get("1/packing/0").retry()


def test_edited_data_is_for_the_parent_as_branches_have_none() -> None:
    with sandbox(machines=[Batch]) as box:
        failing.add(0)
        batch = Batch.start("1", lines=[0])
        batch.go()
        box.run()
        with pytest.raises(DataError, match="has none of its own"):
            Batch.get("1/packing/0").retry(data={"x": 1})
        assert repr(batch.refresh().branches) == "<1 branches: batch:1/packing/0 in 'failed_from_packing'>"
        assert batch.branches == list(batch.branches)
        assert [entry.attempt for entry in batch.history if entry.trigger == "fail"] == [1]


def test_a_branch_sees_its_parents_data_and_cannot_change_it() -> None:
    class Looker(Batch):
        name = "looker"

        def pack(self, item: Any) -> Any:
            ran.append((self.data["factor"] * item, self.address, self.parent.address))
            self.data["factor"] = 3

    with sandbox(machines=[Looker]) as box:
        looker = Looker.start("1", lines=[5], factor=2)
        looker.go()
        box.run()
        assert ran == [(10, "looker:1/packing/0", "looker:1")]
        assert looker.refresh().state == "failed_from_packing"
        failure = looker.branches[0].failure
        assert failure is not None
        assert "cannot change it" in failure.message


#: Some pages, and one more.
COUNT = 401 if SAMPLED else 1_001


def test_items_are_written_as_they_come_and_never_held_all_at_once() -> None:
    held: list[int] = []

    class Long(Batch):
        name = "long"
        states = ["new", State("packing", job="pack", each="many"), State("shipped", final=True)]
        transitions = [["go", "new", "packing"], ["done", "packing", "shipped"]]

        def many(self) -> Iterator[int]:
            for number in range(COUNT):
                progress = self.progress
                held.append(number - (progress.total if isinstance(progress, Progress) else 0))
                yield number

    with sandbox(machines=[Long]) as box:
        long = Long.start("1")
        long.go()
        box.run()
        assert long.refresh().state == "shipped"
        assert isinstance(long.progress, Progress)
        assert long.progress.total == len(ran) == COUNT
        assert max(held) <= 200


def test_the_first_failure_stops_the_others_where_asked() -> None:
    class Strict(Batch):
        name = "strict"
        states = [
            "new",
            State("packing", job="pack", each="lines", branch_failure="stop", limit=2),
            State("shipped", final=True),
        ]

    with sandbox(machines=[Strict]) as box:
        failing.add(1)
        batch = Strict.start("1", lines=list(range(6)))
        batch.go()
        box.run()
        assert batch.refresh().state == "failed_from_packing"
        assert 5 not in ran
        failing.clear()
        done = [branch.item for branch in batch.branches if branch.is_done]
        ran.clear()
        batch.retry()
        box.run()
        assert batch.refresh().state == "shipped"
        assert sorted([*ran, *done]) == list(range(6))


def test_results_and_the_event_are_there_for_what_comes_after_the_join_and_for_the_branches() -> None:
    class Sum(Machine):
        initial = "new"
        states = [
            "new",
            State("doubling", job="double", each="numbers"),
            State("adding", job="add"),
            State("over", final=True),
        ]
        transitions = [["go", "new", "doubling"], ["done", "doubling", "adding"], ["done", "adding", "over"]]
        go: Trigger

        def double(self, number: int) -> int:
            ran.append((self.event.trigger, self.event.payload, self.event.actor))
            return number * 2

        def add(self) -> dict[str, int]:
            return {"total": sum(branch.result for branch in self.branches)}

    with sandbox(machines=[Sum]) as box:
        total = Sum.start("1", numbers=[1, 2, 3])
        total.go(actor="bob", k=3)
        box.run()
        assert total.refresh().data["total"] == 12
        assert [branch.result for branch in total.branches] == [2, 4, 6]
        assert ran == [("go", {"k": 3}, "bob")] * 3


def test_new_keys_are_for_what_is_run_again() -> None:
    with sandbox(machines=[Batch]) as box:
        failing.add(1)
        batch = Batch.start("1", lines=[0, 1])
        batch.go()
        box.run()
        key = Batch.get("1/packing/1").idempotency_key
        failing.clear()
        ran.clear()
        batch.refresh().retry(new_key=True)
        box.run()
        assert (batch.refresh().state, ran) == ("shipped", [1])
        assert batch.branches[1].result["key"] != key


def test_a_second_visit_has_branches_of_its_own() -> None:
    class Twice(Batch):
        name = "twice"
        states = [*Batch.states[:2], "resting", State("shipped", final=True)]
        transitions = [
            ["go", ["new", "resting"], "packing"],
            ["done", "packing", "resting"],
            ["stop", "resting", "shipped"],
        ]

    with sandbox(machines=[Twice]) as box:
        twice = Twice.start("1", lines=["a"])
        for _ in range(2):
            twice.go()
            box.run()
        first, second = Twice.get("1/packing/0"), Twice.get("1/packing.2/0")
        assert first.idempotency_key != second.idempotency_key
        assert ran == ["a", "a"]


def test_what_each_gives_must_be_items() -> None:
    with sandbox(machines=[Batch]) as box:
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"lines": 5}, "batch:0: each='lines' of 'packing' gave 5; it gives a list of items"),
            ({"rows": []}, "batch:1: each='lines' of 'packing' finds nothing: data has no 'lines'; it has rows"),
        ]
        for number, (data, words) in enumerate(wrong):
            batch = Batch.start(str(number), data)
            batch.go()
            box.run()
            assert batch.refresh().state == "failed_from_packing"
            assert batch.failure is not None
            assert words in batch.failure.message


def test_a_branch_whose_worker_dies_runs_again_and_the_join_fires_once() -> None:
    with sandbox(machines=[Batch]) as box:
        batch = Batch.start("1", lines=[0, 1, 2])
        batch.go()
        box.crash("pack")
        box.run()
        assert batch.refresh().state == "shipped"
        assert sorted(ran) == [0, 1, 2] or sorted(ran) == [0, 0, 1, 2]
        assert [entry.trigger for entry in batch.history].count("done") == 1


def test_a_branch_may_not_lead_elsewhere() -> None:
    class Stray(Batch):
        name = "stray"

        def pack(self, item: Any) -> Any:
            return Outcome("go")

    with sandbox(machines=[Stray]) as box:
        stray = Stray.start("1", lines=[1])
        stray.go()
        box.run()
        failure = stray.refresh().branches[0].failure
        assert failure is not None
        assert "Outcome('go')" in failure.message
