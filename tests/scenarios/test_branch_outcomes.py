"""What outcomes of branches mean: nothing, and that is told. With virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from fsmflow import DefinitionError, Machine, Outcome, State
from fsmflow.testing import sandbox
from tests.support.traces import ran

FAN_OUTS: Mapping[str, Mapping[str, Any]] = {
    "each": {"job": "check", "each": "items"},
    "jobs": {"jobs": ["check_one", "check_other"]},
}


def applicant(fan: Mapping[str, Any]) -> type[Machine]:
    """A machine that has a transition for what its branches ask for."""

    class Applicant(Machine):
        initial = "checking"
        states = [State("checking", **fan), State("accepted", final=True), State("refused", final=True)]
        transitions = [["done", "checking", "accepted"], ["declined", "checking", "refused"]]

        def check(self, item: int) -> Any:
            ran.append(item)
            return Outcome("declined", code=51) if len(ran) == 1 else {"code": 0}

        def check_one(self) -> Any:
            return self.check(1)

        def check_other(self) -> Any:
            return self.check(2)

    return Applicant


@pytest.mark.parametrize("fan", FAN_OUTS.values(), ids=FAN_OUTS.keys())
def test_a_branch_that_asks_for_a_transition_fails_and_says_what_to_return(fan: Mapping[str, Any]) -> None:
    machine = applicant(fan)
    with sandbox(machines=[machine]) as box:
        entity = machine.start("1", items=[1, 2])
        box.run()
        assert entity.refresh().state == "failed_from_checking"
        failure = entity.branches[0].failure
        assert failure is not None
        assert failure.message == (
            "the job returned Outcome('declined'), but a branch has no outcomes: it is done, or it fails. Return what "
            "it found; a guard of its parent's 'done', or of 'branch_done', decides by that, as self.branches shows "
            "it. It cannot be kept; retry runs the job again"
        )
        entity.retry()
        box.run()
        assert (entity.refresh().state, ran) == ("accepted", [1, 2, 1])


def test_an_outcome_of_a_child_fires_there() -> None:
    class Check(Machine):
        name = "check"
        initial = "asking"
        states = [State("asking", job="ask"), State("passed", final=True), State("declined", final=True)]
        transitions = [["done", "asking", "passed"], ["decline", "asking", "declined"]]

        def ask(self) -> Outcome:
            return Outcome("decline", code=51)

    class Applicant(Machine):
        initial = "checking"
        states = [State("checking", machine="check"), State("checked", final=True)]
        transitions = [["done", "checking", "checked"]]

    with sandbox(machines=[Applicant, Check]) as box:
        entity = Applicant.start("1")
        box.run()
        assert (entity.refresh().state, Check.get("applicant:1/checking/0").state) == ("checked", "declined")


def test_a_job_of_branches_that_says_that_it_returns_an_outcome_is_a_fault() -> None:
    with pytest.raises(DefinitionError) as wrong:

        class Applicant(Machine):
            initial = "checking"
            states = [State("checking", job="check", each="items"), State("accepted", final=True)]
            transitions = [["done", "checking", "accepted"]]

            def check(self, item: int) -> Outcome | None:
                return Outcome("declined") if item else None

    assert "job 'check' says that it returns an Outcome, and a branch has none" in str(wrong.value)
