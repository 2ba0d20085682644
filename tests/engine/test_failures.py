"""Jobs that fail: automatic retries, failures for good, kept results, and retries by hand."""

from __future__ import annotations

from typing import Any

import pytest

from fsmflow import DataError, Fail, Outcome, RetryAfter, TransitionNotAllowed
from tests.support.bench import Bench
from tests.support.machines import Order, play


def charging(**data: Any) -> Any:
    order = Order.start("1", **data)
    order.submit()
    return order


def raising(error: BaseException) -> Any:
    def act(machine: Any) -> None:
        raise type(error)(*error.args)

    return act


def raising_retry_after(seconds: float) -> Any:
    def act(machine: Any) -> None:
        raise RetryAfter(seconds)

    return act


def test_a_failed_job_runs_again_after_its_interval_until_it_succeeds(bench: Bench) -> None:
    order = charging()
    play["charging"] = raising(ConnectionError("try 1"))
    bench.step()
    assert (order.refresh().state, order.phase, order.attempt) == ("charging", "working", 2)
    assert order.failure.message == "try 1"
    assert (order.failure.error_type, order.failure.attempts, order.failure.permanent) == ("ConnectionError", 1, False)
    bench.advance(9.9)
    assert bench.queued() == []
    bench.advance(0.1)
    play["charging"] = lambda machine: {"attempt": machine.attempt, "failure": machine.failure.message}
    bench.step()
    assert (order.refresh().state, order.data) == ("shipping", {"attempt": 2, "failure": "try 1"})
    assert order.failure is None
    assert [(entry.kind, entry.attempt) for entry in order.history[2:]] == [("attempt_failed", 1), ("transition", 2)]


def test_intervals_grow_and_the_last_failure_is_for_good(bench: Bench) -> None:
    order = charging()
    play["charging"] = raising(ConnectionError("down"))
    bench.step()
    bench.advance(10)
    bench.step()
    assert order.refresh().state == "charging"
    bench.advance(29.9)
    assert bench.queued() == []
    bench.advance(0.1)
    bench.step()
    assert (order.refresh().state, order.phase) == ("failed_from_charging", "failed")
    assert (order.failure.attempts, order.failure.permanent, order.failure.state) == (3, True, "charging")
    assert [entry.kind for entry in order.history[2:]] == ["attempt_failed", "attempt_failed", "transition"]
    assert order.history[-1].failure == order.failure
    assert "ConnectionError: down" in order.failure.traceback
    assert order.failure.origin == "tests.engine.test_failures.raising.<locals>.act"
    assert "fsmflow/running" not in order.failure.traceback
    bench.advance(100_000)
    assert bench.queued() == []


@pytest.mark.parametrize("error", [Fail("no such card"), KeyError("card")])
def test_what_no_retry_would_help_fails_for_good_at_once(bench: Bench, error: Exception) -> None:
    order = charging()
    play["charging"] = raising(error)
    bench.step()
    assert (order.refresh().state, order.failure.attempts) == ("failed_from_charging", 1)


@pytest.mark.parametrize(
    "result", [5, "done", [1], object(), {"x": object()}, {1: 2}, Outcome("fail"), Outcome("retry")]
)
def test_a_job_that_returns_what_cannot_be_used_fails_for_good(bench: Bench, result: Any) -> None:
    order = charging()
    play["charging"] = lambda machine: result
    bench.step()
    assert (order.refresh().state, order.failure.error_type) == ("failed_from_charging", "DataError")
    assert order.data == {}


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_a_job_that_wants_to_end_the_process_has_failed(bench: Bench, error: BaseException) -> None:
    order = charging()
    play["charging"] = raising(error)
    bench.step()
    assert order.refresh().failure.error_type == type(error).__name__


def test_an_error_is_recorded_whatever_its_text_holds(bench: Bench) -> None:
    order = charging()
    play["charging"] = raising(LookupError("NUL \x00 and half a character \ud83d and 🙂" + "x" * 100_000))
    bench.step()
    assert order.refresh().state == "failed_from_charging"
    assert order.failure.message
    assert len(order.failure.message) < 5_000
    assert order.history[-1].failure == order.failure


def test_a_job_that_cannot_go_on_yet_is_run_again_without_counting_as_a_failure(bench: Bench) -> None:
    order = charging()
    play["charging"] = raising_retry_after(60)
    for attempt in range(2, 12):
        bench.step()
        assert (order.refresh().state, order.attempt, order.failure) == ("charging", attempt, None)
        bench.advance(59)
        assert bench.queued() == []
        bench.advance(1)
    play["charging"] = raising_retry_after(0)
    bench.step()
    assert len(bench.queued()) == 1, "at once means without a sweep"
    assert len(order.refresh().history) == 2, "it leaves no trace in the history"
    play["charging"] = raising(ConnectionError("the first failure"))
    bench.step()
    assert (order.refresh().state, order.failure.attempts) == ("charging", 12)


def test_a_guarded_fail_catches_a_failure(bench: Bench) -> None:
    order = charging()
    play["charging"] = raising(Fail("hopeless"))
    bench.step()
    assert (order.refresh().state, order.phase, order.failure) == ("rejected", "finished", None)
    assert (order.history[-1].trigger, order.history[-1].failure.message) == ("fail", "hopeless")


def test_a_result_that_nothing_accepts_is_kept_and_decided_again_once_the_guard_is_mended(bench: Bench) -> None:
    order = charging(amount=5)
    runs: list[int] = []

    def act(machine: Any) -> dict[str, int]:
        runs.append(machine.attempt)
        machine.data["amount"] = 6
        return {"charge": 7}

    play["charging"] = act
    play["is_small"] = lambda machine: False
    bench.step()
    assert (order.refresh().state, order.data) == ("failed_from_charging", {"amount": 5})
    assert "guard 'is_large' is false" in order.failure.message
    assert "The result is kept" in order.failure.message
    play["is_small"] = lambda machine: True
    order.retry()
    assert (order.state, order.data) == ("shipping", {"amount": 6, "charge": 7})
    assert runs == [1]
    assert [(entry.trigger, entry.dest) for entry in order.history[-2:]] == [
        ("retry", "charging"),
        ("done", "shipping"),
    ]
    assert [entry.seq for entry in order.history] == [1, 2, 3, 4, 5]
    assert [ticket.epoch for ticket in bench.queued("slow")] == [order.epoch]
    assert bench.queued() == []


def test_a_kept_result_that_is_still_refused_runs_the_job_again(bench: Bench) -> None:
    order = charging()
    runs: list[int] = []
    play["charging"] = lambda machine: runs.append(machine.attempt)
    play["is_small"] = lambda machine: 1 / 0
    bench.step()
    assert "ZeroDivisionError" in order.refresh().failure.message
    order.retry()
    assert order.state == "charging"
    play["is_small"] = lambda machine: True
    bench.step()
    assert (order.refresh().state, runs) == ("shipping", [1, 2])


def test_a_kept_result_gives_way_to_edited_data_and_to_a_new_key(bench: Bench) -> None:
    order = charging(amount=5)
    play["charging"] = lambda machine: {"amount": 0, "charge": 7}
    play["is_small"] = lambda machine: machine.data["amount"] > 0
    bench.step()
    assert order.refresh().state == "failed_from_charging"
    order.retry(data={"amount": 9})
    assert (order.state, order.data) == ("shipping", {"amount": 9, "charge": 7})


def test_a_retry_by_hand_goes_on_with_the_same_step_and_fresh_budgets(bench: Bench) -> None:
    order = charging(card="tok_1")
    keys: list[str] = []

    def act(machine: Any) -> None:
        keys.append(machine.idempotency_key)
        raise ConnectionError(machine.data["card"])

    play["charging"] = act
    for wait in (10, 30, 0):
        bench.step()
        bench.advance(wait)
    assert (order.refresh().state, order.failure.attempts) == ("failed_from_charging", 3)
    before = order.epoch
    assert order.retry(data={"card": "tok_2"}, actor="alice", reason="a new card", key="k") is order
    assert (order.state, order.epoch, order.attempt, order.data) == ("charging", before + 1, 4, {"card": "tok_2"})
    assert order.event.trigger == "submit", "the event that first entered the step is kept"
    assert (order.history[-1].trigger, order.history[-1].actor, order.history[-1].reason) == (
        "retry",
        "alice",
        "a new card",
    )
    assert order.failure is None
    for wait in (10, 30, 0):
        bench.step()
        bench.advance(wait)
    failure = order.refresh().failure
    assert failure is not None
    assert (order.state, failure.attempts, failure.message) == (
        "failed_from_charging",
        6,
        "tok_2",
    )
    assert len(set(keys)) == 1
    order.retry(new_key=True)
    bench.step()
    assert len(set(keys)) == 2


def test_a_new_visit_of_a_state_is_a_new_step_with_a_new_key(bench: Bench) -> None:
    order = charging()
    keys: list[str] = []
    play["charging"] = lambda machine: keys.append(machine.idempotency_key)
    order.trigger("again")
    bench.step()
    bench.step()
    other = Order.start("2")
    other.submit()
    bench.step()
    assert len(keys) == 2, "the doorbell of the first visit found nothing to run"
    assert len(set(keys)) == 2


@pytest.mark.parametrize("state", ["pending", "charging"])
def test_only_what_failed_can_be_retried(bench: Bench, state: str) -> None:
    order = Order.start("1")
    if state == "charging":
        order.submit()
    with pytest.raises(TransitionNotAllowed, match="'retry' was refused"):
        order.retry(data={"x": 1})
    for wrong in ([1], "text", {"x": object()}):
        with pytest.raises((DataError, TransitionNotAllowed)):
            order.retry(data=wrong)  # type: ignore[arg-type]  # what is no data
    assert order.refresh().data == {}


def test_resuming_what_failed_retries_it(bench: Bench) -> None:
    order = charging()
    play["charging"] = raising(Fail("no"))
    bench.step()
    assert order.resume(actor="bob").state == "charging"
    assert (order.history[-1].trigger, order.history[-1].actor) == ("retry", "bob")
    play.clear()
    bench.step()
    assert order.refresh().state == "shipping"
