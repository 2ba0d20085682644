"""What goes on over a retry and what begins anew: steps, attempts, events; and results that nothing accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fsmflow import Actor, Machine, Retry, State
from fsmflow.decision.happenings import Triggered
from tests.support.walk import Walk

#: What callbacks do, by name.
act: dict[str, Callable[[Any], Any]] = {}


@pytest.fixture(autouse=True)
def _nothing_to_act() -> Any:
    yield
    act.clear()


def doing(name: str) -> Callable[[Machine], Any]:
    def callback(machine: Machine) -> Any:
        return act.get(name, lambda machine: True)(machine)

    callback.__name__ = name
    return callback


class Shop(Machine):
    initial = "new"
    states = [
        State("new"),
        State("charging", job=doing("job"), retry=Retry(1, 10), on_exit=doing("exit")),
        State("packing", job=doing("job"), on_enter=doing("enter")),
        State("review", delay=60),
        State("shipped", final=True),
    ]
    transitions = [
        ["submit", "new", "charging"],
        {
            "trigger": "done",
            "source": "charging",
            "dest": "packing",
            "prepare": doing("prepare"),
            "conditions": doing("guard"),
            "before": doing("before"),
            "after": doing("after"),
        },
        ["poll", "charging", None],
        ["give_up", ["charging", "packing", "review"], "failed_from_charging"],
        ["fix", "failed_from_charging", "charging"],
        ["done", "packing", "shipped", doing("packed")],
        ["back", "packing", "charging"],
        ["look", "packing", "review"],
        ["done", "review", "shipped"],
        ["retry", "failed_from_packing", "review"],
    ]


@pytest.fixture
def walk() -> Walk:
    """An entity whose first visit to charging has begun."""
    walk = Walk(Shop)
    walk.trigger("submit", actor=Actor("alice"), card="tok_1")
    return walk


def test_a_step_is_the_same_over_attempts_crashes_and_manual_retries(walk: Walk) -> None:
    step = walk.snapshot.step
    for happen in (walk.fails, walk.crashes, lambda: walk.postpones(1), walk.fails, walk.retry, walk.crashes):
        happen()
        assert walk.snapshot.step == step
    assert walk.snapshot.epoch == 4


def test_a_new_visit_is_a_new_step(walk: Walk) -> None:
    steps = [walk.snapshot.step]
    walk.returns()
    steps.append(walk.snapshot.step)
    walk.trigger("back")
    steps.append(walk.snapshot.step)
    walk.fails()
    walk.fails()
    walk.trigger("fix")
    steps.append(walk.snapshot.step)
    assert len(set(steps)) == 4


def test_a_retry_with_a_new_key_is_a_new_step_that_goes_on_counting(walk: Walk) -> None:
    step = walk.snapshot.step
    walk.fails(permanent=True)
    walk.retry(new_key=True)
    assert walk.snapshot.step != step
    assert (walk.snapshot.step, walk.work.attempt) == (walk.snapshot.epoch, 2)
    assert walk.snapshot.event.trigger == "submit"


def test_attempts_go_on_over_manual_retries_and_begin_anew_in_a_new_visit(walk: Walk) -> None:
    walk.fails()
    walk.fails()
    assert walk.failure.attempts == 2
    walk.retry()
    assert walk.work.attempt == 3
    walk.fails()
    walk.fails()
    walk.retry()
    assert walk.work.attempt == 5
    walk.returns()
    walk.trigger("back")
    assert walk.work.attempt == 1


def test_the_event_is_what_first_entered_the_step_and_is_kept_over_retries(walk: Walk) -> None:
    for happen in (walk.fails, walk.fails, walk.retry, walk.crashes):
        happen()
        event = walk.snapshot.event
        assert (event.trigger, event.payload, event.actor) == ("submit", {"card": "tok_1"}, "alice")
    walk.returns()
    assert walk.snapshot.event.trigger == "done"


def test_a_retry_merges_its_data_first_and_tells_who(walk: Walk) -> None:
    walk.fails(permanent=True)
    walk.happen(Triggered(trigger="retry", patch={"card": "tok_2"}, actor=Actor("bob"), reason="a new card"))
    assert (walk.state, walk.data, walk.last.actor, walk.last.reason) == (
        "charging",
        {"card": "tok_2"},
        "bob",
        "a new card",
    )
    assert walk.snapshot.failure is None


def test_a_transition_of_the_users_to_a_failed_state_counts_the_attempts_so_far(walk: Walk) -> None:
    step = walk.snapshot.step
    walk.fails()
    walk.claim()
    walk.trigger("give_up")
    assert (walk.snapshot.phase, walk.failure.attempts, walk.failure.message) == ("failed", 2, "the bank is away")
    walk.retry()
    assert (walk.work.attempt, walk.snapshot.step, walk.snapshot.event.trigger) == (3, step, "submit")
    walk.trigger("give_up")
    assert walk.failure.attempts == 2, "the third run never began"
    assert walk.failure.message == "'give_up' led here from 'charging'"
    assert walk.failure.permanent


def test_an_outcome_may_lead_to_the_failed_state_and_tells_why(walk: Walk) -> None:
    walk.returns("give_up", code=51)
    assert (walk.state, walk.data, walk.failure.attempts, walk.failure.error_type) == (
        "failed_from_charging",
        {"code": 51},
        1,
        "Fail",
    )
    assert walk.snapshot.fingerprint == walk.failure.fingerprint
    walk.retry()
    assert walk.work.attempt == 2


@pytest.mark.parametrize("by", ["packing", "review"])
def test_a_failed_state_that_is_entered_from_elsewhere_takes_over_no_key_of_another_step(walk: Walk, by: str) -> None:
    walk.returns()
    if by == "review":
        walk.trigger("look")
    else:
        walk.claim()
    other = walk.snapshot.step
    walk.trigger("give_up", why="put back")
    assert (walk.failure.attempts, walk.failure.state) == (0, "charging")
    walk.retry()
    assert walk.state == "charging"
    assert walk.snapshot.step != other
    assert (walk.work.attempt, walk.snapshot.event.trigger) == (1, "give_up")


def burst(machine: Machine) -> None:
    machine.data["half"] = "done"
    raise ZeroDivisionError("ouch")


def fire(machine: Any) -> None:
    machine.trigger("done")


REFUSALS: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "a guard refuses": ("guard", lambda machine: False, "nothing accepts it: guard 'guard' is false"),
    "a guard raises": ("guard", burst, "deciding it raised ZeroDivisionError: ouch"),
    "prepare raises": ("prepare", burst, "deciding it raised ZeroDivisionError: ouch"),
    "before raises": ("before", burst, "deciding it raised ZeroDivisionError: ouch"),
    "exit raises": ("exit", burst, "deciding it raised ZeroDivisionError: ouch"),
    "enter raises": ("enter", burst, "deciding it raised ZeroDivisionError: ouch"),
    "after raises": ("after", burst, "deciding it raised ZeroDivisionError: ouch"),
    "a callback fires": ("before", fire, "guards and callbacks cannot fire"),
    "the data is too large": ("after", lambda machine: machine.data.update(x="x" * 300_000), "data has 300,"),
    "the data cannot be stored": ("after", lambda machine: machine.data.update(x={1}), r"data['x'] is {1} (set)"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_result_that_nothing_accepts_is_kept_in_the_failed_state(walk: Walk, case: str) -> None:
    place, action, told = REFUSALS[case]
    act[place] = action
    walk.fails()
    walk.returns(charge_id=5)
    assert (walk.state, walk.data, walk.snapshot.work) == ("failed_from_charging", {}, None)
    assert told in walk.failure.message
    assert walk.failure.message.startswith("the job returned, but ")
    assert walk.failure.message.endswith(". The result is kept; retry decides again from it")
    assert (walk.failure.permanent, walk.failure.attempts, walk.last.attempt) == (True, 2, 2)
    act.clear()
    commit = walk.retry()
    assert (walk.state, walk.data) == ("packing", {"charge_id": 5})
    assert [(entry.trigger, entry.dest, entry.epoch) for entry in commit.entries] == [
        ("retry", "charging", 4),
        ("done", "packing", 5),
    ]
    assert (commit.rings, walk.work.attempt, walk.snapshot.result_text) == (True, 1, None)


@pytest.mark.parametrize("case", REFUSALS)
def test_a_kept_result_that_is_still_refused_runs_the_job_again(walk: Walk, case: str) -> None:
    place, action, _ = REFUSALS[case]
    act[place] = action
    step = walk.snapshot.step
    walk.returns(charge_id=5)
    commit = walk.retry(hint=1)
    assert (walk.state, walk.data, walk.work.attempt) == ("charging", {"hint": 1}, 2)
    assert (walk.snapshot.step, walk.snapshot.result_text, len(commit.entries)) == (step, None, 1)
    act.clear()
    walk.returns(charge_id=6)
    assert (walk.state, walk.data) == ("packing", {"hint": 1, "charge_id": 6})


@pytest.mark.parametrize(
    ("trigger", "told"),
    [
        ("no_such", "the job returned Outcome('no_such'), but nothing accepts it: no transition takes it. The"),
        ("submit", "the job returned Outcome('submit'), but nothing accepts it: no transition takes it. The"),
        ("poll", "'poll' is internal from 'charging', and a job that has returned must lead somewhere; name a dest"),
        ("fail", "the job asked for 'fail'; a job fails by raising, for good with Fail(...)"),
        ("retry", "the job asked for 'retry'; a job fails by raising, for good with Fail(...)"),
    ],
)
def test_an_outcome_that_nothing_takes_is_kept_too(walk: Walk, trigger: str, told: str) -> None:
    walk.returns(trigger, code=51)
    assert (walk.state, walk.data) == ("failed_from_charging", {})
    assert told in walk.failure.message
    assert walk.snapshot.result_text is not None
    walk.retry()
    assert (walk.state, walk.work.attempt) == ("charging", 2)


def test_a_result_too_large_to_be_kept_says_so_and_the_job_runs_again(walk: Walk) -> None:
    walk.returns(x="x" * 5_000_000)
    assert walk.failure.message.endswith("It cannot be kept; retry runs the job again")
    assert walk.snapshot.result_text is None
    walk.retry()
    assert (walk.state, walk.work.attempt) == ("charging", 2)


def test_the_failure_of_a_refused_result_is_told_by_its_public_name(walk: Walk) -> None:
    for trigger in ("no_such", "poll"):
        walk.returns(trigger)
        assert walk.failure.error_type == "TransitionNotAllowed"
        walk.retry(new_key=True)


def test_edited_data_wins_over_the_kept_result(walk: Walk) -> None:
    act["guard"] = lambda machine: machine.data["amount"] < 10
    walk.returns(amount=50, charge_id=5, removed=["gone", "back"])
    walk.retry(amount=5, back="again")
    assert (walk.state, walk.data) == ("packing", {"amount": 5, "back": "again", "charge_id": 5})


def test_a_retry_with_a_new_key_runs_the_job_whatever_was_kept(walk: Walk) -> None:
    act["guard"] = lambda machine: False
    walk.returns(charge_id=5)
    act.clear()
    walk.retry(new_key=True)
    assert (walk.state, walk.work.attempt, walk.snapshot.result_text) == ("charging", 2, None)


def test_a_retry_of_the_users_that_leads_elsewhere_decides_nothing_of_what_was_kept(walk: Walk) -> None:
    walk.returns()
    act["packed"] = lambda machine: False
    walk.returns(label=7)
    kept = walk.snapshot.result_text
    assert kept is not None
    act.clear()
    walk.retry()
    assert (walk.state, walk.snapshot.result_text, walk.data) == ("review", None, {})
    assert walk.work.kind == "timer"


def test_leaving_a_failed_state_otherwise_forgets_what_was_kept(walk: Walk) -> None:
    act["guard"] = lambda machine: False
    walk.returns(charge_id=5)
    act.clear()
    walk.trigger("fix")
    assert (walk.state, walk.data, walk.snapshot.result_text, walk.work.attempt) == ("charging", {}, None, 1)


def test_a_kept_result_of_a_paused_entity_is_decided_and_what_follows_is_held(walk: Walk) -> None:
    act["guard"] = lambda machine: False
    walk.returns(charge_id=5)
    walk.pause()
    act.clear()
    commit = walk.retry()
    assert (walk.state, commit.rings, walk.work.held) == ("packing", False, 0)
