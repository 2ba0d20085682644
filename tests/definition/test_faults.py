"""Every fault that a machine can have, each told when the class is created: what, where, and what was likely meant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from fsmflow import DefinitionError, Machine, State

FINAL = State("shut", final=True)


def act(machine: Machine) -> None:
    """A job that does nothing."""


def passes(machine: Machine) -> bool:
    return True


def faults_of(name: Any = "Door", base: Any = Machine, **body: Any) -> tuple[str, ...]:
    """The faults of a class with this body: a door that may be shut, unless it says otherwise."""
    two = {"initial": "open", "states": ["open", FINAL], "transitions": [["close", "open", "shut"]]}
    with pytest.raises(DefinitionError) as caught:
        type(name, (base,), {**two, **body})
    assert all(fault in str(caught.value) for fault in caught.value.faults)
    return caught.value.faults


def working(**parameters: Any) -> dict[str, Any]:
    """The body of a machine with one working state."""
    states = [State("open", **{"job": act, **parameters}), FINAL]
    return {"states": states, "transitions": [["done", "open", "shut"]]}


@pytest.mark.parametrize(
    ("transition", "fault"),
    [
        (["close", "opne", "shut"], "unknown state 'opne'; did you mean 'open'? (source of 'close')"),
        (["close", "open", "shutt"], "unknown state 'shutt'; did you mean 'shut'? (dest of 'close')"),
        (["close", ["open", "ajarr"], "shut"], "unknown state 'ajarr' (source of 'close')"),
        (["close", "open", 5], "unknown state '<5>' (dest of 'close')"),
        (["close", None, "shut"], "unknown state '<None>' (source of 'close')"),
        (["close", "=", "shut"], "unknown state '=' (source of 'close')"),
        (["close", "open", "*"], "unknown state '*' (dest of 'close')"),
        (["close", "open", ["shut"]], "unknown state '<['shut']>' (dest of 'close')"),
        (["close", {"open": 1}, "shut"], "unknown state '<{'open': 1}>' (source of 'close')"),
        (["close", "failed_from_opn", "shut"], "unknown state 'failed_from_opn' (source of 'close')"),
    ],
)
def test_an_unknown_source_or_dest_is_told_with_the_likely_name(transition: Any, fault: str) -> None:
    shown = fault.replace("'<['shut']>'", "\"<['shut']>\"").replace("'<{'open': 1}>'", "\"<{'open': 1}>\"")
    assert f"transition 2: {shown}" in faults_of(transitions=[["close", "open", "shut", passes], transition])


def test_an_unknown_initial_state_is_told_with_the_likely_name() -> None:
    assert "initial: unknown state 'opn'; did you mean 'open'?" in faults_of(initial="opn")
    assert "initial: unknown state ['open']" in faults_of(initial=["open"])
    assert "initial is missing: which state does an entity start in?" in faults_of(initial=None)


def test_no_entity_starts_in_a_generated_state() -> None:
    wanted = "is a state that fsmflow makes; an entity starts in one of yours"
    assert f"initial: 'failed_from_open' {wanted}" in faults_of(**working(), initial="failed_from_open")
    assert f"initial: 'cancelled' {wanted}" in faults_of(initial="cancelled")


@pytest.mark.parametrize(
    ("state", "when"), [(State("open", job=act), "its job returns"), (State("open", delay=5), "its delay is over")]
)
def test_no_done_where_the_engine_fires_it(state: State, when: str) -> None:
    faults = faults_of(states=[state, FINAL])
    assert faults == (f"state 'open' has no 'done' transition: where does it go when {when}?",)


def test_a_misspelt_engine_trigger_is_hinted_at() -> None:
    faults = faults_of(states=[State("open", job=act), FINAL], transitions=[["doen", "open", "shut"]])
    assert faults[0].endswith("when its job returns? ('doen' is there; was 'done' meant?)")
    faults = faults_of(states=[State("open", timeout=5), FINAL], transitions=[["time_out", "open", "shut"]])
    assert faults[0].endswith("says where it then goes ('time_out' is there; was 'timeout' meant?)")


def test_a_deadline_without_its_timeout_transition() -> None:
    faults = faults_of(states=[State("open", timeout=timedelta(days=2)), FINAL])
    assert faults == ("state 'open' has a timeout, but no 'timeout' transition says where it then goes",)


def test_a_transition_that_an_unguarded_one_before_it_shadows() -> None:
    states = ["open", "ajar", FINAL]
    transitions = [["close", "*", "shut"], ["push", "open", "ajar"], ["close", ["open", "ajar"], "ajar", passes]]
    assert faults_of(states=states, transitions=transitions) == (
        "transition 3: 'close' from 'open' can never be reached, as transition 1 stands before it without a guard",
        "transition 3: 'close' from 'ajar' can never be reached, as transition 1 stands before it without a guard",
    )


def test_roles_are_no_guard_and_shadow_too() -> None:
    first = {"trigger": "close", "source": "open", "dest": "shut", "roles": "boss"}
    (fault,) = faults_of(transitions=[first, ["close", "open", "shut", passes]])
    assert fault.startswith("transition 2: 'close' from 'open' can never be reached, as transition 1 stands before it")


def test_a_star_of_which_nothing_is_left_is_told_once() -> None:
    transitions = [["close", ["open", "ajar"], "shut"], ["push", "open", "ajar"], ["close", "*", "shut"]]
    (fault,) = faults_of(states=["open", "ajar", FINAL], transitions=transitions)
    assert fault.startswith("transition 3: 'close' from 'open' can never be reached, as transition 1")


@pytest.mark.parametrize(("trigger", "why"), [("done", "it has neither a job nor a delay"), ("fail", "it has no job")])
def test_what_only_fsmflow_fires_where_it_never_does(trigger: str, why: str) -> None:
    (fault,) = faults_of(transitions=[[trigger, "open", "shut"]])
    told = f"transition 1: {trigger!r} from 'open' can never be reached, as only fsmflow fires it, and not there: {why}"
    assert fault == told


def test_a_done_by_star_is_no_way_out_of_a_state_that_only_waits() -> None:
    states = [State("open", job=act), "ajar", FINAL]
    (fault,) = faults_of(states=states, transitions=[["push", "open", "ajar"], ["done", "*", "shut"]])
    assert fault == "state 'ajar' is a dead end: it is not final, and no transition but 'cancel' leads out of it"


def test_a_done_or_fail_that_is_internal() -> None:
    states = [State("open", job=act), FINAL]
    transitions = [["done", "open", "shut", passes], ["done", "open", None], ["fail", "open", None]]
    assert faults_of(states=states, transitions=transitions) == tuple(
        f"transition {position}: {trigger!r} from 'open' is internal, so nothing would ever happen there again; "
        f"name a dest, or '=' to enter it anew"
        for position, trigger in ((2, "done"), (3, "fail"))
    )


@pytest.mark.parametrize(
    "options", [{"job": act}, {"jobs": [act]}, {"job": act, "wait": True}], ids=["job", "jobs", "wait"]
)
@pytest.mark.parametrize("source", ["open", "*"])
def test_an_internal_timeout_of_a_step_that_is_bounded(options: dict[str, Any], source: str) -> None:
    states = [State("open", within=60, **options), FINAL]
    transitions = [["timeout", source, None], ["shut" if options.get("wait") else "done", "open", "shut"]]
    (fault,) = faults_of(states=states, transitions=transitions)
    assert fault.startswith("transition 1: 'timeout' from 'open' is internal, so nothing would ever happen there again")


def test_an_internal_timeout_of_a_state_that_rests_is_a_reminder() -> None:
    states = [State("open", timeout=60), FINAL]
    transitions = [["timeout", "open", None], ["close", "open", "shut"]]
    type("Door", (Machine,), {"initial": "open", "states": states, "transitions": transitions})


def test_an_unreachable_state() -> None:
    states = ["open", "attic", FINAL]
    (fault,) = faults_of(states=states, transitions=[["close", ["open", "attic"], "shut"]])
    assert fault == "state 'attic' can never be reached from the initial state 'open'"


def test_a_failed_state_is_reached_by_the_generated_fail() -> None:
    states = [State("open", job=act), "desk", FINAL]
    transitions = [["done", "open", "shut"], ["ask", "failed_from_open", "desk"], ["close", "desk", "shut"]]
    type("Door", (Machine,), {"initial": "open", "states": states, "transitions": transitions})


def test_generated_ways_do_not_make_a_state_reachable() -> None:
    states = [State("open", job=act), State("attic", job=act), FINAL]
    transitions = [["done", ["open", "attic"], "shut"]]
    (fault,) = faults_of(states=states, transitions=transitions)
    assert fault == "state 'attic' can never be reached from the initial state 'open'"


@pytest.mark.parametrize(
    "transition", [["turn", "ajar", "="], ["turn", "ajar", None], ["cancel", "ajar", "shut"], ["turn", "ajar", "ajar"]]
)
def test_a_dead_end(transition: Any) -> None:
    transitions = [["close", "open", "shut"], ["push", "open", "ajar"], transition]
    (fault,) = faults_of(states=["open", "ajar", FINAL], transitions=transitions)
    assert fault == "state 'ajar' is a dead end: it is not final, and no transition but 'cancel' leads out of it"


@pytest.mark.parametrize("final", ["shut", "cancelled", "undone"])
def test_a_way_out_of_a_final_state(final: str) -> None:
    states = ["open", FINAL, State("undone", final=True)]
    (fault,) = faults_of(states=states, transitions=[["close", "open", "shut"], ["reopen", final, "open"]])
    assert fault == f"transition 2: 'reopen' leaves {final!r}, which is final; a final state has no way out"


@pytest.mark.parametrize(
    ("part", "role"),
    [
        ("conditions", "guard"),
        ("unless", "guard"),
        ("before", "before"),
        ("after", "after"),
        ("prepare", "prepare"),
    ],
)
def test_a_misspelt_guard_or_callback(part: str, role: str) -> None:
    rule = {"trigger": "close", "source": "open", "dest": "shut", part: ["is_redy"]}
    (fault,) = faults_of(transitions=[rule], is_ready=passes)
    assert fault == f"transition 1: there is no method 'is_redy' for {role}; did you mean 'is_ready'?"


@pytest.mark.parametrize("moment", ["on_enter", "on_exit"])
def test_a_misspelt_callback_of_a_state(moment: str) -> None:
    callback: dict[str, Any] = {moment: "is_redy"}
    (fault,) = faults_of(states=[State("open", **callback), FINAL], is_ready=passes)
    assert fault == f"state 'open': there is no method 'is_redy' for {moment}; did you mean 'is_ready'?"
    (fault,) = faults_of(**{f"{moment}_opem": passes})
    assert fault == f"method '{moment}_opem': there is no state 'opem'; did you mean 'open'?"


def test_a_misspelt_job() -> None:
    (fault,) = faults_of(**working(job="chrge"), charge=act)
    assert fault == "state 'open': there is no method 'chrge' for job; did you mean 'charge'?"


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("timeit.defualt_timer", "module 'timeit' has no 'defualt_timer'; did you mean 'default_timer'?"),
        ("no_such_module.charge", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        (".charge", "cannot be imported: ValueError: Empty module name"),
        ("math.pi", "is 3.141592653589793, not a function"),
    ],
)
def test_a_dotted_path_that_leads_nowhere(path: str, fault: str) -> None:
    assert faults_of(**working(job=path)) == (f"state 'open': job {path!r}{':' if fault[0] == 'm' else ''} {fault}",)


def test_a_module_that_raises_when_it_is_imported(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_module.py").write_text("raise RuntimeError('no licence')")
    monkeypatch.syspath_prepend(tmp_path)
    (fault,) = faults_of(**working(job="broken_module.charge"))
    place = f"{tmp_path}/broken_module.py:1"
    assert fault == (
        f"state 'open': job 'broken_module.charge' cannot be imported: RuntimeError: no licence (at {place})"
    )


@pytest.mark.parametrize("reference", ["", 5, {"a": 1}, b"charge", ["charge"], object])
def test_a_job_that_is_no_reference_at_all(reference: Any) -> None:
    if reference is object:
        reference = object()
    (fault,) = faults_of(**working(job=reference))
    assert fault.startswith(("state 'open': job ", "state 'open': there is no method '' for job"))


@pytest.mark.parametrize("name", ["start", "entity_id", "_handle", "__init__", "__class__", "mro", "states", "undo"])
def test_a_name_of_machine_itself_is_no_guard(name: str) -> None:
    (fault,) = faults_of(transitions=[["close", "open", "shut", name]])
    assert fault.startswith((f"transition 1: guard {name!r} is a name of Machine itself", "transition 1: there is no"))


def test_an_attribute_that_is_no_method() -> None:
    (fault,) = faults_of(transitions=[["close", "open", "shut", "limit"]], limit=5)
    assert fault == "transition 1: guard 'limit' is 5, not a method"


class Odd:
    """Functions with signatures and kinds that do not fit."""

    def with_more(self, event: object) -> bool:
        return True

    def without(*, key: object) -> bool:
        return True

    async def asks(self) -> bool:
        return True

    def yields(self) -> Iterator[bool]:
        yield True

    @staticmethod
    def static() -> bool:
        return True

    @classmethod
    def classy(cls, machine: object) -> bool:
        return True


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("with_more", "has the wrong signature (self, event: 'object') -> 'bool': a method takes nothing but self"),
        ("without", "has the wrong signature (*, key: 'object') -> 'bool': a method takes nothing but self"),
        ("static", "has the wrong signature () -> 'bool': a function takes one argument, the machine"),
        ("classy", "has the wrong signature (cls, machine: 'object') -> 'bool': a method takes nothing but self"),
        ("asks", "is async; only jobs may be, as a guard does no I/O"),
        ("yields", "is a generator; a guard returns its result"),
    ],
)
def test_a_wrong_signature_or_kind_of_function(name: str, fault: str) -> None:
    (told,) = faults_of(transitions=[["close", "open", "shut", name]], **{name: vars(Odd)[name]})
    assert told == f"transition 1: guard {name!r} {fault}"


def test_a_function_or_job_of_a_wrong_signature_or_kind() -> None:
    (fault,) = faults_of(**working(job=lambda: None))
    assert fault == (
        "state 'open': job '<lambda>' has the wrong signature (): a function takes one argument, the machine"
    )
    (fault,) = faults_of(**working(job="yields"), yields=vars(Odd)["yields"])
    assert fault == "state 'open': job 'yields' is a generator; a job returns its result"
