"""Who is told of which state, and what is wrong with what was said of it."""

from __future__ import annotations

from typing import Any

import pytest

from fsmflow import DataError, Machine, Tell
from fsmflow.definition.tell import Told
from tests.definition.test_faults import FINAL, faults_of, working


def test_a_pattern_means_states_and_each_channel_is_told_once() -> None:
    wanted = {"shut": "ops", "failed_from_*": ["ops", "log"], "*": Tell("ops", fields=["a.b", "a.b"])}
    body: Any = {**working(), "initial": "open", "tell": wanted}
    door: Any = type("Door", (Machine,), body)
    told = door._definition.wide.tell
    assert told["failed_from_open"] == (Told(channel="ops", fields=("a.b",)), Told(channel="log"))
    assert told["open"] == told["shut"] == told["cancelled"] == (Told(channel="ops", fields=("a.b",)),)


def test_a_trigger_and_a_source_mean_the_states_that_they_lead_to() -> None:
    wanted = {"*": Tell("ops", trigger=["fail", "shut_*"]), "shut": [Tell("log", trigger="*", source="open"), "pager"]}
    body: Any = {**working(), "initial": "open", "tell": wanted}
    body["transitions"] = [*body["transitions"], ["shut_up", "open", None]]
    told = type("Door", (Machine,), body)._definition.wide.tell  # type: ignore[attr-defined]
    assert told == {
        "open": (Told(channel="ops", triggers=frozenset({"shut_up"})),),
        "failed_from_open": (Told(channel="ops", triggers=frozenset({"fail"})),),
        "shut": (
            Told(channel="pager"),
            Told(channel="log", triggers=frozenset({"done", "force", "rewind"}), sources=frozenset({"open"})),
        ),
    }


def test_a_method_of_that_name_is_the_users_own() -> None:
    door: Any = type("Door", (Machine,), {**working(job="tell"), "initial": "open", "tell": lambda self: None})
    assert door._definition.wide.tell == {}


@pytest.mark.parametrize(
    ("tell", "fault"),
    [
        (["ops"], "tell=['ops']; it is a dict of states and channels, as in tell = {'shipped': 'shop', "),
        ({"shutt": "ops"}, "tell: no state is meant by 'shutt'; did you mean 'shut'?"),
        ({"failed_from_*": "ops"}, "tell: no state is meant by 'failed_from_*'"),
        ({5: "ops"}, "tell: no state is meant by 5"),
        ({"shut": []}, "tell: 'shut' is []; it takes names of channels, or Tell(...)"),
        ({"shut": 5}, "tell: 'shut' is 5; it takes names of channels, or Tell(...)"),
        ({"shut": Tell("ops", trigger="forced")}, "tell: 'shut': nothing leads there by 'forced'; did you mean 'force"),
        (
            {"shut": Tell("ops", trigger="x")},
            "tell: 'shut': nothing leads there by 'x'; it takes 'close', 'force",
        ),
        ({"shut": ["ops", Tell("ops", source="shut")]}, "tell: 'shut': nothing leads there from 'shut'"),
        ({"shut": Tell("ops", fields=["card.number"])}, "tell: 'card.number' is redacted, and what is told leaves "),
    ],
)
def test_what_cannot_be_is_a_fault(tell: Any, fault: str) -> None:
    (found,) = faults_of(tell=tell, redact=["card"], states=["open", FINAL])
    assert found.startswith(fault)


def test_what_tell_takes_is_checked_as_it_is_made() -> None:
    assert repr(Tell("ops", "log", fields="amount")) == "Tell('ops', 'log', fields=['amount'])"
    assert repr(Tell("ops", trigger="a", source=["b"])) == "Tell('ops', trigger=['a'], source=['b'])"
    with pytest.raises(DataError, match="one or several names of channels"):
        Tell()
    with pytest.raises(DataError, match="it takes keys of data"):
        Tell("ops", fields=[5])  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"Tell\(..., trigger=\[\]\): it takes triggers, as in trigger='approve'"):
        Tell("ops", trigger=[])
