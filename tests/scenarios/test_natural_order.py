"""What operators do one after the other in a script, with no worker in between. With virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fsmflow import Machine, State, TransitionNotAllowed
from tests.support.families import Batch, Child, Family
from tests.support.interruptions import execute_next
from tests.support.sandbox import every_database, sandbox
from tests.support.traces import failing, ran

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")


def failed(box: Any, machine: type[Batch], *lines: int) -> Batch:
    failing.update(lines)
    batch = machine.start("1", lines=list(lines))
    batch.go()
    box.run()
    assert batch.refresh().state == "failed_from_packing"
    failing.clear()
    ran.clear()
    return batch


def test_a_branch_is_skipped_and_then_its_parent_retried() -> None:
    with sandbox(machines=[Batch]) as box:
        batch = failed(box, Batch, 0, 1)
        Batch.get("1/packing/0").skip()
        assert batch.refresh().state == "failed_from_packing"
        batch.retry()
        box.run()
        assert (batch.refresh().state, ran) == ("shipped", [1])


def test_the_last_failed_branch_is_skipped_and_its_parent_has_gone_on() -> None:
    with sandbox(machines=[Batch]) as box:
        batch = failed(box, Batch, 0)
        Batch.get("1/packing/0").skip()
        assert batch.refresh().state == "shipped"


def test_it_is_so_where_a_failure_stops_the_others() -> None:
    class Strict(Batch):
        name = "strict"
        states = [
            "new",
            State("packing", job="pack", each="lines", branch_failure="stop", limit=2),
            State("shipped", final=True),
        ]

    with sandbox(machines=[Strict]) as box:
        batch = failed(box, Strict, 0, 1)
        Strict.get("1/packing/0").skip()
        batch.refresh().retry()
        box.run()
        assert (batch.refresh().state, ran) == ("shipped", [1])


@pytest.mark.parametrize("act", [lambda child: child.force("over"), lambda child: child.skip()], ids=["force", "skip"])
def test_a_child_is_ended_by_an_operator_and_then_its_parent_retried(act: Callable[[Any], object]) -> None:
    with sandbox(machines=[Family, Child]) as box:
        failing.update({0, 1})
        family = Family.start("1", children=[0, 1])
        box.run()
        failing.clear()
        ran.clear()
        act(Child.get("family:1/raising/0"))
        family.refresh().retry()
        box.run()
        assert (family.refresh().state, ran) == ("raised", [1])


def test_a_branch_is_cancelled_and_then_its_parent_skipped() -> None:
    with sandbox(machines=[Batch]) as box:
        batch = Batch.start("1", lines=[0])
        batch.go()
        execute_next(box)
        Batch.get("1/packing/0").cancel()
        assert batch.refresh().state == "failed_from_packing"
        batch.skip()
        assert batch.state == "shipped"


def test_a_parent_that_waits_for_a_branch_says_so_where_it_is_retried() -> None:
    with sandbox(machines=[Batch]) as box:
        batch = failed(box, Batch, 0, 1)
        Batch.get("1/packing/0").retry()
        with pytest.raises(TransitionNotAllowed) as refused:
            batch.refresh().retry()
        assert (
            "'retry' was refused: it is in that step, and waits for its branches (0 of 2 done, 1 failed, 1 running); "
            "a branch that failed can be retried by itself, and the entity once it rests in 'failed_from_packing'"
        ) in str(refused.value)
        Batch.get("1/packing/1").retry()
        box.run()
        assert batch.refresh().state == "shipped"


def test_what_is_still_to_be_passed_down_is_explained() -> None:
    class Crowd(Machine):
        name = "crowd"
        initial = "asking"
        states = [State("asking", machine="child", each="children"), State("over", final=True)]
        transitions = [["done", "asking", "over"]]

    with sandbox(machines=[Crowd, Child]) as box:
        crowd = Crowd.start("1", children=list(range(205)))
        execute_next(box)
        crowd.cancel()
        found = str(crowd.explain())
        assert "its branches are being ended, of which some are still on their way: child:crowd:1/asking/200" in found
        box.run()
        assert "still on their way" not in str(crowd.explain())
