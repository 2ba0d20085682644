"""What a trigger from outside is refused for, and what the refusal tells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fsmflow import Actor, Machine, NotPermitted, State, TransitionConflict, TransitionNotAllowed, UnknownState
from fsmflow.decision.decide import decide
from fsmflow.decision.happenings import Triggered
from tests.decision.test_triggers import Desk, act, noting
from tests.support.walk import NOW, Walk


@pytest.fixture(autouse=True)
def _nothing_to_act() -> Any:
    yield
    act.clear()


def test_every_guard_that_refused_is_named() -> None:
    walk = Walk(Desk, {"locked": True})
    with pytest.raises(TransitionNotAllowed) as caught:
        walk.trigger("choose", actor=Actor("eve", {"boss"}))
    error = caught.value
    assert error.refusals == (
        "guard 'is_large' is false (choose to 'busy')",
        "guard 'is_locked' is true (choose to 'open')",
        "guard 'is_late' is false (choose to 'shut')",
    )
    assert (error.address, error.state, error.trigger) == ("desk:1", "new", "choose")
    assert error.allowed == ("begin", "note", "timeout", "cancel")
    assert str(error) == (
        "desk:1 is in 'new': 'choose' was refused: guard 'is_large' is false (choose to 'busy'); guard 'is_locked' is "
        "true (choose to 'open'); guard 'is_late' is false (choose to 'shut'). "
        "Allowed now: begin, note, timeout, cancel"
    )


def test_a_trigger_that_does_not_start_there_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(TransitionNotAllowed, match="'work' was refused: no transition 'work' starts there") as caught:
        Walk(Desk).trigger("work")
    assert caught.value.allowed == ("begin", "note", "timeout", "cancel")
    assert caught.value.refusals == ()


@pytest.mark.parametrize(("wrong", "hint"), [("begn", "; did you mean 'begin'?"), ("zzz", ""), ("x" * 9_999, "")])
def test_an_unknown_trigger_is_refused_with_the_likely_name(wrong: str, hint: str) -> None:
    with pytest.raises(TransitionNotAllowed) as caught:
        Walk(Desk).trigger(wrong)
    assert f"machine 'desk' has no trigger {wrong!r}{hint or '.'} Allowed now: begin" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "needed"), [({"amount": 5000}, ("boss", "owner")), ({"amount": 5}, ("clerk",)), ({}, ("clerk",))]
)
@pytest.mark.parametrize("actor", [None, Actor("eve"), Actor("eve", {"guest"})])
def test_the_transition_whose_guards_pass_first_wants_one_of_its_roles(
    data: dict[str, Any], needed: tuple[str, ...], actor: Actor | None
) -> None:
    walk = Walk(Desk, data)
    with pytest.raises(NotPermitted) as caught:
        walk.trigger("choose", actor=actor)
    assert (caught.value.roles, caught.value.actor) == (needed, actor and actor.name)
    assert f"needs an actor with one of the roles {', '.join(needed)}" in str(caught.value)
    assert "choose" not in walk.allowed(actor)
    walk.trigger("choose", actor=Actor("eve", {"guest", needed[0]}))
    assert walk.last.actor == "eve"


def test_roles_of_a_later_transition_do_not_matter_where_an_earlier_one_wins() -> None:
    walk = Walk(Desk, {"amount": 5000})
    with pytest.raises(NotPermitted):
        walk.trigger("choose", actor=Actor("eve", {"clerk"}))


def test_the_engine_needs_no_role() -> None:
    class Desk(Machine):
        initial = "busy"
        states = [State("busy", job=noting("job")), State("shut", final=True)]
        transitions = [
            {"trigger": "done", "source": "busy", "dest": "shut", "roles": "boss"},
            {"trigger": "fail", "source": "busy", "dest": "shut", "roles": "boss"},
        ]

    for end in (Walk.returns, Walk.fails):
        walk = Walk(Desk)
        end(walk)
        assert walk.state == "shut"


@pytest.mark.parametrize("trigger", ["done", "fail"])
def test_done_and_fail_are_refused_from_outside_everywhere(trigger: str) -> None:
    walk = Walk(Desk)
    for step in (None, "begin", "work"):
        if step:
            walk.trigger(step)
        with pytest.raises(TransitionNotAllowed, match=f"'{trigger}' belongs to the engine"):
            walk.trigger(trigger, actor=Actor("eve", {"boss"}))
        assert trigger not in walk.allowed()


def test_timeout_is_refused_while_a_deadline_runs_and_is_a_trigger_where_none_does() -> None:
    walk = Walk(Desk)
    assert "timeout" in walk.allowed()
    walk.trigger("begin")
    assert "timeout" not in walk.allowed()
    with pytest.raises(TransitionNotAllowed, match="'timeout' belongs to the engine"):
        walk.trigger("timeout")
    walk.pause()
    with pytest.raises(TransitionNotAllowed, match="'timeout' belongs to the engine"):
        walk.trigger("timeout")
    other = Walk(Desk)
    other.trigger("timeout")
    assert other.state == "shut"


def test_with_an_epoch_a_moved_entity_is_a_conflict() -> None:
    walk = Walk(Desk)
    seen = walk.snapshot.epoch
    walk.trigger("begin", epoch=seen)
    for trigger in ("work", "no_such", "done"):
        with pytest.raises(TransitionConflict, match="it was seen at epoch 1 and is now at epoch 2, in 'open'"):
            walk.trigger(trigger, epoch=seen)
    walk.trigger("note", text="an internal transition is no move")
    walk.trigger("work", epoch=2)


def test_final_states_have_no_way_out() -> None:
    walk = Walk(Desk)
    walk.trigger("timeout")
    assert (walk.snapshot.phase, walk.allowed()) == ("finished", [])
    for trigger in ("cancel", "begin", "note", "retry"):
        with pytest.raises(TransitionNotAllowed, match="Allowed now: nothing"):
            walk.trigger(trigger)
    with pytest.raises(TransitionNotAllowed, match="it has finished"):
        walk.pause()


def test_a_state_that_the_definition_lacks_is_refused_and_left_alone() -> None:
    walk = Walk(Desk)
    walk.snapshot = replace(walk.snapshot, state="opne")
    with pytest.raises(UnknownState, match=r"desk:1 stands in 'opne'.*did you mean 'open'\?.*it was left untouched"):
        decide(walk.definition, walk.snapshot, Triggered(trigger="begin"), NOW)
    assert walk.allowed() == []


def test_allowed_triggers_asks_guards_and_changes_nothing() -> None:
    walk = Walk(Desk)
    assert walk.allowed() == ["begin", "note", "timeout", "cancel"]
    assert walk.allowed(Actor("eve", {"clerk"})) == ["begin", "note", "choose", "timeout", "cancel"]
    assert walk.data == {}
    act["guard"] = lambda machine: machine.event.payload["missing"]
    assert "begin" not in walk.allowed(), "whether a guard that wants the payload passes cannot be told"
