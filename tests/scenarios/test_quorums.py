"""Fan-outs that end early or go in a window: quorums, the first of many, lazy sources. With virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from fsmflow import Machine, Progress, State
from fsmflow.engine import followup
from fsmflow.store.branches import Branches
from tests.support.interruptions import after_nth, execute_next
from tests.support.sample import SAMPLED
from tests.support.sandbox import every_database, sandbox
from tests.support.traces import failing, ran

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")


class Quorum(Machine):
    """Five are asked; three that approve are enough, three that reject as well."""

    initial = "asking"
    states = [
        State("asking", job="ask", each="reviewers"),
        State("approved", final=True),
        State("rejected", final=True),
    ]
    transitions = [
        {"trigger": "branch_done", "source": "asking", "dest": "approved", "conditions": "enough_approve"},
        {"trigger": "branch_done", "source": "asking", "dest": "rejected", "conditions": "enough_reject"},
        ["done", "asking", "rejected"],
    ]

    def ask(self, reviewer: str) -> bool:
        ran.append(reviewer)
        return reviewer.startswith("yes")

    def verdicts(self) -> list[Any]:
        return [branch.result for branch in self.branches if branch.is_done]

    def enough_approve(self) -> bool:
        return self.verdicts().count(True) >= 3

    def enough_reject(self) -> bool:
        return self.verdicts().count(False) >= 3


@pytest.mark.parametrize(
    ("reviewers", "state", "asked"),
    [
        (["yes1", "no1", "yes2", "yes3", "no2"], "approved", 4),
        (["no1", "no2", "yes1", "no3", "yes2"], "rejected", 4),
    ],
)
def test_a_quorum_of_three_of_five(reviewers: list[str], state: str, asked: int) -> None:
    with sandbox(machines=[Quorum]) as box:
        quorum = Quorum.start("1", reviewers=reviewers)
        box.run()
        assert quorum.refresh().state == state
        assert len(ran) == asked
        left = Quorum.get(f"1/asking/{asked}")
        assert left.state == "cancelled"
        told = [entry.payload["index"] for entry in quorum.history if entry.trigger == "branch_done"]
        assert told == [asked - 1]


class Race(Machine):
    """The first of three that answers wins; those that fail do not matter, unless all do."""

    initial = "racing"
    states = [State("racing", jobs=["slow", "broken", "quick"]), State("won", final=True)]
    transitions = [
        {"trigger": "branch_done", "source": "racing", "dest": "won", "before": "note_winner"},
        ["done", "racing", "won"],
    ]

    def slow(self) -> str:
        if "slow" in failing:
            raise LookupError("slow")
        return "slow"

    def broken(self) -> str:
        raise LookupError("broken")

    def quick(self) -> str:
        return "quick"

    def note_winner(self) -> None:
        self.data["winner"] = self.event.payload["result"]


def test_the_first_of_three_wins_and_the_others_are_cancelled() -> None:
    with sandbox(machines=[Race]) as box:
        failing.add("slow")
        race = Race.start("1")
        box.run()
        assert race.refresh().state == "won"
        assert race.data["winner"] == "quick"
        states = [Race.get(f"1/racing/{name}").state for name in ("slow", "broken", "quick")]
        assert states == ["cancelled", "cancelled", "done"]
        assert [branch.failure and branch.failure.message for branch in race.branches] == ["slow", "broken", None]


#: More than are read at once.
COUNT = 300 if SAMPLED else 1_000


class Window(Machine):
    """At most three at once, from a source that comes lazily."""

    initial = "crawling"
    states = [State("crawling", job="fetch", each="pages", limit=3, queue="slow"), State("crawled", final=True)]
    transitions = [["done", "crawling", "crawled"], ["enough", "crawling", "crawled"]]
    pulled = 0

    def pages(self) -> Iterator[int]:
        for number in range(self.data["count"]):
            Window.pulled = max(Window.pulled, number + 1)
            yield number

    def fetch(self, page: int) -> int:
        running = self.parent.progress.running
        ran.append((page, running))
        return page


def test_a_sliding_window_over_a_lazy_source() -> None:
    Window.pulled = 0
    with sandbox(machines=[Window]) as box:
        window = Window.start("1", count=COUNT)
        box.run()
        assert window.refresh().state == "crawled"
        assert [page for page, _ in ran] == list(range(COUNT))
        assert max(running for _, running in ran) == 3
        assert str(window.progress) == f"{COUNT} of {COUNT} done, 0 running"


def test_a_lazy_source_is_not_read_far_ahead() -> None:
    class Early(Window):
        name = "early"
        transitions = [*Window.transitions, ["branch_done", "crawling", "crawled", "is_fifth"]]

        def is_fifth(self) -> bool:
            return bool(self.event.payload["item"] == 4)

    Window.pulled = 0
    with sandbox(machines=[Early]) as box:
        early = Early.start("1", count=100_000)
        box.run()
        assert early.refresh().state == "crawled"
        assert Window.pulled <= 300
        assert [page for page, _ in ran] in (list(range(5)), list(range(6)), list(range(7)))


class Contest(Machine):
    """Notes of each runner that has arrived who is there by then."""

    initial = "running"
    states = [State("running", job="run", each="runners"), State("over", final=True)]
    transitions = [
        {"trigger": "branch_done", "source": "running", "dest": None, "before": "note"},
        {"trigger": "branch_failed", "source": "running", "dest": None, "before": "note"},
        {"trigger": "look", "source": "running", "dest": None, "before": "note"},
        ["done", "running", "over"],
    ]

    def run(self, runner: str) -> str:
        ran.append(runner)
        if runner in failing:
            raise LookupError(runner)
        return runner.upper()

    def note(self) -> None:
        done = [branch.result for branch in self.branches if branch.is_done]
        failed = [branch.item for branch in self.branches if branch.is_failed]
        progress = self.progress
        assert isinstance(progress, Progress)
        assert (progress.done, progress.failed) == (len(done), len(failed))
        assert [b.result for b in self.branches if not b.is_done] == [None] * (len(self.branches) - len(done))
        self.data.setdefault("told", []).append([self.event.payload.get("item"), done, failed])


def settled(box: Any, *order: int) -> Contest:
    """A contest whose runners have arrived in this order, and that has not been told of any."""
    contest = Contest.start("1", runners=["ann", "bob", "cyd"])
    execute_next(box)
    with patch.object(followup, "look", lambda *_: None):  # whoever should look dies before it does
        tickets = sorted(box._doorbell._tickets, key=lambda ticket: ticket.row)
        box._doorbell._tickets.clear()
        for index in order:
            box._doorbell._tickets.append(tickets[index])
            box._clock.move_to(box._clock.now() + 1)
            execute_next(box)
    return contest


def test_a_parent_is_told_of_each_arrival_in_order_and_sees_those_that_it_was_told_of() -> None:
    with sandbox(machines=[Contest]) as box:
        failing.add("ann")
        contest = settled(box, 2, 0, 1)
        contest.trigger("look")
        box.advance(seconds=30)
        assert contest.refresh().data["told"] == [
            [None, [], []],
            ["cyd", ["CYD"], []],
            ["ann", ["CYD"], ["ann"]],
            ["bob", ["BOB", "CYD"], ["ann"]],
        ]
        assert contest.state == "failed_from_running"


def test_an_arrival_is_told_before_the_join_however_late_it_comes() -> None:
    with sandbox(machines=[Contest]) as box:
        contest = Contest.start("1", runners=["ann"])
        execute_next(box)

        def arrive() -> None:
            with patch.object(followup, "look", lambda *_: None):
                execute_next(box)

        # It arrives as somebody has looked for what is to be told, and has not yet looked for who is under way.
        with after_nth(Branches, "untold", 1, arrive):
            box._clock.move_to(box._clock.now() + 9_000)
            box._maintenance.sweep()
        box.advance(seconds=30)
        assert contest.refresh().state == "over"
        assert contest.data["told"] == [["ann", ["ANN"], []]]


def test_a_branch_that_goes_on_while_its_parent_is_told_of_its_end_is_told_of_its_next_end() -> None:
    with sandbox(machines=[Contest]) as box:
        failing.add("ann")
        contest = settled(box, 0)
        failing.clear()
        with after_nth(Branches, "untold", 1, lambda: Contest.get("1/running/0").retry()):
            box.advance(seconds=30)
        assert contest.refresh().data["told"] == [
            ["ann", ["ANN"], []],
            ["bob", ["ANN", "BOB"], []],
            ["cyd", ["ANN", "BOB", "CYD"], []],
        ]
