"""Items that change while their branches run: new ones get branches, and nothing is run twice. With virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from fsmflow import HistoryEntry, Machine, State
from fsmflow.store.branches import Branches
from tests.support.interruptions import after_nth, execute_next
from tests.support.machines import Trigger
from tests.support.sandbox import every_database, sandbox
from tests.support.traces import failing, ran

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")


class Growing(Machine):
    """An order whose lines are changed while they are packed."""

    initial = "packing"
    states = [State("packing", job="pack", each="lines"), State("shipped", final=True)]
    transitions = [
        ["done", "packing", "shipped"],
        {"trigger": "change", "source": "packing", "dest": None, "before": "take"},
        {"trigger": "note", "source": "packing", "dest": None, "before": "count"},
    ]
    note: Trigger

    def pack(self, line: Any) -> Any:
        ran.append(line)
        if line in failing:
            raise LookupError(line)
        return line

    def take(self) -> None:
        lines = self.event.payload["lines"]
        if lines is None:
            del self.data["lines"]
        else:
            self.data["lines"] = lines

    def count(self) -> None:
        self.data["count"] = self.data.get("count", 0) + 1


def revisions(machine: Machine) -> list[HistoryEntry]:
    return [entry for entry in machine.history if entry.kind == "revised"]


@pytest.mark.parametrize(
    ("lines", "runs", "told"),
    [
        (["a", "b", "c", "d"], ["a", "b", "c", "d"], None),
        (["a", "b", "b"], ["a", "b", "b"], None),
        (["new", "a", "b"], ["a", "b", "new"], None),
        (["b", "a"], ["a", "b"], None),
        (["a", "B"], ["a", "b"], "item 1 ('b') is another one ('B')"),
        (["a", "B", "c"], ["a", "b", "c"], "item 1 ('b') is another one ('B')"),
        (["b"], ["a", "b"], "item 0 ('a') is gone"),
        (["b", "c"], ["a", "b", "c"], "item 0 ('a') is gone"),
        ([], ["a", "b"], "item 0 ('a') is gone; item 1 ('b') is gone"),
        (None, ["a", "b"], "item 0 ('a') is gone; item 1 ('b') is gone"),
    ],
)
def test_items_that_come_while_the_step_runs_get_branches_and_other_changes_are_told(
    lines: Any, runs: list[str], told: str | None
) -> None:
    with sandbox(machines=[Growing]) as box:
        growing = Growing.start("1", lines=["a", "b"])
        execute_next(box)
        growing.trigger("change", {"lines": lines})
        box.run()
        assert growing.refresh().state == "shipped"
        assert (ran, [branch.item for branch in growing.branches]) == (runs, runs)
        reasons = [entry.reason or "" for entry in revisions(growing)]
        if told is None:
            assert reasons == []
        else:
            (reason,) = reasons
            assert f"each= of 'packing' gives other items than those that have branches: {told}." in reason


def test_an_item_that_comes_as_the_last_branch_has_ended_is_not_lost() -> None:
    with sandbox(machines=[Growing]) as box:
        growing = Growing.start("1", lines=["a"])
        execute_next(box)
        change = lambda: growing.trigger("change", {"lines": ["a", "b"]})  # noqa: E731
        with after_nth(Branches, "first_unsettled", 1, change):
            box.run()
        assert (growing.refresh().state, ran) == ("shipped", ["a", "b"])


def test_the_source_is_not_read_again_where_nothing_has_changed_it() -> None:
    with sandbox(machines=[Growing]) as box:
        growing = Growing.start("1", lines=["a", "b"])
        execute_next(box)
        growing.note()
        growing.pause()
        growing.resume()
        with patch.object(Branches, "items", side_effect=AssertionError("read again")):
            assert box.run() == 2
        assert growing.refresh().state == "shipped"


def test_a_retry_runs_what_failed_and_what_has_come_since() -> None:
    with sandbox(machines=[Growing]) as box:
        failing.add("a")
        growing = Growing.start("1", lines=["a", "b"])
        box.run()
        failing.clear()
        growing.retry(data={"lines": ["a", "B", "c"]})
        box.run()
        assert growing.refresh().state == "shipped"
        assert ran == ["a", "b", "a", "c"] or ran == ["a", "b", "c", "a"]
        assert ["item 1 ('b') is another one ('B')" in (entry.reason or "") for entry in revisions(growing)] == [True]


class Asking(Growing):
    """A method gives the items, as a list that it makes of the data."""

    name = "asking"
    states = [State("packing", job="pack", each="wanted"), State("shipped", final=True)]

    def wanted(self) -> list[str]:
        ran.append("asked")
        return [line.upper() for line in self.data["lines"]]


def test_a_method_that_gives_a_list_is_asked_again_where_data_have_changed() -> None:
    with sandbox(machines=[Asking]) as box:
        asking = Asking.start("1", lines=["a"])
        execute_next(box)
        asking.trigger("change", {"lines": ["a", "b"]})
        box.run()
        assert (asking.refresh().state, ran) == ("shipped", ["asked", "A", "asked", "B"])


class Yielding(Asking):
    """A method yields the items: what it has once yielded to its end is all."""

    name = "yielding"

    def wanted(self) -> Iterator[str]:  # type: ignore[override]
        ran.append("asked")
        yield from self.data["lines"]


def test_a_method_that_yields_is_not_asked_again_once_it_has_come_to_its_end() -> None:
    with sandbox(machines=[Yielding]) as box:
        yielding = Yielding.start("1", lines=["a"])
        execute_next(box)
        yielding.trigger("change", {"lines": ["a", "b"]})
        box.run()
        assert (yielding.refresh().state, ran) == ("shipped", ["asked", "a"])


def test_values_that_are_redacted_are_not_told() -> None:
    class Secret(Growing):
        name = "secret"
        redact = ["lines"]

    with sandbox(machines=[Secret]) as box:
        secret = Secret.start("1", lines=["4111111111111111"])
        execute_next(box)
        secret.trigger("change", {"lines": ["4222222222222222"]})
        box.run()
        (entry,) = revisions(secret)
        assert "have branches: item 0 is another one. The branches stay" in (entry.reason or "")
