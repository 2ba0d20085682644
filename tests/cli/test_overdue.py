"""What is in its state for longer than is expected there: told, found, and never moved."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from fsmflow import DefinitionError, Machine, State
from fsmflow.diagram.labels import marks
from fsmflow.engine.runtime import current
from fsmflow.testing import Sandbox, sandbox
from tests.support.interruptions import execute_next
from tests.support.machines import Trigger
from tests.support.terminal import Terminal

HOUR = 3_600


class Parcel(Machine):
    """Is packed by several, and collected within four hours, as a rule."""

    name = "parcel"
    initial = "waiting_for_van"
    renamed_states = {"waiting_for_car": "waiting_for_van"}
    states = [
        State("waiting_for_van", expect=timedelta(hours=4)),
        State("packing", job="pack", each="lines", expect=HOUR),
        "lost",
        State("gone", final=True),
    ]
    transitions = [
        ["collect", "waiting_for_van", "packing"],
        ["lose", "waiting_for_van", "lost"],
        ["done", "packing", "gone"],
        ["turn_up", "lost", "gone"],
    ]
    collect: Trigger
    lose: Trigger

    def pack(self, line: Any) -> None: ...


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(machines=[Parcel]) as made:
        yield made


@pytest.fixture
def shell(box: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


def test_what_is_overdue_is_told_wherever_somebody_looks_and_stays_where_it_is(box: Sandbox, shell: Terminal) -> None:
    parcel, told = Parcel.start(1), "expected within 4 h, here for 6 h 10 min"
    Parcel.start(2).lose()
    box.advance(4 * HOUR)
    assert parcel.explain().overdue is None
    assert list(Parcel.find(overdue=True)) == []
    Parcel.start(3)
    box.advance(2 * HOUR + 600)
    assert parcel.refresh().explain().overdue == told
    assert f"overdue:     {told}" in shell.ok("explain", "parcel:1")
    assert f"overdue   {told}" in shell.ok("show", "parcel:1")
    assert shell.ok("list", "--overdue").splitlines()[1].endswith(f"overdue: {told}")
    assert [each["overdue"] for each in shell.json("list")] == [told, None, None]
    assert "6 h, overdue: expected within 4 h" in shell.ok("stats")
    assert shell.json("stats")["overdue"] == [{"machine": "parcel", "state": "waiting_for_van"}]
    assert parcel.state == "waiting_for_van"
    assert "expected within 4 h" in "".join(marks(Parcel._definition.states["waiting_for_van"]))


def test_a_changed_definition_counts_at_once_under_the_former_name_of_a_state_too(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    Parcel.start(1)
    current().store.link.execute("UPDATE fsmflow_entity SET state = 'waiting_for_car'")
    box.advance(2 * HOUR)
    assert list(Parcel.find(overdue=True)) == []
    spec = Parcel._definition.states["waiting_for_van"]
    object.__setattr__(spec, "expect_ms", HOUR * 1000)
    try:
        assert [each.entity_id for each in Parcel.find(overdue=True, state="waiting_for_van")] == ["1"]
        assert list(Parcel.find(overdue=True, state="lost")) == []
        assert list(Parcel.find(overdue=True, older=3 * HOUR)) == []
    finally:
        object.__setattr__(spec, "expect_ms", 4 * HOUR * 1000)


def test_a_step_is_overdue_as_a_whole_and_no_branch_of_it_is(box: Sandbox, shell: Terminal) -> None:
    parcel = Parcel.start(1, lines=["a", "b"])
    parcel.collect()
    execute_next(box)
    parcel.pause()
    box.advance(2 * HOUR)
    assert [each.entity_id for each in Parcel.find(overdue=True, branches=True)] == ["1"]
    told = [each["overdue"] is not None for each in shell.json("list", "--branches")]
    assert told == [True, False, False]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (State("open", expect=0), "state 'open': expect=0; it is seconds or a timedelta above 0"),
        (State("open", expect=60, timeout=60), "state 'open': expect=60 says nothing: timeout= ends a stay before"),
        (State("open", expect=60, final=True), "state 'open': expect= does not belong here: a final state does"),
    ],
)
def test_an_expectation_that_could_never_be_missed_is_a_fault(state: State, told: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        type("Odd", (Machine,), {"initial": "open", "states": [state, "over"], "transitions": [["go", "open", "over"]]})
    assert told in str(raised.value)
