"""What is wrong with fan-out, undo, waiting, deferral, transactional steps and what holds for a machine as a whole."""

from __future__ import annotations

from enum import Enum
from typing import Any

import peewee
import pytest

from fsmflow import DefinitionError, Machine, State
from tests.definition.test_faults import FINAL, act, faults_of, working


def with_item(machine: Any, item: Any) -> None: ...


def items(machine: Any) -> Any:
    yield 1


class Service(Enum):
    """Names of branches."""

    POLICE = "police"
    FIRE = 1


class Row(peewee.Model):
    status = peewee.CharField(max_length=5)
    note = peewee.TextField()


def fanning(**parameters: Any) -> dict[str, Any]:
    """A machine whose one working state fans out as given."""
    states = [State("open", **parameters), FINAL]
    return {"states": states, "transitions": [["done", "open", "shut"]]}


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"each": "lines"}, "has each=, but neither job= nor machine= says what is done with each item"),
        ({"job": act, "each": "lines"}, "job 'act' has the wrong signature"),
        ({"jobs": []}, "jobs= is an empty list; which jobs should run side by side?"),
        ({"jobs": [act], "each": "lines"}, "has jobs= and each=; each= goes with job= or machine="),
        ({"jobs": [act], "job": act}, "has job= and jobs=; which of them does the work?"),
        ({"jobs": [act], "machine": "other"}, "has jobs= and machine=; which of them does the work?"),
        ({"jobs": [act, "nowhere"]}, "there is no method 'nowhere' for job"),
        ({"jobs": [act], "limit": 0}, "limit=0; it is a whole number from 1"),
        ({"jobs": [act], "limit": True}, "limit=True; it is a whole number from 1"),
        ({"jobs": [act], "branch_failure": "stopp"}, "branch_failure='stopp'; it is 'wait' or 'stop'"),
        ({"job": act, "limit": 3}, "limit= belongs to jobs=, each=, machine= or machines=, and it has none of them"),
        ({"job": act, "branch_failure": "stop"}, "branch_failure= belongs to jobs=, each=, machine= or machines="),
        ({"jobs": {}}, "jobs= is an empty mapping; which jobs should run side by side?"),
        ({"jobs": {"a/b": act}}, "jobs= 'a/b' is no name of a branch: letters, digits, '_' and '-', beginning with a"),
        ({"jobs": {"3": act}}, "jobs= '3' is no name of a branch"),
        ({"jobs": {3: act}}, "jobs= 3 is not a name"),
        ({"jobs": {"": act}}, "jobs= '' is no name of a branch"),
        ({"jobs": {"a" * 65: act}}, "has 65 characters; 64 are allowed"),
        ({"jobs": {"police": "nowhere"}}, "there is no method 'nowhere' for job"),
        ({"jobs": {"police": act, Service.POLICE: act}}, "jobs= two branches are called 'police'"),
        ({"jobs": [lambda machine: None]}, "jobs= '<lambda>' is no name of a branch: letters"),
        ({"jobs": [lambda machine: None]}, 'It was made of what it runs; give it another: jobs={"name": ...}'),
        ({"jobs": dict.fromkeys((f"n{i}" for i in range(201)), act)}, "jobs= has 201 branches; 200 are allowed"),
        ({"jobs": [act], "machines": ["other"]}, "has jobs= and machines=; which of them does the work?"),
        ({"machines": []}, "machines= is an empty list; of which machines are the children?"),
        ({"machines": {"billing": "No Name"}}, "machines= 'No Name' is not a name"),
        ({"machines": {"billing": None}}, "machines= None is not a name"),
        (
            {"machines": {"billing": "other"}, "each": "lines"},
            "has machines= and each=; each= goes with",
        ),
        ({"machines": ["other"], "transactional": True}, "transactional= does not belong here: the children have jobs"),
        ({"job": act, "only": "lines"}, "only= belongs to jobs= or machines=, and it has none of them"),
        ({"machine": "other", "only": "lines"}, "only= picks among jobs= or machines=, and it has none of them"),
        ({"jobs": [act], "only": ""}, "only= is empty; it is a key of data, or a method"),
        ({"jobs": [act], "only": 3}, "only 3 is neither a name nor a function"),
        ({"machine": "No Name"}, "machine= 'No Name' is not a name"),
        ({"machine": "other", "at_most_once": True}, "at_most_once= does not belong here: the children have jobs"),
        ({"jobs": [act], "wait": True}, "wait=True goes with job= alone"),
        ({"job": act, "wait": 1}, "wait=1; it is True or False"),
        ({"job": act, "transactional": "yes"}, "transactional='yes'; it is True or False"),
        ({"job": act, "transactional": True, "timeout": 61}, "timeout=61; of a transactional job it is 60 s at most"),
        ({"job": act, "transactional": True, "timeout": None}, "timeout=None; of a transactional job it is 60 s"),
        ({"job": act, "undo": "nowhere"}, "there is no method 'nowhere' for undo"),
        ({"job": act, "undo": act, "on_failure": "rest"}, "on_failure='rest'; it is 'undo', or left out"),
        ({"job": act, "defer": ["cancle"]}, "defer= unknown trigger 'cancle'; did you mean 'cancel'?"),
        ({"job": act, "ignore": ["done"]}, "ignore= 'done' is fired by fsmflow itself"),
        ({"job": act, "ignore": ["cancel"], "defer": "cancel"}, "'cancel' is in defer= and in ignore="),
    ],
)
def test_a_state_that_cannot_be_meant(parameters: dict[str, Any], fault: str) -> None:
    faults = faults_of(**fanning(**parameters))
    assert any(fault in found for found in faults), faults


@pytest.mark.parametrize("parameter", ["undo", "wait", "transactional", "at_most_once", "on_failure"])
def test_what_belongs_to_jobs_alone(parameter: str) -> None:
    value: Any = {"undo": act, "on_failure": "undo"}.get(parameter, True)
    states = ["ajar", State("open", **{parameter: value}), State("kept", job=act, undo=act), FINAL]
    ways = [["close", "open", "shut"], ["go", "open", "ajar"], ["back", "ajar", "kept"], ["done", "kept", "open"]]
    faults = faults_of(states=states, transitions=ways)
    assert faults == (f"state 'open': {parameter}= does not belong here: it has no job",)


@pytest.mark.parametrize(
    ("attributes", "fault"),
    [
        ({"version": 0}, "version=0; it is a whole number from 1"),
        ({"version": 2}, "version=2, but there is no upgrade(self, data, from_version)"),
        ({"upgrade": act}, "upgrade has the wrong signature"),
        (
            {"renamed_states": {"old": "opne"}},
            "renamed_states: 'old' -> 'opne': unknown state 'opne'; did you mean 'open'",
        ),
        ({"renamed_states": {"open": "shut"}}, "renamed_states: 'open' is still a state of this machine"),
        ({"renamed_states": ["old"]}, "renamed_states is ['old']; it is a dict"),
        ({"on_failure": "undo"}, "no state has undo=, so there is nothing to undo"),
        ({"on_cancel": "stop"}, "on_cancel='stop'; it is 'undo', or left out"),
        ({"on_failed": act}, "on_failed has the wrong signature"),
        ({"on_transition": 5}, "on_transition is 5; it is a method"),
        ({"merge": lambda self, key, theirs, mine: mine}, "merge has the wrong signature"),
        ({"merge": 5}, "merge is 5; it is a method: merge(self, key, base, theirs, mine)"),
        ({"schedule": "every day"}, "schedule='every day'; it is five fields as of cron"),
        ({"schedule": "* * * * * *"}, "schedule='* * * * * *'; it is five fields as of cron"),
        ({"catch_up": "once"}, "catch_up= belongs to schedule=, and there is none"),
        ({"schedule": "0 3 * * *", "catch_up": "all"}, "catch_up='all'; it is 'once' or 'skip'"),
        ({"status_field": "status"}, "status_field is 'status'; it is a field of a model, as OrderRow.status"),
        ({"status_field": Row.status}, "status_field Row.status has room for 5 characters; state 'cancelled' has 9"),
        ({"status_field": Row._meta.primary_key}, "status_field Row.id is the primary key"),
    ],
)
def test_what_is_wrong_with_a_machine_as_a_whole(attributes: dict[str, Any], fault: str) -> None:
    faults = faults_of(**attributes)
    assert any(fault in found for found in faults), faults


@pytest.mark.parametrize(
    ("way", "fault"),
    [
        (["branch_done", "open", "shut"], "'branch_done' from 'open' can never be reached"),
        (["undone", "open", "shut"], "'undone' from 'open' can never be reached"),
        (["undone", "*", "shut"], "'undone' can never be reached, as no state has undo="),
    ],
)
def test_what_only_the_engine_fires_where_it_never_does(way: list[str], fault: str) -> None:
    faults = faults_of(transitions=[["close", "open", "shut"], way])
    assert any(fault in found for found in faults), faults


def test_a_job_that_only_asks_needs_another_way_on_than_done() -> None:
    (fault,) = faults_of(states=[State("open", job=act, wait=True), FINAL], transitions=[["done", "open", "shut"]])
    assert "'done' from 'open' can never be reached" in fault


def test_a_deferred_trigger_that_is_taken_is_a_contradiction() -> None:
    states = [State("open", defer=["close"]), FINAL]
    (fault,) = faults_of(states=states, transitions=[["close", "open", "shut"]])
    assert fault == "state 'open': defer= 'close' never gets there, as transition 1 takes it without a guard"


def test_a_step_called_done_cannot_fan_out() -> None:
    states = [State("done", jobs=[act]), FINAL]
    faults = faults_of(initial="done", states=states, transitions=[["done", "done", "shut"]])
    assert any("cannot be called 'done'" in fault for fault in faults)


def test_every_kind_of_fan_out_is_understood() -> None:
    class Good(Machine):
        initial = "a"
        on_cancel = "undo"
        states = [
            State("a", job=with_item, each="lines", limit=3, undo=act),
            State("b", jobs=[act, "own"], branch_failure="stop", at_most_once=True),
            State("c", machine="good", each=items, timeout=60, undo="own"),
            State("d", job=act, transactional=True, timeout=5),
            State("e", job=act, wait=True, timeout="own", defer=["go"], ignore="poke"),
            State("z", final=True),
        ]
        transitions = [
            ["done", "a", "b"],
            ["branch_failed", "a", "z"],
            ["done", "b", "c"],
            ["done", "c", "d"],
            ["timeout", ["c", "e"], "z"],
            ["done", "d", "e"],
            ["go", "d", "z"],
            ["poke", "d", "z"],
            ["undone", "*", "z"],
        ]

        def own(self) -> None: ...

    definition = Good._definition
    assert set(definition.branches) == {"a", "b", "undoing_a", "undoing_c"}
    assert definition.states["undoing_a"].undoes == "a"
    assert definition.states["failed_from_undoing_c"].is_failed
    assert definition.states["e"].defer == {"go"}
    assert definition.states["failed_from_e"].defer == {"go"}
    assert definition.offers("undo", "z")
    assert not definition.offers("undo", "undoing_a")
    assert definition.states["d"].limit_ms == 5_000


def test_a_state_that_undoes_has_no_way_out_by_a_star() -> None:
    class Star(Machine):
        initial = "a"
        states = [State("a", job=act, undo=act), FINAL]
        transitions = [["done", "a", "shut"], ["leave", "*", "shut"]]

    assert Star._definition.offers("leave", "failed_from_a")
    assert Star._definition.offers("leave", "failed_from_undoing_a")
    assert not Star._definition.offers("leave", "undoing_a")


def test_undone_can_be_declared_only_as_final() -> None:
    with pytest.raises(DefinitionError, match="'undone' keeps its meaning"):
        type("M", (Machine,), working() | {"states": [State("open", job=act), "undone", FINAL]})
