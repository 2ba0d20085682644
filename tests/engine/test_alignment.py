"""What is passed down to branches and children: pauses, cancels and retries, whoever comes in between."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from fsmflow import Fail, Machine, State, TransitionConflict, TransitionNotAllowed
from fsmflow.decision import asker
from fsmflow.engine import alignment, followup
from fsmflow.running import claim as claim_of
from fsmflow.running import executor as executor_of
from fsmflow.testing import sandbox
from tests.support.families import Batch, Booking, Child, Family
from tests.support.interruptions import after_nth, elsewhere, execute_next
from tests.support.traces import failing, ran


def test_a_parent_that_is_cancelled_while_it_is_retried_revives_no_child() -> None:
    with sandbox(machines=[Family, Child]) as box:
        failing.update(range(3))
        family = Family.start("1", children=list(range(3)))
        box.run()
        assert family.refresh().state == "failed_from_raising"
        ran.clear()
        failing.clear()
        family.retry()
        # While the worker goes through the failed children, the family is cancelled: after it has revived the first.
        with after_nth(alignment, "try_on", 1, lambda: Family.get("1").cancel()):
            box.run()
        assert family.refresh().state == "cancelled"
        box.advance(minutes=30)
        assert ran == []


def test_a_branch_is_not_left_paused_when_its_parent_is_resumed_while_a_worker_looks_at_it() -> None:
    with sandbox(machines=[Batch]) as box:
        batch = Batch.start("1", lines=[0])
        batch.go()
        execute_next(box)  # the branch is made
        with patch.object(followup, "align", lambda *_, **__: False):  # he who pauses dies before he passes it down
            batch.pause()
        # The worker that has claimed the branch has read its parent, as that is resumed.
        with after_nth(claim_of, "_parent_of", 1, lambda: Batch.get("1").resume()):
            execute_next(box)
        box.advance(hours=1)
        assert not Batch.get("1/packing/0").paused
        assert batch.refresh().state == "shipped"


def test_a_pass_down_that_was_overtaken_by_a_resume_leaves_no_branch_paused() -> None:
    with sandbox(machines=[Family, Child]) as box:
        family = Family.start("1", children=[0])
        ticket = box._doorbell.take()
        assert ticket is not None
        elsewhere(lambda: executor_of.Executor(box._runtime).execute(ticket))
        # One process passes a pause down; it has read the parent and the branch, as another resumes the parent.
        with after_nth(alignment, "_out_of_line", 1, lambda: Family.get("1").resume()):
            family.pause()
        box.advance(hours=1)
        assert not Child.get("family:1/raising/0").paused
        assert family.refresh().state == "raised"


def test_a_child_that_is_being_undone_is_cancelled_once_however_often_it_is_passed_down() -> None:
    class Plain(Machine):
        name = "plain"
        initial = "touring"
        states = [State("touring", machine="booking", each="stops"), State("over", final=True)]
        transitions = [["done", "touring", "over"]]

    with sandbox(machines=[Plain, Booking]) as box:
        plain = Plain.start("1", stops=[1])
        executor = executor_of.Executor
        for _ in range(2):
            ticket = box._doorbell.take()
            assert ticket is not None
            elsewhere(lambda ticket=ticket: box._runtime.ring_for(executor(box._runtime).execute(ticket)))
        assert ran == ["book 1"]
        # Both he who cancels and a sweeper pass it down, as the task is due at once.
        row = plain._view.snapshot.row
        plain.cancel()
        elsewhere(lambda: alignment.align(box._runtime, row, pages=1))
        box.run()
        child = Booking.get("plain:1/touring/0")
        assert (child.state, ran) == ("undone", ["book 1", "unbook 1 True"])


def test_one_branch_can_be_retried_by_itself_where_a_failure_stops_the_others() -> None:
    class Strict(Batch):
        name = "strict"
        states = [
            "new",
            State("packing", job="pack", each="lines", branch_failure="stop"),
            State("shipped", final=True),
        ]

    with sandbox(machines=[Strict]) as box:
        failing.update({0, 1})
        batch = Strict.start("1", lines=[0, 1])
        batch.go()
        box.run()
        assert batch.refresh().state == "failed_from_packing"
        failing.clear()
        ran.clear()
        branch = Strict.get("1/packing/0")
        branch.retry()
        # No worker is free for a while, and somebody looks at the parent.
        box._clock.move_to(box._clock.now() + 6_000)
        box._maintenance.sweep()
        box.run()
        assert (Strict.get("1/packing/0").state, ran) == ("done", [0])


def test_a_child_that_cannot_be_cancelled_keeps_none_of_the_others_from_it() -> None:
    class Touchy(Machine):
        name = "touchy"
        initial = "resting"
        states = ["resting", State("over", final=True)]
        transitions = [
            {"trigger": "cancel", "source": "resting", "dest": "cancelled", "before": "check"},
            ["end", "resting", "over"],
        ]

        def check(self) -> None:
            if self.data["item"] == 0:
                raise RuntimeError("a fault of the user's")

    class Parent(Machine):
        name = "parent"
        initial = "raising"
        states = [State("raising", machine="touchy", each="children"), State("raised", final=True)]
        transitions = [["done", "raising", "raised"]]

    with sandbox(machines=[Parent, Touchy]) as box:
        parent = Parent.start("1", children=[0, 1])
        box.run()
        parent.cancel()
        box.advance(minutes=10)
        assert Touchy.get("parent:1/raising/1").state == "cancelled"


class Nested(Machine):
    """A child that fans out."""

    initial = "packing"
    states = [State("packing", job="pack", each="lines"), State("shipped", final=True)]
    transitions = [["done", "packing", "shipped"]]

    def pack(self, item: Any) -> None:
        ran.append((item, self.idempotency_key))
        if item in failing:
            raise ValueError("no")


class Outer(Machine):
    initial = "raising"
    states = [
        State("raising", machine="nested", each="children", branch_failure="stop"),
        State("raised", final=True),
    ]
    transitions = [["done", "raising", "raised"]]


def test_what_was_done_in_a_child_that_was_stopped_is_not_done_again_when_the_parent_is_retried() -> None:
    with sandbox(machines=[Outer, Nested]) as box:
        failing.add("bad")
        outer = Outer.start("1", children=[{"lines": ["a", "b"]}, {"lines": ["bad"]}])
        for _ in range(3):
            execute_next(box)  # the parent and both children make their branches
        execute_next(box)  # a
        tickets = box._doorbell._tickets
        tickets.rotate(1)  # bad comes before b
        box.run()
        assert outer.refresh().state == "failed_from_raising"
        assert [item for item, _ in ran] == ["a", "bad"]
        failing.clear()
        outer.retry()
        box.run()
        assert outer.refresh().state == "raised"
        assert sorted(item for item, _ in ran) == ["a", "b", "bad", "bad"]


def test_a_branch_that_was_stopped_in_its_job_goes_on_with_the_same_key() -> None:
    class Strict(Nested):
        name = "strict"
        states = [State("packing", job="pack", each="lines", branch_failure="stop"), State("shipped", final=True)]

        def pack(self, item: Any) -> None:
            if item == "slow" and not ran:
                elsewhere(lambda: execute_next(box))  # meanwhile the other one fails
            Nested.pack(self, item)

    with sandbox(machines=[Strict]) as box:
        failing.add("bad")
        strict = Strict.start("1", lines=["slow", "bad"])
        box.run()
        assert strict.refresh().state == "failed_from_packing"
        failing.clear()
        strict.retry()
        box.run()
        assert strict.refresh().state == "shipped"
        assert len({key for item, key in ran if item == "slow"}) == 1


def test_children_that_are_made_while_the_parent_is_paused_do_not_run() -> None:
    class Lazy(Machine):
        name = "lazy"
        initial = "raising"
        states = [State("raising", machine="child", each="children"), State("raised", final=True)]
        transitions = [["done", "raising", "raised"]]

        def children(self) -> Iterator[int]:
            elsewhere(lambda: Lazy.get("1").pause())
            yield 0

    with sandbox(machines=[Lazy, Child]) as box:
        lazy = Lazy.start("1")
        box.advance(hours=1)
        assert lazy.refresh().paused
        assert ran == []


def test_a_branch_that_is_retried_while_its_parent_makes_branches_is_retried_or_refused_in_the_words_of_users() -> None:
    with sandbox(machines=[Batch]) as box:
        failing.add(0)
        batch = Batch.start("1", lines=[0, 1])
        batch.go()
        box.run()
        batch.retry()
        with contextlib.suppress(TransitionNotAllowed, TransitionConflict):
            Batch.get("1/packing/0").retry()


def test_a_branch_that_failed_in_a_pause_is_run_again_after_it() -> None:
    broken = [True]

    class Crate(Machine):
        initial = "new"
        states = ["new", State("packing", job="pack", each="lines"), State("packed", final=True)]
        transitions = [["go", "new", "packing"], ["done", "packing", "packed"]]

        def pack(self, line: int) -> None:
            if broken[0]:
                with asker.outside():
                    Crate.get("1").pause()
                    Crate.get("1").branches[0].entity().pause()
                raise Fail("no box")

    with sandbox([Crate]) as box:
        crate = Crate.start("1", lines=[1])
        crate.trigger("go")
        box.run()
        assert crate.refresh().paused
        crate.resume()
        box.run()
        assert crate.refresh().state == "failed_from_packing"
        broken[0] = False
        crate.retry()
        box.advance(minutes=1)
        assert crate.refresh().state == "packed"
