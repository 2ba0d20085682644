"""Fan-outs that end early or go in a window: quorums, the first of many, lazy sources. With virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fsmflow import Machine, State
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
        assert [Race.get(f"1/racing/{index}").state for index in range(3)] == [
            "cancelled",
            "cancelled",
            "done",
        ]
        assert [branch.failure and branch.failure.message for branch in race.branches] == ["slow", "broken", None]


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
        window = Window.start("1", count=1_000)
        box.run()
        assert window.refresh().state == "crawled"
        assert [page for page, _ in ran] == list(range(1_000))
        assert max(running for _, running in ran) == 3
        assert str(window.progress) == "1000 of 1000 done, 0 running"


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
