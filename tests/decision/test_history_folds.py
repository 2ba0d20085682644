"""Random sequences of happenings on a machine of every kind of state; ``Walk`` checks what must hold of each commit."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from fsmflow import GuardError, Machine, Retry, State, TransitionNotAllowed
from fsmflow.decision.decide import decide
from fsmflow.decision.entity import Claim, Snapshot, StaleClaim
from fsmflow.decision.failure import Facts
from fsmflow.decision.happenings import Changes, Crashed, Failed, Postponed, Returned, Saved
from fsmflow.decision.work import MAX_CRASHES
from tests.support.walk import Walk


def whim(machine: Machine) -> bool:
    """Refuses, raises or lets pass, as the data says."""
    mood = machine.data.get("mood", 0)
    if mood == 2:
        raise ZeroDivisionError("a bad mood")
    return bool(mood == 0)


class Anything(Machine):
    """Every kind of state and transition."""

    initial = "new"
    states = [
        State("new", timeout=100),
        State("charging", job=whim, retry=Retry(2, [5, 0], jitter=0)),
        State("packing", job=whim),
        State("cooling", delay=0),
        State("resting", on_enter=whim),
        State("shipped", final=True),
    ]
    transitions = [
        ["timeout", "new", "="],
        ["submit", ["new", "resting"], "charging"],
        ["done", "charging", "packing", whim],
        ["fail", "charging", "resting", whim],
        ["done", "packing", "cooling", whim],
        ["declined", ["charging", "packing"], "resting"],
        ["done", "cooling", "shipped", whim],
        ["give_up", ["charging", "resting"], "failed_from_packing"],
        ["again", "*", "="],
        {"trigger": "set_mood", "source": "*", "dest": None, "before": "take"},
        ["retry", "failed_from_packing", "packing", whim],
        ["retry", "failed_from_packing", "resting"],
        ["ship", "*", "shipped", whim],
    ]

    def take(self) -> None:
        self.data["mood"] = self.event.payload["mood"]


TRIGGERS = [*Anything.transitions, "cancel", "no_such"]
NAMES = sorted({entry if isinstance(entry, str) else entry[0] for entry in TRIGGERS if not isinstance(entry, dict)})
OUTCOMES = ["done", "done", "done", "declined", "give_up", "again", "set_mood", "no_such", "fail", "retry", "cancel"]


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens, in any order."""

    walk: Walk
    claims: list[Claim]
    steps: dict[int, int]

    @initialize()
    def start(self) -> None:
        self.walk = Walk(Anything)
        self.claims = []
        self.steps = {}

    def attempt(self, act: Any) -> None:
        """What is refused, or raises in a guard, changes nothing; what is accepted leaves a sound snapshot."""
        before, seen = self.walk.snapshot, len(self.walk.history)
        try:
            act()
        except (TransitionNotAllowed, GuardError, ZeroDivisionError, StaleClaim):
            assert self.walk.snapshot is before
            assert len(self.walk.history) == seen
            return
        self.check(before)

    def check(self, before: Snapshot) -> None:
        after = self.walk.snapshot
        spec = self.walk.definition.states[after.state]
        assert after.phase == spec.phase
        assert after.epoch - before.epoch in (0, 1, 2)
        assert spec.is_failed == (after.failure_text is not None and after.work is None)
        assert after.result_text is None or spec.is_failed
        kind = after.work.kind if after.work else None
        assert kind == ("job" if spec.is_working else "timer" if spec.timer else None)
        if after.work is not None and kind == "job":
            policy = spec.retry
            assert after.work.failures <= (policy.max if policy else 0)
            assert after.work.crashes <= MAX_CRASHES
            # A step belongs to one state, and its attempts only ever grow.
            attempts = self.steps.get(after.step, 0)
            assert after.work.attempt >= attempts
            self.steps[after.step] = after.work.attempt

    @rule(name=st.sampled_from(NAMES), mood=st.integers(0, 2))
    def trigger(self, name: str, mood: int) -> None:
        self.attempt(lambda: self.walk.trigger(name, mood=mood))

    @rule(mood=st.integers(0, 2))
    def change_mood(self, mood: int) -> None:
        self.attempt(lambda: self.walk.trigger("set_mood", mood=mood))

    @rule(new_key=st.booleans(), patch=st.sampled_from([{}, {"mood": 0}, {"mood": 1}, {"mood": 2}]))
    def retry(self, new_key: bool, patch: dict[str, int]) -> None:
        self.attempt(lambda: self.walk.retry(new_key=new_key, **patch))

    @rule(seconds=st.integers(0, 50))
    def wait(self, seconds: int) -> None:
        self.walk.advance(seconds)

    @rule()
    def pause(self) -> None:
        self.attempt(self.walk.pause)

    @rule()
    def resume(self) -> None:
        self.attempt(self.walk.resume)

    @precondition(
        lambda self: self.walk.snapshot.work and self.walk.work.kind == "timer" and self.walk.work.held is None
    )
    @rule()
    def fire_timer(self) -> None:
        self.attempt(self.walk.timer)

    @precondition(lambda self: self.walk.snapshot.work and self.walk.work.kind == "job")
    @rule()
    def claim(self) -> None:
        if self.walk.work.owner is None and self.walk.work.held is None:
            self.claims.append(self.walk.claim())

    @precondition(lambda self: self.claims)
    @rule(
        end=st.sampled_from(["returned", "returned", "failed", "permanent", "crashed", "postponed", "saved"]),
        outcome=st.sampled_from(OUTCOMES),
        mood=st.sampled_from([None, 0, 1, 2]),
        late=st.integers(0, 3),
    )
    def end_an_attempt(self, end: str, outcome: str, mood: int | None, late: int) -> None:
        claim = self.claims[-1 - late % len(self.claims)]
        changes = Changes(changed={} if mood is None else {"mood": mood})
        facts = Facts(kind=OSError, message="away", permanent=end == "permanent")
        happening: Any = {
            "returned": Returned(claim=claim, trigger=outcome, changes=changes),
            "crashed": Crashed(claim=claim, detail="gone"),
            "postponed": Postponed(claim=claim, seconds=late),
            "saved": Saved(claim=claim, changes=changes),
        }.get(end, Failed(claim=claim, facts=facts))
        live = claim.holds(self.walk.snapshot)
        before = self.walk.snapshot
        self.attempt(lambda: self.walk.happen(happening))
        assert live == (self.walk.snapshot is not before), "a live attempt always ends, a late one never"
        again = self.walk.snapshot
        if live and end != "saved":
            assert not claim.holds(again)


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyOrder = AnyOrder.TestCase


@given(moods=st.lists(st.sampled_from(OUTCOMES), max_size=8))
def test_a_decision_is_the_same_however_often_it_is_made(moods: list[str]) -> None:
    walk = Walk(Anything)
    walk.trigger("submit")
    for outcome in moods:
        if walk.snapshot.work is None or walk.work.kind != "job":
            break
        happening = Returned(claim=walk.live_claim(), trigger=outcome, changes=Changes(changed={"n": outcome}))
        first = decide(walk.definition, walk.snapshot, happening, walk.now)
        assert decide(walk.definition, walk.snapshot, happening, walk.now) == first
        walk.happen(happening)
