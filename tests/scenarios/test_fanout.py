"""Fan-out as its users know it: batches, quorums, first of many, sliding windows, children. With virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fsmflow import DataError, Machine, Outcome, Retry, State, TransitionNotAllowed
from tests.support.sandbox import every_database, sandbox

ran: list[Any] = []
failing: set[Any] = set()


__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    ran.clear()
    failing.clear()


class Batch(Machine):
    initial = "new"
    states = ["new", State("packing", job="pack", each="lines"), State("shipped", final=True)]
    transitions = [
        ["go", "new", "packing"],
        {"trigger": "done", "source": "packing", "dest": "shipped", "before": "sum_up"},
    ]

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
        assert "3 branches failed (batch:1/packing/2, batch:1/packing/5, batch:1/packing/7)" in batch.failure.message
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


def test_a_child_that_failed_is_mended_for_its_own_sake_where_its_parent_has_gone_on() -> None:
    with sandbox(machines=[Shop, Parcel]) as box:
        failing.add("Rome")
        shop = Shop.start("1", boxes=["Rome"])
        shop.go()
        box.advance(minutes=1)
        assert shop.refresh().state == "failed_from_sending"
        shop.skip()
        child = Parcel.get("shop:1/sending/0")
        assert (shop.state, child.state) == ("closed", "failed_from_labelling")
        with pytest.raises(TransitionNotAllowed, match="its parent shop:1 has left that step"):
            child.retry()
        failing.clear()
        child.force("labelling")
        box.run()
        assert child.refresh().state == "waiting"


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


def test_items_are_written_as_they_come_and_never_held_all_at_once() -> None:
    held: list[int] = []

    class Long(Batch):
        name = "long"
        states = ["new", State("packing", job="pack", each="many"), State("shipped", final=True)]
        transitions = [["go", "new", "packing"], ["done", "packing", "shipped"]]

        def many(self) -> Iterator[int]:
            for number in range(1_001):
                progress = self.progress
                held.append(number - (progress.total if progress else 0))
                yield number

    with sandbox(machines=[Long]) as box:
        long = Long.start("1")
        long.go()
        box.run()
        assert long.refresh().state == "shipped"
        assert long.progress.total == len(ran) == 1_001
        assert max(held) <= 200


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


class Parcel(Machine):
    initial = "labelling"
    states = [
        State("labelling", job="label", retry=Retry(max=1, interval=5, jitter=0)),
        State("waiting"),
        State("sent", final=True),
        State("lost", final=True),
    ]
    transitions = [["done", "labelling", "waiting"], ["pick_up", "waiting", "sent"], ["lose", "waiting", "lost"]]

    def label(self) -> dict[str, Any]:
        ran.append(self.address)
        if self.data.get("item") in failing or self.data.get("to") in failing:
            raise ValueError("no label")
        return {"label": f"L-{self.data.get('to', self.data.get('item'))}"}


class Shop(Machine):
    initial = "new"
    states = [
        "new",
        State("sending", machine="parcel", each="boxes", timeout=3_600),
        State("closed", final=True),
        State("late", final=True),
    ]
    transitions = [["go", "new", "sending"], ["done", "sending", "closed"], ["timeout", "sending", "late"]]


def test_children_are_entities_of_their_own_machine() -> None:
    with sandbox(machines=[Shop, Parcel]) as box:
        shop = Shop.start("1", boxes=[{"to": "Rome"}, "Oslo"])
        shop.go()
        box.run()
        assert [branch.address for branch in shop.branches] == [
            "parcel:shop:1/sending/0",
            "parcel:shop:1/sending/1",
        ]
        rome, oslo = (Parcel.get(f"shop:1/sending/{index}") for index in range(2))
        assert (rome.data, oslo.data) == ({"to": "Rome", "label": "L-Rome"}, {"item": "Oslo", "label": "L-Oslo"})
        assert rome.parent.address == "shop:1"
        assert list(Parcel.find()) == []
        assert Parcel.counts() == {}
        assert Parcel.counts(branches=True) == {"waiting": 2}
        rome.pick_up()
        assert shop.refresh().state == "sending"
        assert str(shop.progress) == "1 of 2 done, 1 running"
        oslo.lose()
        # A final state that its user declared is done, whatever its name says.
        assert shop.refresh().state == "closed"


def test_children_that_take_too_long_are_cancelled() -> None:
    with sandbox(machines=[Shop, Parcel]) as box:
        shop = Shop.start("1", boxes=["Rome"])
        shop.go()
        box.run()
        explained = shop.explain()
        assert explained.next_at is not None
        assert (explained.next_at - box.now).total_seconds() == 3_600
        assert "or 'timeout' by itself" in str(explained)
        box.advance(hours=2)
        assert shop.refresh().state == "late"
        assert Parcel.get("shop:1/sending/0").state == "cancelled"


def test_a_child_that_failed_is_retried_through_its_parent_or_by_itself() -> None:
    with sandbox(machines=[Shop, Parcel]) as box:
        failing.update({"Rome", "Oslo"})
        shop = Shop.start("1", boxes=["Rome", "Oslo", "Bonn"])
        shop.go()
        box.advance(minutes=1)
        Parcel.get("shop:1/sending/2").pick_up()
        assert shop.refresh().state == "failed_from_sending"
        failing.clear()
        ran.clear()
        Parcel.get("shop:1/sending/0").retry()
        assert shop.refresh().state == "sending"
        box.run()
        Parcel.get("shop:1/sending/0").pick_up()
        box.run()
        assert shop.refresh().state == "failed_from_sending"
        shop.resume()
        box.run()
        Parcel.get("shop:1/sending/1").pick_up()
        box.run()
        assert shop.refresh().state == "closed"
        assert ran == ["parcel:shop:1/sending/0", "parcel:shop:1/sending/1"]


def test_a_plain_child_starts_with_its_parents_data() -> None:
    class Trip(Machine):
        initial = "parcelling"
        states = [State("parcelling", machine="parcel"), State("over", final=True)]
        transitions = [["done", "parcelling", "over"]]

    with sandbox(machines=[Trip, Parcel]) as box:
        trip = Trip.start("1", to="Rome")
        box.run()
        child = Parcel.get("trip:1/parcelling/0")
        assert child.data == {"to": "Rome", "label": "L-Rome"}
        child.pick_up()
        assert trip.refresh().state == "over"


def test_pause_and_cancel_reach_the_children_and_theirs() -> None:
    class Region(Machine):
        initial = "selling"
        states = [State("selling", machine="shop", each="shops"), State("over", final=True)]
        transitions = [["done", "selling", "over"]]

    with sandbox(machines=[Region, Shop, Parcel]) as box:
        region = Region.start("1", shops=[{"boxes": ["Rome", "Oslo"]}])
        box.run()
        shop = Shop.get("region:1/selling/0")
        shop.go()
        region.pause()
        box.run()
        parcels = [branch.address for branch in shop.branches]
        assert shop.refresh().paused
        assert ran == []
        region.resume()
        box.run()
        assert len(ran) == 2
        assert parcels == [] or len(parcels) == 2
        region.cancel()
        box.run()
        assert shop.refresh().state == "cancelled"
        assert [Parcel.get(f"shop:region:1/selling/0/sending/{index}").state for index in range(2)] == ["cancelled"] * 2


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


def test_hooks_are_told_of_the_start_of_a_child_too() -> None:
    class Loud(Parcel):
        name = "loud"

        def on_transition(self, entry: Any) -> None:
            ran.append((entry.kind, self.address))

    class Mall(Shop):
        name = "mall"
        states = ["new", State("sending", machine="loud", each="boxes"), *Shop.states[2:]]
        transitions = [["go", "new", "sending"], ["done", "sending", "closed"], ["give_up", "sending", "late"]]

    with sandbox(machines=[Mall, Loud]) as box:
        Mall.start("1", boxes=["Rome"]).go()
        box.run()
        assert ran[0] == ("start", "loud:mall:1/sending/0")


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
        for number, (data, words) in enumerate(
            [({"lines": 5}, "gave 5; it gives a list of items"), ({"rows": []}, "data has no 'lines'; it has rows")]
        ):
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
