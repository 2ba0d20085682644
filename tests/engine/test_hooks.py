"""``on_transition`` and ``on_failed``: after the commit, and never able to break the engine."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from fsmflow import Fail, Failure, HistoryEntry, Machine, State
from fsmflow.testing import sandbox
from tests.support.machines import Trigger

heard: list[Any] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    heard.clear()


class Watched(Machine):
    initial = "new"
    states = ["new", State("busy", job="work"), State("over", final=True)]
    transitions = [
        ["go", "new", "busy"],
        ["done", "busy", "over"],
        {"trigger": "note", "source": "*", "dest": None},
    ]
    go: Trigger
    note: Trigger

    def work(self) -> None:
        if self.data.get("breaks"):
            raise Fail("no")

    def on_transition(self, entry: HistoryEntry) -> None:
        # What is told is durable by now: another look shows it.
        heard.append((entry.trigger, entry.dest, Watched.get(self.entity_id).state, self.state))

    def on_failed(self, failure: Failure) -> None:
        heard.append(failure.message)


def test_hooks_are_told_of_each_transition_once_it_is_durable() -> None:
    with sandbox(machines=[Watched]) as box:
        watched = Watched.start("1")
        watched.note()
        watched.go()
        box.run()
        assert heard == [
            (None, "new", "new", "new"),
            ("note", "new", "new", "new"),
            ("go", "busy", "busy", "busy"),
            ("done", "over", "over", "over"),
        ]


def test_a_failure_for_good_is_told_once_with_why() -> None:
    with sandbox(machines=[Watched]) as box:
        watched = Watched.start("1", breaks=True)
        watched.go()
        box.run()
        watched.refresh().note()
        assert [item for item in heard if isinstance(item, str)] == ["no"]


@pytest.mark.parametrize("error", [ValueError("broken"), KeyError("x")])
def test_a_hook_that_raises_breaks_nothing(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Watched):
        name = "broken"

        def on_transition(self, entry: HistoryEntry) -> None:
            raise error

    with sandbox(machines=[Broken]) as box:
        broken = Broken.start("1")
        broken.go()
        box.run()
        assert broken.refresh().state == "over"
    assert "on_transition raised" in caplog.text
    assert "the transition stands" in caplog.text


def test_a_hook_may_act_on_the_entity() -> None:
    class Eager(Watched):
        name = "eager"

        def on_transition(self, entry: HistoryEntry) -> None:
            if entry.dest == "new" and entry.kind == "start":
                self.go()

    with sandbox(machines=[Eager]) as box:
        eager = Eager.start("1")
        box.run()
        assert eager.refresh().state == "over"


def test_a_transaction_that_is_rolled_back_is_not_told_of() -> None:
    with sandbox(machines=[Watched]) as box:
        watched = Watched.start("1")
        heard.clear()
        with contextlib.suppress(RuntimeError), box.database.atomic():
            watched.go()
            raise RuntimeError("never mind")
        assert heard == []
        with box.database.atomic():
            watched.go()
            assert heard == []
        assert heard == [("go", "busy", "busy", "busy")]
        heard.clear()
        with box.database.atomic():
            watched.note()
            with contextlib.suppress(RuntimeError), box.database.atomic():
                watched.cancel()
                raise RuntimeError("never mind")
            Watched.get("1").note()
        assert [trigger for trigger, *_ in heard] == ["note", "note"]
