"""Triggers from outside: the order of a decision, guards, roles, what is refused, and what is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fsmflow import (
    Actor,
    DataError,
    FsmflowError,
    Machine,
    State,
    TransitionNotAllowed,
)
from fsmflow.decision.happenings import Triggered
from fsmflow.decision.start import begin
from tests.support.walk import NOW, Walk, definition_of

#: What callbacks of Desk do besides taking note, by name.
act: dict[str, Callable[[Any], Any]] = {}


@pytest.fixture(autouse=True)
def _nothing_to_act() -> Any:
    yield
    act.clear()


def noting(name: str, verdict: bool = True) -> Callable[[Machine], bool]:
    """A guard or callback that notes that it was called, in which state, and does what ``act`` says."""

    def callback(machine: Machine) -> bool:
        machine.data.setdefault("calls", []).append([name, machine.state, machine.event.trigger])
        found = act.get(name, lambda machine: verdict)(machine)
        return verdict if found is None else bool(found)

    callback.__name__ = name
    return callback


class Desk(Machine):
    """Something of everything that a trigger from outside can meet."""

    initial = "new"
    states = [
        State("new", on_exit=noting("exit")),
        State("open", on_enter=noting("enter"), timeout=3_600),
        State("busy", job=noting("job")),
        State("shut", final=True),
    ]
    transitions = [
        {
            "trigger": "begin",
            "source": "new",
            "dest": "open",
            "prepare": noting("prepare"),
            "conditions": noting("guard"),
            "unless": noting("veto", verdict=False),
            "before": [noting("before"), noting("before too")],
            "after": noting("after"),
        },
        ["timeout", "open", "shut"],
        ["work", "open", "busy"],
        ["done", "busy", "shut"],
        ["again", ["open", "busy"], "="],
        {"trigger": "note", "source": "*", "dest": None, "before": "take_note"},
        {"trigger": "choose", "source": "new", "dest": "busy", "conditions": ["is_large"], "roles": ["boss", "owner"]},
        {"trigger": "choose", "source": "new", "dest": "open", "unless": ["is_locked"], "roles": "clerk"},
        {"trigger": "choose", "source": "new", "dest": "shut", "conditions": ["is_late"]},
        ["timeout", "new", "shut"],
    ]

    def is_large(self) -> bool:
        return bool(self.data.get("amount", 0) > 1000)

    def is_locked(self) -> bool:
        return bool(self.data.get("locked"))

    @classmethod
    def is_late(cls) -> bool:
        return False

    def take_note(self) -> None:
        self.data["note"] = self.event.payload["text"]


def test_a_new_entity_stands_in_the_initial_state_and_runs_no_callback() -> None:
    commit = begin(definition_of(Desk), "1", {"amount": 5}, Actor("alice"), "key-1", NOW)
    assert (commit.before, commit.key, commit.rings, len(commit.entries)) == (None, "key-1", False, 1)
    after, entry = commit.after, commit.entries[0]
    assert (after.state, after.phase, after.epoch, after.step, after.seq) == ("new", "waiting", 1, 1, 1)
    assert (after.address, after.revision, after.data, after.work) == ("desk:1", 1, {"amount": 5}, None)
    assert (entry.kind, entry.source, entry.dest, entry.epoch, entry.actor) == ("start", None, "new", 1, "alice")
    assert after.event.trigger == "start"


def test_a_new_entity_in_a_working_state_has_a_job_to_be_dispatched() -> None:
    class Quick(Desk):
        initial = "busy"
        transitions = [*Desk.transitions, ["back", "busy", "new"]]

    commit = begin(definition_of(Quick), "1", {}, None, None, NOW)
    assert commit.rings
    assert commit.after.work is not None
    assert (commit.after.work.kind, commit.after.work.epoch, commit.after.work.attempt) == ("job", 1, 1)


def test_data_that_cannot_be_stored_starts_nothing() -> None:
    with pytest.raises(DataError, match=r"data\['x'\] is \{1\} \(set\)"):
        begin(definition_of(Desk), "1", {"x": {1}}, None, None, NOW)


def test_the_order_is_prepare_guards_before_exit_enter_after() -> None:
    walk = Walk(Desk)
    walk.trigger("begin")
    assert walk.data["calls"] == [
        ["prepare", "new", "begin"],
        ["guard", "new", "begin"],
        ["veto", "new", "begin"],
        ["before", "new", "begin"],
        ["before too", "new", "begin"],
        ["exit", "new", "begin"],
        ["enter", "open", "begin"],
        ["after", "open", "begin"],
    ]


def test_callbacks_see_the_event_and_may_change_or_replace_the_data() -> None:
    def change(machine: Machine) -> None:
        machine.data["from"] = [machine.event.payload["who"], machine.event.actor, machine.event.at.isoformat()]

    def replace_all(machine: Machine) -> None:
        machine.data = {"only": machine.data["from"]}

    act.update(before=change, after=replace_all)
    walk = Walk(Desk, {"old": 1})
    walk.trigger("begin", actor=Actor("alice"), who="bob")
    assert walk.data == {"only": ["bob", "alice", "2026-01-02T03:04:05+00:00"]}
    assert walk.snapshot.event.payload == {"who": "bob"}
    assert "who" not in walk.data


def test_a_transition_is_written_down_with_who_and_why() -> None:
    walk = Walk(Desk)
    asked = Triggered(trigger="begin", actor=Actor("alice"), reason="she called", key="k", payload={"n": 1})
    commit = walk.happen(asked)
    entry = commit.entries[0]
    assert (entry.kind, entry.trigger, entry.source, entry.dest) == ("transition", "begin", "new", "open")
    assert (entry.actor, entry.reason, entry.key, commit.key) == ("alice", "she called", "k", "k")
    assert (entry.payload, entry.epoch, entry.seq) == ({"n": 1}, 2, 2)


@pytest.mark.parametrize("place", ["prepare", "before", "exit", "enter", "after"])
def test_what_a_callback_raises_passes_through_and_nothing_changes(place: str) -> None:
    def burst(machine: Machine) -> None:
        raise ZeroDivisionError("in " + place)

    act[place] = burst
    walk = Walk(Desk)
    before = walk.snapshot
    with pytest.raises(ZeroDivisionError, match=f"in {place}"):
        walk.trigger("begin")
    assert (walk.snapshot, walk.kinds()) == (before, ["start"])


@pytest.mark.parametrize("place", ["prepare", "guard", "before", "exit", "enter", "after"])
@pytest.mark.parametrize(
    "fire",
    [
        lambda machine: machine.trigger("begin"),
        lambda machine: machine.begin(),
        lambda machine: machine.trigger("no_such_trigger"),
        lambda machine: machine.cancel(),
        lambda machine: machine.retry(),
        lambda machine: machine.pause(),
        lambda machine: machine.resume(),
        lambda machine: machine.wait(),
    ],
)
def test_firing_or_acting_in_a_callback_raises_and_says_so(place: str, fire: Callable[[Any], Any]) -> None:
    act[place] = fire
    with pytest.raises(TransitionNotAllowed, match="guards and callbacks cannot fire"):
        Walk(Desk).trigger("begin")


@pytest.mark.parametrize("use", [lambda machine: machine.save(), lambda machine: machine.heartbeat()])
def test_what_only_a_job_can_do_raises_in_a_callback(use: Callable[[Any], Any]) -> None:
    act["before"] = use
    with pytest.raises(FsmflowError, match="works inside a job only"):
        Walk(Desk).trigger("begin")


def test_assigning_the_state_in_a_callback_raises() -> None:
    act["before"] = lambda machine: setattr(machine, "state", "shut")
    with pytest.raises(TransitionNotAllowed, match="a state is entered by a transition, never assigned"):
        Walk(Desk).trigger("begin")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda machine: machine.data.update(x={1}), r"data\['x'\] is \{1\} \(set\)"),
        (lambda machine: machine.data.update(x="x" * 300_000), r"data has 300,\d+ bytes; 262,144 are allowed"),
    ],
)
def test_data_that_cannot_be_stored_refuses_the_transition(change: Callable[[Any], Any], told: str) -> None:
    act["after"] = change
    with pytest.raises(DataError, match=told):
        Walk(Desk).trigger("begin")


def test_a_payload_that_cannot_be_stored_refuses_the_transition() -> None:
    with pytest.raises(DataError, match=r"payload\['x'\] is nan"):
        Walk(Desk).trigger("begin", x=float("nan"))


@pytest.mark.parametrize("verdict", [1, 0.5, [0], {"a": 1}, object()])
def test_any_true_value_lets_a_guard_pass(verdict: Any) -> None:
    class Door(Machine):
        initial = "open"
        states = ["open", State("shut", final=True)]
        transitions = [["close", "open", "shut", lambda machine: verdict, lambda machine: None]]

    walk = Walk(Door)
    walk.trigger("close")
    assert walk.state == "shut"


def test_the_first_transition_whose_guards_pass_wins() -> None:
    boss = Actor("eve", {"boss", "clerk"})
    for data, state in (({"amount": 5000, "locked": 1}, "busy"), ({"amount": 5000}, "busy"), ({"amount": 5}, "open")):
        walk = Walk(Desk, data)
        walk.trigger("choose", actor=boss)
        assert walk.state == state


def test_an_internal_transition_touches_neither_epoch_nor_job_nor_timer() -> None:
    walk = Walk(Desk)
    walk.trigger("begin")
    for trigger, kind in ((None, "timer"), ("work", "job")):
        if trigger:
            walk.trigger(trigger)
        walk.advance(60)
        before = walk.snapshot
        commit = walk.trigger("note", text=kind)
        after = replace(walk.snapshot, data_text=before.data_text, revision=before.revision, seq=before.seq)
        assert replace(after, updated_at=before.updated_at) == before
        assert walk.snapshot.work is before.work
        assert (walk.work.kind, commit.rings, walk.last.kind, walk.data["note"]) == (kind, False, "internal", kind)
        assert (walk.last.source, walk.last.dest, walk.last.payload) == (walk.state, walk.state, {"text": kind})


def test_an_internal_transition_leaves_a_running_attempt_its_claim() -> None:
    walk = Walk(Desk)
    walk.trigger("begin")
    walk.trigger("work")
    claim = walk.claim()
    walk.trigger("note", text="meanwhile")
    assert claim.holds(walk.snapshot)
    walk.returns(result=1)
    assert (walk.state, walk.data["note"], walk.data["result"]) == ("shut", "meanwhile", 1)


def test_an_equals_sign_enters_the_state_anew_with_its_callbacks_job_and_timer() -> None:
    walk = Walk(Desk)
    walk.trigger("begin")
    walk.advance(600)
    walk.trigger("again")
    assert walk.data["calls"][-1] == ["enter", "open", "again"]
    assert (walk.snapshot.epoch, walk.work.wake_at) == (3, walk.now + 3_600_000)
    walk.trigger("work")
    claim, step = walk.claim(), walk.snapshot.step
    commit = walk.trigger("again")
    assert commit.rings
    assert not claim.holds(walk.snapshot)
    assert (walk.work.attempt, walk.snapshot.step) == (1, step + 1)
