"""States that are members of an Enum: they stand for their names wherever a state is named."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator

import msgspec
import pytest

import fsmflow
from fsmflow import Machine, State, UnknownState, repairs
from fsmflow.testing import Sandbox, sandbox
from tests.support.loans import Depth, Dive, Walk, Way


class Ajar(Machine):
    """Its states are text."""

    initial = "open"
    states = ["open", State("shut", final=True)]
    transitions = [["close", "open", "shut"]]


class Mixed(Machine):
    """Its states are named by members in a State and in a mapping."""

    initial = Depth.top
    states = [{"name": Depth.top}, State("shut", final=True)]
    transitions = [["close", Depth.top, "shut"]]


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(machines=[Walk, Dive, Ajar, Mixed]) as box:
        yield box


@pytest.mark.usefixtures("box")
class TestAnEnum:
    def test_is_what_a_state_is_compared_with(self) -> None:
        dive, walk = Dive.start("1"), Walk.start("1")
        assert dive.state == Depth.top
        assert dive.state != Depth.bottom
        assert Depth.top == dive.state
        assert dive.state in (Depth.middle, Depth.top)
        assert dive.state in {Depth.middle, Depth.top}
        assert (walk.state == Way.here, walk.state == "here", walk.state in {Way.here}) == (True, True, True)
        match dive.state:
            case Depth.top:
                found = "top"
            case _:
                found = "another"
        assert found == "top"

    def test_leaves_a_state_the_text_that_it_was(self) -> None:
        state = Dive.start("1").state
        assert (state, f"{state}", repr(state), json.dumps(state)) == ("top", "top", "'top'", '"top"')
        assert {"top": 1}[state] == 1
        assert pickle.loads(pickle.dumps(state)) == "top"
        assert state not in (None, 5)

    def test_leaves_it_a_plain_text_where_its_members_are_text(self) -> None:
        plain, walk = Ajar.start("1"), Walk.start("1")
        assert (type(plain.state), type(walk.state)) == (str, str)
        assert msgspec.json.encode([plain.state, walk.state]) == b'["open","here"]'
        assert Mixed.start("1").state == Depth.top

    def test_names_a_state_in_every_call(self, box: Sandbox) -> None:
        dive = Dive.start("1", state=Depth.middle)
        assert dive.wait(Depth.middle).state == dive.wait([Depth.bottom, Depth.middle]).state == Depth.middle
        dive.force(Depth.top)
        assert dive.rewind(Depth.middle).state == Depth.middle
        assert [each.entity_id for each in Dive.find(state=Depth.middle)] == ["1"]
        assert [each.entity_id for each in Dive.find(state=[Depth.top, Depth.middle])] == ["1"]
        assert Dive.start_many([("2", None)], state=Depth.middle) == 1
        with (
            fsmflow.feed("deep", machine=Dive, states=[Depth.middle], start="beginning") as feed,
            feed.page(10) as found,
        ):
            assert {entry.state for entry in found} == {"middle"}
        repair = repairs.start("cancel", machine="dive", state=Depth.middle, reason="r")
        box.run()
        assert repair.refresh().report().members == 2
        with pytest.raises(UnknownState, match="did you mean 'top'"):
            dive.force("topp")
