"""``within``: how long a whole step may take, with all its attempts, waits and crashes."""

from __future__ import annotations

from typing import Any

import pytest

from fsmflow import DefinitionError, Fail, Machine, Retry, State
from tests.support.walk import Walk


class Shipment(Machine):
    """Booked within a minute, whatever the carrier does; else somebody calls."""

    initial = "booking"
    states = [
        State("booking", job="act", within=60, timeout=20, retry=Retry(9, 25, backoff=1, jitter=0)),
        State("tracking", job="act", within="patience"),
        State("asking", job="act", wait=True, within=50),
        State("calling", final=True),
        State("over", final=True),
    ]
    transitions = [
        ["done", "booking", "tracking"],
        ["timeout", "booking", "calling", "somebody_is_there"],
        ["done", "tracking", "asking"],
        ["answer", "asking", "over"],
        ["fail", "tracking", "calling", "somebody_is_there"],
    ]

    def act(self) -> None: ...

    def patience(self) -> Any:
        return self.data.get("patience", 30)

    def somebody_is_there(self) -> bool:
        if self.data.get("breaks"):
            raise LookupError("the roster is gone")
        return bool(self.data.get("staffed"))


def test_attempts_and_waits_are_bounded_together_and_timeout_fires_where_it_is_taken() -> None:
    walk = Walk(Shipment, {"staffed": True})
    began = walk.now
    walk.fails()
    assert walk.work.wake_at == began + 25_000
    walk.advance(25)
    walk.postpones(3_600)
    assert walk.work.wake_at == began + 60_000, "it is put off no further than to the end of its step"
    walk.timer()
    assert (walk.state, walk.last.trigger) == ("calling", "timeout")
    assert walk.last.attempt is None, "the second has ended before, postponed"


def test_where_nothing_takes_the_timeout_the_step_fails_and_a_retry_has_its_time_anew() -> None:
    walk = Walk(Shipment)
    walk.fails(ConnectionError("the carrier is away"))
    walk.advance(60)
    walk.timer()
    assert walk.state == "failed_from_booking"
    assert (walk.failure.error_type, walk.failure.attempts, walk.failure.permanent) == ("StepTimeout", 1, True)
    assert "in the time that it has, within= of 1 min, in which 1 attempt was begun" in walk.failure.message
    assert "ConnectionError: the carrier is away" in walk.failure.message
    walk.advance(1_000)
    walk.retry()
    assert walk.work.deadline == walk.now + 60_000
    walk.returns()
    assert walk.state == "tracking"


def test_crashes_use_up_the_time_of_the_step_too() -> None:
    walk = Walk(Shipment)
    walk.crashes()
    walk.advance(59)
    walk.crashes()
    assert walk.work.wake_at == walk.work.deadline
    walk.timer()
    assert (walk.state, walk.failure.error_type, walk.failure.attempts) == ("failed_from_booking", "StepTimeout", 2)
    assert "WorkerLost" in walk.failure.message


def test_a_failure_after_the_end_is_not_retried_and_takes_the_same_way() -> None:
    staffed, alone = Walk(Shipment, {"staffed": True}), Walk(Shipment)
    for walk in (staffed, alone):
        walk.advance(61)
        walk.fails(ConnectionError("the carrier is away"))
    assert (staffed.state, staffed.last.trigger) == ("calling", "timeout")
    assert (alone.state, alone.failure.error_type) == ("failed_from_booking", "ConnectionError")


def test_a_result_that_is_committed_first_counts() -> None:
    walk = Walk(Shipment)
    walk.advance(61)
    walk.returns()
    assert walk.state == "tracking"


def test_a_failure_of_the_time_takes_the_fail_transitions_of_the_user() -> None:
    walk = Walk(Shipment, {"staffed": True})
    walk.returns()
    walk.postpones(1_000)
    walk.timer()
    assert (walk.state, walk.last.trigger) == ("calling", "fail")
    assert walk.last.failure is not None
    assert walk.last.failure.error_type == "StepTimeout"


def test_a_guard_of_timeout_that_raises_keeps_no_step_for_ever() -> None:
    walk = Walk(Shipment, {"breaks": True})
    walk.advance(60)
    walk.postpones(5)
    walk.timer()
    assert (walk.state, walk.failure.error_type) == ("failed_from_booking", "LookupError")
    assert "deciding 'timeout' raised LookupError: the roster is gone" in walk.failure.message


def test_a_step_that_asks_and_waits_fails_at_its_end() -> None:
    walk = Walk(Shipment)
    walk.returns()
    walk.returns()
    walk.returns()
    assert (walk.state, walk.snapshot.phase, walk.work.kind) == ("asking", "waiting", "timer")
    walk.timer()
    assert (walk.state, walk.failure.error_type) == ("failed_from_asking", "StepTimeout")


def test_a_pause_stops_the_time_of_a_step() -> None:
    walk = Walk(Shipment)
    walk.postpones(30)
    walk.advance(10)
    walk.pause()
    walk.advance(10_000)
    walk.resume()
    assert (walk.work.wake_at, walk.work.deadline) == (walk.now + 20_000, walk.now + 50_000)


def test_no_number_of_postponements_fails_a_step() -> None:
    walk = Walk(Shipment, {"patience": 10**6})
    walk.returns()
    for _ in range(2_000):
        walk.postpones(5)
    assert walk.state == "tracking"
    walk.fails(Fail("no"))
    assert walk.state == "failed_from_tracking"


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        (State("one", job="act", within=-1), "within=-1; it is seconds or a timedelta from 0, or a method"),
        (State("one", job="act", within="gone"), "there is no method 'gone' for within"),
        (State("one", within=5), "within= does not belong here: it has no job"),
        (State("one", final=True, within=5), "within= does not belong here: a final state does nothing"),
        (State("one", job="act", wait=True, within=5, timeout=6), "has both within= and timeout="),
        (State("one", job="act", timeout=30), "'timeout' from 'one' is never fired: timeout= of a job limits each"),
    ],
)
def test_what_cannot_be_meant_is_told(state: State, fault: str) -> None:
    with pytest.raises(DefinitionError) as caught:

        class Wrong(Machine):
            initial = "one"
            states = [state, State("two", final=True)]
            transitions = [["done", "one", "two"], ["timeout", "one", "two"], ["answer", "one", "two"]]

            def act(self) -> None: ...

    assert fault in str(caught.value)


def test_what_asked_at_its_second_attempt_is_told_as_that_once_its_time_is_over() -> None:
    walk = Walk(Shipment)
    walk.returns()
    walk.returns()
    walk.crashes()
    walk.returns()
    assert walk.state == "asking"
    walk.advance(50)
    walk.timer()
    assert (walk.state, walk.last.attempt, walk.failure.attempts) == ("failed_from_asking", 2, 2)
