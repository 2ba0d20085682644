"""Dest ``"undo"``: all that was done is undone, by a transition of the user's own. With virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from fsmflow import DefinitionError, Fail, Machine, State, TransitionNotAllowed
from fsmflow.diagram import mermaid
from tests.support.machines import Trigger
from tests.support.sandbox import every_database, sandbox

__all__ = ["every_database"]  # a fixture
pytestmark = pytest.mark.usefixtures("every_database")

done: list[Any] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    done.clear()


class Stay(Machine):
    """Booked and paid, and looked at by somebody, who may refuse it."""

    initial = "new"
    states = [
        "new",
        State("booking", job="book", undo="unbook"),
        State("paying", job="pay", undo="repay"),
        State("reviewing", timeout=3_600),
        State("telling", job="tell"),
        State("refused", final=True),
        State("confirmed", final=True),
    ]
    transitions = [
        ["go", "new", "booking"],
        ["skip_all", "new", "reviewing"],
        ["done", "booking", "paying"],
        ["fail", "paying", "undo"],
        ["done", "paying", "reviewing"],
        ["refuse", "reviewing", "undo", "may_refuse"],
        ["timeout", "reviewing", "undo"],
        ["confirm", "reviewing", "confirmed"],
        {"trigger": "undone", "source": "*", "dest": "telling", "before": "note"},
        ["done", "telling", "refused"],
    ]
    go: Trigger
    skip_all: Trigger
    refuse: Trigger

    def book(self) -> dict[str, Any]:
        done.append("book")
        return {"room": 12}

    def unbook(self) -> None:
        done.append("unbook")

    def pay(self) -> None:
        if self.data.get("broke"):
            raise Fail("card declined")
        done.append("pay")

    def repay(self) -> None:
        done.append("repay")

    def may_refuse(self) -> bool:
        return not self.data.get("regular")

    def note(self) -> None:
        done.append(f"note {self.failure.message if self.failure else '-'}")

    def tell(self) -> None:
        done.append(f"tell {self.failure.message if self.failure else '-'}")


def test_it_undoes_all_that_was_done_and_goes_where_undone_leads() -> None:
    with sandbox(machines=[Stay]) as box:
        stay = Stay.start("1")
        stay.go()
        box.run()
        stay.refuse()
        assert stay.state == "undoing_paying"
        box.run()
        assert done == ["book", "pay", "repay", "unbook", "note -", "tell -"]
        assert stay.refresh().state == "refused"


def test_of_a_failed_step_it_is_told_why_also_after_the_undo() -> None:
    with sandbox(machines=[Stay]) as box:
        stay = Stay.start("1", broke=True)
        stay.go()
        box.run()
        assert done == ["book", "repay", "unbook", "note card declined", "tell card declined"]
        assert (stay.refresh().state, stay.failure) == ("refused", None)


def test_guards_are_asked_first_and_refuse_in_their_own_words_once() -> None:
    with sandbox(machines=[Stay]) as box:
        stay = Stay.start("1", regular=True)
        stay.go()
        box.run()
        with pytest.raises(TransitionNotAllowed) as caught:
            stay.refuse()
        assert str(caught.value).count("may_refuse") == 1
        assert stay.refresh().state == "reviewing"


def test_where_nothing_was_done_it_is_undone_at_once() -> None:
    with sandbox(machines=[Stay]):
        stay = Stay.start("1")
        stay.skip_all()
        stay.refuse()
        assert (stay.refresh().state, done) == ("undone", [])


def test_it_is_drawn_as_the_choice_of_what_is_undone_next() -> None:
    text = mermaid(Stay._definition)
    assert "reviewing --> next_to_undo: refuse [may_refuse]" in text.replace("#95;", "_").replace("#91;", "[")
    assert "paying --> next_to_undo: fail" in text
    assert "reviewing --> undone" not in text


@pytest.mark.parametrize(
    ("way", "fault"),
    [
        (["refuse", "open", "undone"], "'refuse' to 'undone' would pass by the undo jobs; dest 'undo' undoes all"),
        (["refuse", "open", "undoing_work"], "'refuse' to 'undoing_work' would pass by the undo jobs"),
        (["refuse", "undoing_work", "undo"], "dest 'undo' does not belong at 'undoing_work'"),
        (["refuse", "failed_from_undoing_work", "undo"], "dest 'undo' does not belong at 'failed_from_undoing_work'"),
    ],
)
def test_a_way_past_the_undo_jobs_is_refused(way: list[Any], fault: str) -> None:
    with pytest.raises(DefinitionError) as caught:

        class Wrong(Machine):
            initial = "work"
            states = [State("work", job="act", undo="act"), "open", State("over", final=True)]
            transitions = [["done", "work", "open"], ["end", "open", "over"], way]

            def act(self) -> None: ...

    assert fault in str(caught.value)


def test_without_any_undo_there_is_nothing_to_lead_to() -> None:
    with pytest.raises(DefinitionError, match="dest 'undo' undoes nothing, as no state has undo="):

        class Wrong(Machine):
            initial = "open"
            states = ["open", State("over", final=True)]
            transitions = [["end", "open", "over"], ["refuse", "open", "undo"]]


def test_a_way_out_that_fsmflow_makes_is_one() -> None:
    class Kept(Machine):
        """Kept until somebody undoes it; what failed may be given up."""

        initial = "working_on"
        states = [
            State("working_on", job="act", undo="act"),
            "kept",
            State("parked", on_enter=[]),
            State("again", job="act"),
            State("over", final=True),
        ]
        transitions = [
            ["done", "working_on", "kept"],
            ["park", "failed_from_working_on", "parked"],
            ["unpark", "parked", "failed_from_again"],
            ["done", "again", "over"],
        ]

        def act(self) -> None: ...

    assert set(Kept._definition.states) >= {"kept", "again"}
