"""Deadlines, delays, and what pause and resume do to work and timers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from fsmflow import Machine, Retry, State, TransitionNotAllowed
from fsmflow.decision.decide import decide
from fsmflow.decision.entity import StaleClaim
from fsmflow.decision.happenings import TimerFired
from fsmflow.decision.work import FAR_FUTURE_MS, GRACE_MS
from fsmflow.errors import MAX_DURATION_S, MethodError
from tests.support.walk import NOW, Walk

NOW_AS_DATETIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Approval(Machine):
    """Waits for somebody, reminds, and gives up."""

    initial = "new"
    states = [
        State("new"),
        State("resting", timeout="time_left"),
        State("cooling", delay=100),
        State("busy", job="act", retry=Retry(3, 40, jitter=0)),
        State("over", final=True),
    ]
    transitions = [
        ["ask", ["new", "resting"], "resting"],
        ["timeout", "resting", None, "is_patient", None, None, "remind"],
        ["timeout", "resting", "over", "may_end"],
        ["cool", "new", "cooling"],
        ["done", "cooling", "busy"],
        ["hurry", "cooling", "busy"],
        ["note", "*", None],
        ["timeout", "cooling", "over"],
        ["work", "new", "busy"],
        ["done", "busy", "cooling"],
        ["rest", "busy", "new"],
    ]

    def time_left(self) -> Any:
        return self.event.payload["wait"]() if callable(self.event.payload["wait"]) else self.event.payload["wait"]

    def is_patient(self) -> bool:
        return bool(self.data.get("patient"))

    def may_end(self) -> bool:
        return not self.data.get("endless")

    def remind(self) -> None:
        self.data["reminded"] = self.event.at.isoformat()

    def act(self) -> None: ...


class NotATime(datetime):
    """Behaves like NaT of pandas."""

    def utcoffset(self) -> Any:
        raise ValueError("NaTType does not support utcoffset")

    def isoformat(self, *_: Any) -> str:
        return "NaT"

    def __repr__(self) -> str:
        return "NaT"


def deadline(returned: Any, parameter: str = "timeout", job: Any = None) -> type[Machine]:
    """A machine whose first state has a deadline that a method returns."""

    asks: dict[str, Any] = {parameter: "time_left"}

    class Waiting(Machine):
        initial = "open"
        states = [State("open", job=job, **asks), State("over", final=True)]
        transitions = [["timeout" if parameter == "timeout" else "done", "open", "over"]]

        def time_left(self) -> Any:
            return returned(self) if callable(returned) else returned

    return Waiting


@pytest.mark.parametrize(
    ("returned", "wait_s"),
    [
        (60, 60),
        (0.5, 0.5),
        (timedelta(minutes=3), 180),
        (NOW_AS_DATETIME + timedelta(hours=2), 7_200),
        (datetime(2026, 1, 2, 6, 4, 5, tzinfo=timezone(timedelta(hours=2))), 3_600),
        (0, 0),
        (-0.0, 0),
        (timedelta(), 0),
        (NOW_AS_DATETIME - timedelta(days=400), 0),
        (datetime.max.replace(tzinfo=UTC), MAX_DURATION_S),
        (lambda machine: machine.event.at + timedelta(seconds=9), 9),
        (lambda machine: len(machine.data["lines"]) * 7, 21),
    ],
)
def test_a_method_returns_seconds_a_timedelta_or_an_aware_datetime(returned: Any, wait_s: float) -> None:
    walk = Walk(deadline(returned), {"lines": [1, 2, 3]})
    assert (walk.work.kind, walk.work.wake_at - NOW) == ("timer", round(wait_s * 1000))
    assert walk.work.wake_at < FAR_FUTURE_MS


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (datetime(2026, 1, 2), r"datetime.datetime\(2026, 1, 2, 0, 0\), a datetime without a time zone; it gives an"),
        (None, "None; it gives seconds, a timedelta or an aware datetime"),
        ("60", "'60'; it gives seconds, a timedelta or an aware datetime"),
        (True, "True; it gives seconds, a timedelta or an aware datetime"),
        (float("nan"), "nan; it gives seconds"),
        (float("inf"), "inf; it gives seconds"),
        pytest.param(10**400, ".*; it gives seconds", id="more than a float can hold"),
        (timedelta.max, ".*; it gives seconds"),
        (-1, "-1, which is negative; it gives seconds or a timedelta from 0, or an aware datetime, which may be past"),
        (-0.25, "-0.25, which is negative"),
        (-float("inf"), "-inf; it gives seconds"),
        pytest.param(-(10**400), ".*, which is negative", id="less than a float can hold"),
        (timedelta(days=-1), r"datetime.timedelta\(days=-1\), which is negative"),
        (timedelta.min, ".*, which is negative"),
        (NotATime(2026, 1, 1), "NaT, a datetime without a time zone"),
    ],
)
def test_a_method_that_returns_no_duration_is_refused(returned: Any, told: str) -> None:
    with pytest.raises(MethodError, match=f"waiting:1: timeout= of 'open' asked 'time_left', which returned {told}"):
        Walk(deadline(returned))


@pytest.mark.parametrize(("parameter", "job"), [("timeout", None), ("delay", None), ("within", lambda machine: None)])
def test_a_negative_time_is_refused_whatever_it_limits(parameter: str, job: Any) -> None:
    """It would fire at once. Who means a moment that may be past gives the moment."""
    with pytest.raises(MethodError, match=f"{parameter}= of 'open' asked 'time_left', which returned -1, which is neg"):
        Walk(deadline(-1, parameter, job))


def test_a_method_that_raises_is_named_with_the_entity_and_what_it_raised() -> None:
    def raising(machine: Any) -> Any:
        raise KeyError("due_at")

    with pytest.raises(MethodError, match="timeout= of 'open' asked 'time_left', which raised KeyError: 'due_at'") as e:
        Walk(deadline(raising))
    assert isinstance(e.value.__cause__, KeyError)


def test_what_a_machine_redacts_is_not_quoted() -> None:
    class Secretive(Machine):
        initial = "open"
        redact = ["code"]
        states = [State("open", timeout="time_left"), State("over", final=True)]
        transitions = [["timeout", "open", "over"]]

        def time_left(self) -> Any:
            return self.data["code"]

    with pytest.raises(MethodError) as caught:
        Walk(Secretive, {"code": "tok-4711"})
    assert "4711" not in str(caught.value)


def test_a_deadline_that_raises_keeps_the_result_of_the_job_before_it() -> None:
    class Order(Machine):
        initial = "busy"
        states = [State("busy", job=lambda machine: None), State("resting", timeout=lambda machine: 1 / 0)]
        states += [State("over", final=True)]
        transitions = [["done", "busy", "resting"], ["timeout", "resting", "over"]]

    walk = Walk(Order)
    walk.returns(kept=True)
    assert (walk.state, walk.failure.error_type) == ("failed_from_busy", "ZeroDivisionError")
    assert walk.snapshot.result_text is not None


@pytest.mark.parametrize("returned", [5, None, "", "x" * 101, "a\nb", "a,b"])
def test_a_function_that_returns_no_queue_is_refused(returned: Any) -> None:
    class Order(Machine):
        initial = "new"
        states = ["new", State("busy", job=lambda machine: None, queue=lambda machine: returned)]
        states += [State("over", final=True)]
        transitions = [["work", "new", "busy"], ["done", "busy", "over"]]

    with pytest.raises(MethodError, match="order:1: queue= of 'busy' asked '<lambda>', which returned"):
        Walk(Order).trigger("work")


def test_a_deadline_fires_timeout_as_the_engine() -> None:
    walk = Walk(Approval)
    walk.trigger("ask", wait=30)
    walk.timer()
    assert (walk.state, walk.now, walk.last.trigger, walk.last.actor) == ("over", NOW + 30_000, "timeout", None)
    assert walk.snapshot.work is None


def test_a_deadline_that_every_guard_refuses_stays_as_it_is() -> None:
    walk = Walk(Approval, {"endless": True})
    walk.trigger("ask", wait=30)
    before = walk.snapshot
    with pytest.raises(TransitionNotAllowed, match="guard 'may_end' is false"):
        walk.timer()
    assert walk.snapshot is before


def test_a_deadline_may_be_internal_and_is_over_then() -> None:
    walk = Walk(Approval, {"patient": True})
    walk.trigger("ask", wait=30)
    walk.timer()
    assert (walk.state, walk.last.kind, walk.snapshot.work) == ("resting", "internal", None)
    assert walk.data["reminded"] == "2026-01-02T03:04:35+00:00"
    assert "timeout" in walk.allowed(), "no deadline is running any more"
    walk.trigger("timeout")
    with pytest.raises(StaleClaim, match="no timer is running"):
        walk.happen(TimerFired())


def test_entering_anew_starts_the_deadline_anew_and_another_state_ends_it() -> None:
    walk = Walk(Approval)
    walk.trigger("ask", wait=30)
    walk.advance(20)
    walk.trigger("ask", wait=50)
    assert walk.work.wake_at == walk.now + 50_000
    walk.trigger("cancel")
    assert walk.snapshot.work is None


def test_a_delay_fires_done_and_other_triggers_go_on_meanwhile() -> None:
    walk = Walk(Approval)
    walk.trigger("cool")
    with pytest.raises(TransitionNotAllowed, match="belongs to the engine"):
        walk.trigger("done")
    assert "timeout" in walk.allowed(), "it is a trigger like any other where only a delay runs"
    walk.trigger("note")
    walk.timer()
    assert (walk.state, walk.last.trigger, walk.work.kind) == ("busy", "done", "job")
    other = Walk(Approval)
    other.trigger("cool")
    other.trigger("hurry")
    assert other.state == "busy"


def test_a_timer_that_fires_where_none_runs_changes_nothing() -> None:
    walk = Walk(Approval)
    for step in (None, "work", "rest"):
        if step:
            walk.trigger(step)
        with pytest.raises(StaleClaim, match="no timer is running"):
            decide(walk.definition, walk.snapshot, TimerFired(), walk.now)


def test_a_paused_timer_stands_still_and_gets_its_remaining_time_back() -> None:
    walk = Walk(Approval)
    walk.trigger("cool")
    walk.advance(30)
    commit = walk.pause()
    assert (commit.rings, walk.snapshot.paused, walk.work.held, walk.work.wake_at) == (
        False,
        True,
        70_000,
        FAR_FUTURE_MS,
    )
    with pytest.raises(StaleClaim):
        decide(walk.definition, walk.snapshot, TimerFired(), walk.now)
    walk.advance(10_000)
    walk.resume()
    assert (walk.snapshot.paused, walk.work.held, walk.work.wake_at) == (False, None, walk.now + 70_000)
    assert [(entry.kind, entry.actor, entry.source, entry.dest) for entry in walk.history[-2:]] == [
        ("paused", "ops", "cooling", "cooling"),
        ("resumed", "ops", "cooling", "cooling"),
    ]


def test_a_timer_that_was_overdue_is_due_on_resume() -> None:
    walk = Walk(Approval)
    walk.trigger("cool")
    walk.advance(500)
    walk.pause()
    walk.advance(500)
    walk.resume()
    assert walk.work.wake_at == walk.now


def test_a_waiting_retry_is_held_with_its_remaining_time() -> None:
    walk = Walk(Approval)
    walk.trigger("work")
    walk.fails()
    walk.advance(15)
    walk.pause()
    assert walk.work.held == 25_000
    walk.advance(500)
    commit = walk.resume()
    assert (walk.work.wake_at, walk.work.rung_at, commit.rings) == (walk.now + 25_000, None, False)


def test_a_dispatched_job_is_held_and_dispatched_anew_on_resume() -> None:
    walk = Walk(Approval)
    walk.trigger("work")
    dispatch = walk.work.dispatch
    walk.pause()
    assert (walk.work.held, walk.work.rung_at, walk.work.wake_at) == (0, None, FAR_FUTURE_MS)
    walk.advance(500)
    commit = walk.resume()
    assert commit.rings
    assert (walk.work.dispatch, walk.work.rung_at, walk.work.wake_at) == (dispatch + 1, walk.now, walk.now + GRACE_MS)


def test_a_running_attempt_is_left_alone_and_what_comes_next_is_held() -> None:
    walk = Walk(Approval)
    walk.trigger("work")
    claim, work = walk.claim(), walk.work
    walk.pause()
    assert walk.work is work
    assert claim.holds(walk.snapshot)
    walk.returns(result=1)
    assert (walk.state, walk.data, walk.work.held) == ("cooling", {"result": 1}, 100_000)
    walk.resume()
    assert walk.work.wake_at == walk.now + 100_000


@pytest.mark.parametrize("end", ["fails", "crashes", "postpones"])
def test_the_next_attempt_of_a_paused_step_is_held(end: str) -> None:
    walk = Walk(Approval)
    walk.trigger("work")
    walk.claim()
    walk.pause()
    commit = walk.postpones(40) if end == "postpones" else getattr(walk, end)()
    held = {"fails": 40_000, "crashes": 0, "postpones": 40_000}[end]
    assert (commit.rings, walk.work.held, walk.work.attempt) == (False, held, 2)
    commit = walk.resume()
    assert commit.rings is (held == 0)


def test_a_paused_entity_takes_triggers_and_holds_the_work_of_the_state_that_it_enters() -> None:
    walk = Walk(Approval)
    walk.pause()
    commit = walk.trigger("work")
    assert (walk.state, commit.rings, walk.work.held, walk.work.wake_at) == ("busy", False, 0, FAR_FUTURE_MS)
    walk.trigger("rest")
    walk.trigger("cool")
    assert (walk.work.held, walk.snapshot.paused) == (100_000, True)
    walk.trigger("cancel")
    assert (walk.state, walk.snapshot.work) == ("cancelled", None)
    walk.resume()
    assert not walk.snapshot.paused


def test_a_paused_entity_that_is_retried_is_held() -> None:
    walk = Walk(Approval)
    walk.trigger("work")
    walk.fails(permanent=True)
    walk.pause()
    commit = walk.retry()
    assert (walk.state, commit.rings, walk.work.held) == ("busy", False, 0)


def test_pausing_twice_loses_no_remaining_time() -> None:
    walk = Walk(Approval)
    walk.trigger("cool")
    walk.advance(30)
    walk.pause()
    walk.advance(30)
    walk.pause()
    walk.resume()
    assert walk.work.wake_at == walk.now + 70_000
    walk.resume()
    assert walk.work.wake_at == walk.now + 70_000
