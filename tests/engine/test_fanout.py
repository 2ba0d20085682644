"""Branches that wait for their turn, branches that are joined, and a parent that is told of each of them."""

from __future__ import annotations

import contextlib
from typing import Any
from unittest.mock import patch

from fsmflow import Machine, Progress, State, TransitionNotAllowed
from fsmflow.engine import followup
from fsmflow.running import executor as executor_of
from fsmflow.testing import sandbox
from tests.support.families import Batch, Child
from tests.support.interruptions import after_nth, elsewhere, execute_next
from tests.support.machines import Trigger
from tests.support.traces import ran


def test_branches_that_wait_for_their_turn_get_it_where_the_limit_has_gone() -> None:
    class Limited(Batch):
        name = "limited"
        states = ["new", State("packing", job="pack", each="lines", limit=1), State("shipped", final=True)]

    class Unlimited(Batch):
        name = "limited"

    with sandbox(machines=[Limited]) as box:
        batch = Limited.start("1", lines=[0, 1, 2])
        batch.go()
        ticket = box._doorbell.take()
        assert ticket is not None
        elsewhere(lambda: box._runtime.ring_for(executor_of.Executor(box._runtime).execute(ticket)))
        box._machines._sources = (Unlimited,)
        with patch.object(box._machines, "get", lambda name, _d=Unlimited: definition_of_class(_d)):
            box.advance(hours=1)
            assert ran == [0, 1, 2]


def definition_of_class(machine: type[Machine]) -> Any:
    return machine._definition


class Counting(Batch):
    name = "counting"
    transitions = [
        ["go", "new", "packing"],
        {"trigger": "branch_done", "source": "packing", "dest": None, "before": "count"},
        ["done", "packing", "shipped"],
    ]

    def count(self) -> None:
        self.data["count"] = self.data.get("count", 0) + 1


def test_a_parent_is_told_of_many_branches_without_a_break_of_ten_minutes() -> None:
    with sandbox(machines=[Counting]) as box:
        batch = Counting.start("1", lines=list(range(120)))
        batch.go()
        with patch.object(followup, "look", lambda *_: None):  # whoever should have looked was killed before
            while box._doorbell._tickets:
                execute_next(box)
        assert len(ran) == 120
        box.advance(seconds=30)
        assert batch.refresh().state == "shipped"
        assert batch.data["count"] == 120


def test_the_last_branch_that_settles_while_somebody_looks_is_seen_soon() -> None:
    with sandbox(machines=[Batch]) as box:
        batch = Batch.start("1", lines=[0])
        batch.go()
        execute_next(box)
        box._clock.move_to(box._clock.now() + 6_000)
        row = batch._view.snapshot.row
        branches = type(box._runtime.store.branches)

        def settle() -> None:
            # Its worker is killed once this is committed.
            with patch.object(followup, "look", lambda *_: None):
                execute_next(box)

        with after_nth(branches, "first_unsettled", 1, settle):
            box._maintenance._handle(
                box._runtime.store.work.due(box._clock.now(), 9, doorbells=False)[0], box._clock.now()
            )
        assert row
        assert ran == [0]
        box.advance(seconds=30)
        assert batch.refresh().state == "shipped"


def test_a_child_that_waits_for_its_turn_and_is_triggered_keeps_the_limit() -> None:
    class Slow(Machine):
        name = "slow"
        initial = "new"
        states = ["new", State("busy", job="act"), State("over", final=True)]
        transitions = [["go", "new", "busy"], ["done", "busy", "over"]]
        go: Trigger

        def act(self) -> None:
            ran.append(str(self.parent.progress))

    class Many(Machine):
        name = "many"
        initial = "raising"
        states = [State("raising", machine="slow", each="children", limit=1), State("raised", final=True)]
        transitions = [["done", "raising", "raised"]]

    with sandbox(machines=[Many, Slow]) as box:
        Many.start("1", children=[0, 1, 2])
        execute_next(box)
        for index in range(3):
            with contextlib.suppress(TransitionNotAllowed):
                Slow.get(f"many:1/raising/{index}").go()
        progress = Many.get("1").progress
        assert isinstance(progress, Progress)
        assert progress.running <= 1


def test_a_parent_whose_timeout_is_refused_is_joined_all_the_same() -> None:
    class Patient(Machine):
        name = "patient"
        initial = "raising"
        states = [
            State("raising", machine="child", each="children", timeout=60),
            State("raised", final=True),
            State("late", final=True),
        ]
        transitions = [["done", "raising", "raised"], ["timeout", "raising", "late", "never"]]

        def never(self) -> bool:
            return False

    class Calm(Child):
        name = "child"
        states = [State("busy", job="act"), "resting", State("over", final=True)]
        transitions = [["done", "busy", "resting"], ["end", "resting", "over"]]
        end: Trigger

    with sandbox(machines=[Patient, Calm]) as box:
        patient = Patient.start("1", children=[0])
        box.advance(hours=1)
        with patch.object(followup, "look", lambda *_: None):  # it is killed once its child has been ended
            Calm.get("patient:1/raising/0").end()
        box.advance(hours=1)
        assert patient.refresh().state == "raised"


def test_a_guard_of_branch_done_that_raises_is_shown_as_a_failure_and_decided_again_after_the_fix() -> None:
    broken = [True]

    class Guarded(Batch):
        name = "guarded_batch"
        transitions = [
            ["go", "new", "packing"],
            {"trigger": "branch_done", "source": "packing", "dest": "shipped", "conditions": "is_enough"},
            ["done", "packing", "shipped"],
        ]

        def is_enough(self) -> bool:
            if broken:
                raise KeyError("a fault of the user's")
            return False

    with sandbox(machines=[Guarded]) as box:
        batch = Guarded.start("1", lines=[0])
        batch.go()
        box.advance(hours=1)
        assert batch.refresh().state == "failed_from_packing"
        broken.clear()
        batch.retry()
        box.run()
        assert (batch.refresh().state, ran) == ("shipped", [0])
