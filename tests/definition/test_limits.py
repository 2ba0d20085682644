"""Faults of names and parameters: what is reserved, collides, is out of range, or not in this release."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from fsmflow import DefinitionError, Machine, Retry, State
from tests.definition.test_faults import FINAL, act, faults_of, passes, working
from tests.support.walk import definition_of


@pytest.mark.parametrize("name", ["Open", "1open", "op-en", "", "o pen", "öffnen", "open\n", "_open"])
def test_names_are_lower_case_letters_digits_and_underscores(name: str) -> None:
    wanted = f"{name!r} is not a name: lower-case letters, digits and underscores, beginning with a letter"
    assert f"states: {wanted}" in faults_of(states=["open", name, FINAL])
    assert f"transition 1: trigger {wanted}" in faults_of(transitions=[[name, "open", "shut"]])


def test_the_machines_name_is_a_name_too() -> None:
    body = {"initial": "open", "states": ["open", FINAL], "transitions": [["close", "open", "shut"]]}
    with pytest.raises(DefinitionError, match=r"name: 'The Door' is not a name"):
        type("Door", (Machine,), {**body, "name": "The Door"})
    with pytest.raises(DefinitionError, match=r"name: 5 is not a name"):
        type("Door", (Machine,), {**body, "name": 5})
    with pytest.raises(DefinitionError, match=r"name: 'türe' is not a name.*made of the name of class 'Türe'"):
        type("Türe", (Machine,), body)


class Mute:
    """Cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


@pytest.mark.parametrize("value", [None, 5, ["open"], {"open"}, b"open", 1.5, (), Mute()], ids=range(8))
def test_what_is_no_text_is_no_name(value: Any) -> None:
    assert any("is not a name" in fault for fault in faults_of(states=["open", State(value), FINAL]))
    assert any("is not a name" in fault for fault in faults_of(states=["open", {"name": value}, FINAL]))
    assert any("is not a name" in fault for fault in faults_of(transitions=[[value, "open", "shut"]]))


def test_a_name_has_64_characters_at_most() -> None:
    long = "a" * 65
    assert any(fault.endswith("has 65 characters; 64 are allowed") for fault in faults_of(states=["open", long, FINAL]))


@pytest.mark.parametrize("name", ["failed_from_open", "undoing_open", "failed_from_"])
def test_user_states_do_not_begin_like_generated_ones(name: str) -> None:
    wanted = f"states: {name!r} begins like the states that fsmflow makes itself; choose another name"
    assert wanted in faults_of(states=["open", name, FINAL])


@pytest.mark.parametrize("name", ["cancelled", "undone"])
def test_cancelled_and_undone_are_final_if_they_are_declared(name: str) -> None:
    wanted = f"state {name!r}: {name!r} keeps its meaning and can only be declared with final=True"
    assert wanted in faults_of(states=["open", name, FINAL])


def test_a_state_that_is_declared_twice() -> None:
    assert faults_of(states=["open", FINAL, State("open")]) == ("states: state 'open' is declared twice",)


@pytest.mark.parametrize("trigger", ["start", "get", "find", "trigger", "resume", "skip", "send", "triggers"])
def test_a_trigger_with_the_name_of_a_method_of_machine(trigger: str) -> None:
    (fault,) = faults_of(transitions=[[trigger, "open", "shut"]])
    assert fault == (
        f"transition 1: trigger {trigger!r} would hide Machine.{trigger}, a method of fsmflow; choose another name, "
        f"such as '{trigger}_door'"
    )


@pytest.mark.parametrize("trigger", ["data", "state", "history", "attempt", "log"])
def test_a_trigger_with_the_name_of_an_attribute_of_machine(trigger: str) -> None:
    (fault,) = faults_of(transitions=[[trigger, "open", "shut"]])
    assert fault == (
        f"transition 1: trigger {trigger!r} would hide Machine.{trigger}, an attribute of fsmflow; choose another "
        f"name, such as 'door_{trigger}'"
    )


@pytest.mark.parametrize(
    ("value", "what"), [(act, "a method"), (None, "an attribute"), (5, "an attribute"), (property(act), "an attribute")]
)
def test_a_trigger_with_the_name_of_an_attribute_of_the_users_class(value: Any, what: str) -> None:
    (fault,) = faults_of(close=value)
    assert fault == f"transition 1: trigger 'close' would hide Door.close, {what} of yours; rename one of them"


@pytest.mark.parametrize("trigger", ["name", "states", "initial", "schedule", "upgrade", "redact", "on_failed"])
def test_a_trigger_with_the_name_of_what_a_class_may_declare(trigger: str) -> None:
    (fault,) = faults_of(transitions=[[trigger, "open", "shut"]])
    assert fault == (
        f"transition 1: trigger {trigger!r} has the name of a setting of machines; choose another name, such as "
        f"'{trigger}_door'"
    )


def test_a_trigger_with_a_name_that_every_class_has() -> None:
    (fault,) = faults_of(transitions=[["mro", "open", "shut"]])
    assert fault == "transition 1: trigger 'mro' has the name of what every class has; choose another name"


@pytest.mark.parametrize(("taken", "kind"), [("send_door", "Door"), ("", "D" * 64)])
def test_no_name_is_proposed_that_cannot_be_had(taken: str, kind: str) -> None:
    own = {taken: passes} if taken else {}
    (fault,) = faults_of(kind, transitions=[["send", "open", "shut"]], **own)
    assert fault.endswith("would hide Machine.send, a method of fsmflow; choose another name")


def test_a_trigger_with_the_name_of_a_callback() -> None:
    assert faults_of(transitions=[["on_enter_shut", "open", "shut"]]) == (
        "transition 1: trigger 'on_enter_shut' has the name of a callback; choose another",
    )


@pytest.mark.parametrize("trigger", ["retry", "cancel", "undo"])
def test_a_trigger_may_have_the_name_of_the_method_that_fires_it(trigger: str) -> None:
    body = {"initial": "open", "states": ["open", FINAL]}
    body["transitions"] = [["close", "open", "shut"], [trigger, "open", "shut"]]
    assert definition_of(type("Door", (Machine,), body)).offers(trigger, "open")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *((name, f"a method of fsmflow; choose another name, such as '{name}_door'") for name in ("start", "undo")),
        *((name, f"an attribute of fsmflow; choose another name, such as 'door_{name}'") for name in ("data", "log")),
        *((name, "which fsmflow needs; choose another name") for name in ("_fire", "_handle")),
    ],
)
def test_a_method_that_hides_a_name_of_machine(name: str, what: str) -> None:
    assert faults_of(**{name: passes}) == (f"Door.{name} would hide Machine.{name}, {what}",)


def test_a_mixin_that_hides_a_name_of_machine() -> None:
    class Mixin:
        def history(self) -> None: ...

    body = {"initial": "open", "states": ["open", FINAL], "transitions": [["close", "open", "shut"]]}
    with pytest.raises(DefinitionError, match=r"Mixin.history would hide Machine.history, an attribute of fsmflow"):
        type("Door", (Mixin, Machine), body)


HUGE = pytest.param(10**400, id="more than a float can hold")
NO_DURATIONS = [-1, float("nan"), float("inf"), True, [5], {5: 5}, 10**11, HUGE, timedelta.max, timedelta(days=-1)]


@pytest.mark.parametrize("value", [0, timedelta(0), datetime(2026, 1, 1), "soon", *NO_DURATIONS, object()])
def test_the_limit_of_a_job_out_of_range(value: Any) -> None:
    (fault,) = faults_of(**working(timeout=value))
    assert fault.startswith("state 'open': timeout=")
    assert fault.endswith("of a job it is seconds or a timedelta above 0, or None")


@pytest.mark.parametrize("value", [*NO_DURATIONS, b"", {}])
@pytest.mark.parametrize(("parameter", "trigger"), [("timeout", "timeout"), ("delay", "done")])
def test_a_deadline_or_delay_out_of_range(parameter: str, trigger: str, value: Any) -> None:
    states = [State("open", **{parameter: value}), FINAL]
    (fault,) = faults_of(states=states, transitions=[[trigger, "open", "shut"]])
    assert fault.startswith(f"state 'open': {parameter}=")
    assert fault.endswith("it is seconds or a timedelta from 0, or a method that returns one")


def test_a_misspelt_deadline_method() -> None:
    states = [State("open", timeout="wiat_for"), FINAL]
    (fault,) = faults_of(states=states, transitions=[["timeout", "open", "shut"]], wait_for=lambda self: 5)
    assert fault == "state 'open': there is no method 'wiat_for' for timeout; did you mean 'wait_for'?"


@pytest.mark.parametrize("value", ["", "a,b", "x" * 101, "a\n", "\ud800", 5, ["slow"], b"slow", True])
def test_a_queue_that_is_no_queue(value: Any) -> None:
    (fault,) = faults_of(**working(queue=value))
    assert fault.startswith("state 'open': queue=")
    assert fault.endswith("it is a name of 1 to 100 characters without a comma")


@pytest.mark.parametrize("value", [None, 0, 1, "yes", [], [True]])
def test_final_is_true_or_false(value: Any) -> None:
    wanted = f"state 'shut': final={value!r}; it is True or False"
    assert wanted in faults_of(states=["open", State("shut", final=value)])


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"final": True, "job": act}, "job= does not belong here: a final state does nothing"),
        ({"final": True, "retry": Retry(1)}, "retry= does not belong here: a final state does nothing"),
        ({"final": True, "timeout": 5}, "timeout= does not belong here: a final state does nothing"),
        ({"final": True, "timeout": None}, "timeout= does not belong here: a final state does nothing"),
        ({"final": True, "delay": 5}, "delay= does not belong here: a final state does nothing"),
        ({"final": True, "queue": "slow"}, "queue= does not belong here: a final state does nothing"),
        ({"job": act, "delay": 5}, "delay= does not belong here: it has a job"),
        ({"retry": Retry(1)}, "retry= does not belong here: it has no job"),
        ({"queue": "slow"}, "queue= does not belong here: it has no job"),
        ({"timeout": 5, "delay": 5}, "has both timeout= and delay=; which of them should fire?"),
    ],
)
def test_parameters_that_do_not_belong_to_the_kind_of_state(given: dict[str, Any], reason: str) -> None:
    faults = faults_of(states=["open", State("shut", **given)])
    assert f"state 'shut': {reason}" in faults


@pytest.mark.parametrize(
    ("retry", "fault"),
    [
        (5, "retry is 5; it takes Retry(max=...)"),
        ({"max": 5}, "retry is {'max': 5}; it takes Retry(max=...)"),
        (Retry(-1), "Retry(max=-1): max is a whole number from 0"),
        (Retry(1.5), "Retry(max=1.5): max is a whole number from 0"),  # type: ignore[arg-type]
        (Retry(True), "Retry(max=True): max is a whole number from 0"),
        (Retry("3"), "Retry(max='3'): max is a whole number from 0"),  # type: ignore[arg-type]
        (Retry(1, interval=-1), "Retry(interval=-1): interval is seconds or a timedelta from 0, or a list of them"),
        (Retry(1, interval=[]), "Retry(interval=[]): interval is seconds or a timedelta from 0, or a list of them"),
        (Retry(1, ""), "Retry(interval=''): interval is seconds or a timedelta from 0, or a list of them"),  # type: ignore[arg-type]
        (Retry(1, b"ab"), "Retry(interval=b'ab'): interval is seconds or a timedelta from 0, or a list of them"),
        (Retry(1, [5, -1]), "Retry(interval=[5, -1]): interval is seconds or a timedelta from 0, or a list of them"),
        (Retry(1, 10**400), "Retry(interval=10000"),
        (Retry(1, backoff=0.5), "Retry(backoff=0.5): backoff is a number from 1"),
        (Retry(1, backoff=float("inf")), "Retry(backoff=inf): backoff is a number from 1"),
        (Retry(1, backoff=None), "Retry(backoff=None): backoff is a number from 1"),  # type: ignore[arg-type]
        (Retry(1, max_interval=-5), "Retry(max_interval=-5): max_interval is seconds or a timedelta from 0"),
        (Retry(1, max_interval=[5]), "Retry(max_interval=[5]): max_interval is seconds or a timedelta from 0"),  # type: ignore[arg-type]
        (Retry(1, jitter=1.1), "Retry(jitter=1.1): jitter is a number from 0 to 1"),
        (Retry(1, jitter=-0.1), "Retry(jitter=-0.1): jitter is a number from 0 to 1"),
        (Retry(1, jitter=float("nan")), "Retry(jitter=nan): jitter is a number from 0 to 1"),
        (Retry(1, on="OSError"), "Retry(on='OSError'): on takes exception classes"),  # type: ignore[arg-type]
        (Retry(1, on=5), "Retry(on=5): on takes exception classes"),  # type: ignore[arg-type]
        (Retry(1, never=[OSError, 5]), "Retry(never=[<class 'OSError'>, 5]): never takes exception classes"),  # type: ignore[list-item]
        (Retry(1, never=OSError()), "Retry(never=OSError()): never takes exception classes"),  # type: ignore[arg-type]
    ],
)
def test_a_retry_policy_out_of_range(retry: Any, fault: str) -> None:
    (told,) = faults_of(**working(retry=retry))
    assert told.startswith(f"state 'open': {fault}")


def test_a_retry_policy_with_many_faults_tells_all_of_them() -> None:
    policy: Any = Retry(-1, interval=-1, backoff=0, max_interval=-1, jitter=2, on=1, never=2)  # type: ignore[arg-type]
    assert len(faults_of(**working(retry=policy))) == 7


@pytest.mark.parametrize("roles", [[], "", [""], 5, [5], [[]], {"a": 1}, ["boss", None], b"boss"])
def test_roles_are_names(roles: Any) -> None:
    rule = {"trigger": "close", "source": "open", "dest": "shut", "roles": roles}
    assert faults_of(transitions=[rule]) == (f"transition 1: roles={roles!r}; it takes one or several names of roles",)


def test_misspelt_parameters_are_told_with_the_likely_name() -> None:
    rule = {"trigger": "close", "source": "open", "dest": "shut", "condition": passes}
    (fault,) = faults_of(transitions=[rule])
    assert fault == "transition 1: a transition has no parameter 'condition'; did you mean 'conditions'?"
    (fault,) = faults_of(states=[{"name": "open", "timeuot": 5}, FINAL])
    assert fault == "state 1: a state has no parameter 'timeuot'; did you mean 'timeout'?"
    (fault,) = faults_of(states=[{"name": "open", 5: 5}, FINAL])
    assert fault == "state 1: a state has no parameter 5"


@pytest.mark.parametrize(
    ("transition", "fault"),
    [
        ([], "transition 1: [] has no trigger and no source and no dest"),
        (["close", "open"], "transition 1: ['close', 'open'] has no dest"),
        ({"source": "open"}, "transition 1: {'source': 'open'} has no trigger and no dest"),
        ("close", "transition 1 is 'close'; a transition is [trigger, source, dest, ...] or a dict"),
        (None, "transition 1 is None; a transition is [trigger, source, dest, ...] or a dict"),
        (["close", [], "shut"], "transition 1: the list of sources is empty; where does it start from?"),
        (list("abcdefghi"), "transition 1: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'] has 9 parts; the order is"),
    ],
)
def test_a_transition_of_no_known_form(transition: Any, fault: str) -> None:
    assert faults_of(transitions=[transition])[0].startswith(fault)


@pytest.mark.parametrize("states", ["open", {"open": 1}, {"open"}, 5, State("open"), object(), b"open", lambda: 1])
def test_states_of_no_known_form(states: Any) -> None:
    assert faults_of(states=states)[0].endswith("it takes a list of states or an Enum")


@pytest.mark.parametrize("state", [None, 5, ["open"], ("open",), object(), b"x", {}])
def test_a_state_of_no_known_form(state: Any) -> None:
    (fault,) = faults_of(states=["open", state, FINAL])
    assert fault.startswith("state 2")


@pytest.mark.parametrize("transitions", [None, "close", {"trigger": "close"}, {1, 2}, 5, object(), b"ab", iter([])])
def test_transitions_of_no_known_form(transitions: Any) -> None:
    assert faults_of(transitions=transitions)[0].endswith("it takes a list of transitions")


@pytest.mark.parametrize("name", ["waiting", "working", "failed", "finished"])
def test_a_state_called_like_a_phase_is_refused(name: str) -> None:
    with pytest.raises(DefinitionError) as caught:

        class Wrong(Machine):
            initial = name
            states = [State(name, job="act", on_enter="act"), State("over", final=True)]
            transitions = [["done", name, "over"], ["fail", name, "over"]]
            renamed_states = {"old": name}

            def act(self) -> None: ...

    (fault,) = caught.value.faults
    assert fault.startswith(f"states: '{name}' is the name of a phase, so that wait('{name}') could mean either")


@pytest.mark.parametrize("name", ["failed_from_x", "undoing_x", "Bad Name", "a" * 65, "ümlaut"])
def test_a_state_whose_name_is_refused_leads_to_no_other_fault(name: str) -> None:
    with pytest.raises(DefinitionError) as caught:

        class Wrong(Machine):
            initial = "new"
            states = ["new", State(name, timeout=5), State("over", final=True)]
            transitions = [["go", "new", name], ["timeout", name, "over"], ["end", name, "over"]]

    (fault,) = caught.value.faults
    assert fault.startswith("states: ")
