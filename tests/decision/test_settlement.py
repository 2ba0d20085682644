"""How an attempt ends: returned, failed, postponed, crashed, saved; and what is left of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmflow import (
    DataError,
    Fail,
    Machine,
    Retry,
    RetryAfter,
    State,
    StepTimeout,
    TransitionNotAllowed,
)
from fsmflow.decision.decide import decide
from fsmflow.decision.entity import Claim, StaleClaim
from fsmflow.decision.failure import Facts
from fsmflow.decision.happenings import Changes, Crashed, Failed, Postponed, Returned, Saved, Settling
from fsmflow.decision.work import FAR_FUTURE_MS, GRACE_MS
from tests.support.walk import NOW, Walk

POLICY = Retry(3, interval=10, backoff=3, max_interval=60, jitter=0, on=(OSError, StepTimeout), never=FileNotFoundError)


HUGE = pytest.param(10**400, id="more than a float can hold")


class Shop(Machine):
    """Charges under a policy, packs without one."""

    initial = "charging"
    states = [
        State("charging", job="act", retry=POLICY),
        State("packing", job="act", queue="slow"),
        State("declined", final=True),
        State("shipped", final=True),
    ]
    transitions = [
        ["done", "charging", "packing"],
        ["declined", "charging", "declined"],
        ["fail", "charging", "declined", "is_hopeless"],
        ["done", "packing", "shipped"],
        ["again", "packing", "charging"],
        {"trigger": "note", "source": "*", "dest": None},
    ]

    def is_hopeless(self) -> bool:
        return self.failure is not None and "hopeless" in self.failure.message

    def act(self) -> None: ...


def test_a_result_is_merged_before_anything_is_asked() -> None:
    seen: list[Any] = []

    class Order(Shop):
        transitions = [
            ["done", "charging", "packing", "is_large"],
            ["done", "charging", "shipped"],
            *Shop.transitions[1:],
        ]

        def is_large(self) -> bool:
            seen.append((self.state, self.event.trigger, dict(self.data), self.attempt))
            return bool(self.data["amount"] > 10)

    walk = Walk(Order, {"amount": 5, "old": 1, "gone": 1})
    walk.returns(amount=50, removed=["gone"])
    assert seen == [("charging", "done", {"amount": 50, "old": 1}, 1)]
    assert (walk.state, walk.data) == ("packing", {"amount": 50, "old": 1})
    assert (walk.last.kind, walk.last.attempt, walk.last.duration) == ("transition", 1, 1.5)


def test_a_settling_job_writes_only_the_keys_that_it_changed_and_they_win() -> None:
    class Order(Shop):
        transitions = [*Shop.transitions[:-1], {"trigger": "note", "source": "*", "dest": None, "before": "jot"}]

        def jot(self) -> None:
            self.data.update(self.event.payload)

    walk = Walk(Order, {"a": 1, "b": 1, "c": 1})
    walk.claim()
    walk.trigger("note", a=2, b=2, c=2, d=2)
    walk.returns(b=3, removed=["c"])
    assert walk.data == {"a": 2, "b": 3, "d": 2}


def test_an_outcome_fires_its_trigger_instead_of_done() -> None:
    walk = Walk(Shop)
    walk.returns("declined", code=51)
    assert (walk.state, walk.data, walk.last.trigger) == ("declined", {"code": 51}, "declined")


def test_a_commit_that_leads_to_the_next_job_wants_it_dispatched() -> None:
    walk = Walk(Shop)
    commit = walk.returns()
    assert commit.rings
    assert commit.claim is not None
    work = walk.work
    assert (work.epoch, work.attempt, work.dispatch, work.owner, work.queue) == (2, 1, 0, None, "slow")
    assert work.fence == commit.claim.fence, "a fence never goes back"
    assert (work.rung_at, work.wake_at) == (walk.now, walk.now + GRACE_MS)


def every_settling(claim: Claim) -> list[Settling]:
    return [
        Returned(claim=claim, trigger="done", changes=Changes()),
        Failed(claim=claim, facts=Facts(kind=OSError, message="")),
        Postponed(claim=claim, seconds=5),
        Crashed(claim=claim, detail=""),
        Saved(claim=claim, changes=Changes()),
    ]


@pytest.mark.parametrize("what", ["left", "cancelled", "retried", "crashed", "taken over", "not claimed"])
@pytest.mark.parametrize("which", range(5))
def test_the_end_of_an_attempt_that_no_longer_counts_changes_nothing(what: str, which: int) -> None:
    walk = Walk(Shop)
    unclaimed = Claim(row=7, epoch=1, attempt=1, fence=0, owner="nobody")
    claim = unclaimed if what == "not claimed" else walk.claim()
    if what == "left":
        walk.returns()
    elif what == "cancelled":
        walk.trigger("cancel")
    elif what == "retried":
        walk.fails()
    elif what == "crashed":
        walk.crashes()
    elif what == "taken over":
        walk.crashes()
        walk.claim()
    with pytest.raises(StaleClaim):
        decide(walk.definition, walk.snapshot, every_settling(claim)[which], walk.now)


def test_a_failure_is_retried_as_often_as_the_policy_says_with_growing_intervals() -> None:
    walk = Walk(Shop)
    waits = []
    for attempt in (1, 2, 3):
        commit = walk.fails()
        assert (commit.rings, walk.state, walk.work.attempt) == (False, "charging", attempt + 1)
        assert (walk.work.rung_at, walk.work.owner, walk.work.failures) == (None, None, attempt)
        assert (walk.last.kind, walk.last.attempt, walk.failure.attempts) == ("attempt_failed", attempt, attempt)
        assert not walk.failure.permanent
        waits.append((walk.work.wake_at - walk.now) / 1000)
        walk.now = walk.work.wake_at
    assert waits == [10, 30, 60]
    walk.fails()
    assert (walk.state, walk.snapshot.phase, walk.snapshot.work) == ("failed_from_charging", "failed", None)
    assert (walk.failure.error_type, walk.failure.message) == ("ConnectionError", "the bank is away")
    assert (walk.failure.attempts, walk.failure.permanent, walk.failure.state) == (4, True, "charging")
    assert walk.snapshot.fingerprint == walk.failure.fingerprint
    assert walk.kinds() == ["start", "attempt_failed", "attempt_failed", "attempt_failed", "transition"]


def test_the_intervals_may_be_a_list_whose_last_one_repeats() -> None:
    policy = Retry(4, [1, 5], backoff=100, jitter=0)
    assert [policy.delay_ms(failures, 0.9) for failures in (1, 2, 3, 4)] == [1_000, 5_000, 5_000, 5_000]


@given(
    interval=st.floats(0, 1e6),
    backoff=st.floats(1, 1e300),
    most=st.floats(0, 1e10),
    jitter=st.floats(0, 1),
    failures=st.integers(1, 10**6),
    spread=st.floats(0, 1, exclude_max=True),
)
def test_an_interval_is_within_its_jitter_and_its_limit_whatever_the_policy(
    interval: float, backoff: float, most: float, jitter: float, failures: int, spread: float
) -> None:
    policy = Retry(1, interval, backoff, most, jitter)
    plain = Retry(1, interval, backoff, most, 0).delay_ms(failures, spread)
    assert 0 <= plain <= round(most * 1000)
    assert plain >= min(round(interval * 1000), round(most * 1000))
    rounded = 0.5 * (1 + jitter) + 0.5  # both are whole milliseconds
    assert plain * (1 - jitter) - rounded <= policy.delay_ms(failures, spread) <= plain * (1 + jitter) + rounded


def test_the_jitter_differs_between_entities_and_attempts_and_is_the_same_when_decided_again() -> None:
    class Spread(Shop):
        states = [State("charging", job="act", retry=Retry(99, 100, 1, jitter=0.5)), *Shop.states[1:]]

    walk = Walk(Spread)
    waits = set()
    for _ in range(50):
        happening = Failed(claim=walk.live_claim(), facts=Facts(kind=OSError, message=""))
        again = decide(walk.definition, walk.snapshot, happening, walk.now)
        assert walk.happen(happening).after == again.after
        wait = walk.work.wake_at - walk.now
        assert 50_000 <= wait <= 150_000
        waits.add(wait)
    assert len(waits) > 40


@pytest.mark.parametrize(
    ("error", "permanent", "retried"),
    [
        (ConnectionError(), False, True),
        (OSError(), False, True),
        (FileNotFoundError(), False, False),
        (ValueError(), False, False),
        (SystemExit(), False, False),
        (StepTimeout(), False, True),
        (Fail("no such card"), True, False),
        (ConnectionError(), True, False),
    ],
)
def test_only_what_the_policy_is_for_is_retried(error: BaseException, permanent: bool, retried: bool) -> None:
    walk = Walk(Shop)
    walk.fails(error, permanent=permanent)
    assert walk.state == ("charging" if retried else "failed_from_charging")
    assert walk.failure.error_type == type(error).__name__
    assert walk.failure.permanent is not retried


def test_without_a_policy_the_first_failure_is_for_good() -> None:
    walk = Walk(Shop)
    walk.returns()
    walk.fails()
    assert (walk.state, walk.failure.attempts) == ("failed_from_packing", 1)


def test_retry_after_is_no_failure_and_leaves_no_trace_however_often_it_is_raised() -> None:
    walk = Walk(Shop)
    for turn in range(1_500):
        walk.postpones(5)
        assert (walk.work.attempt, walk.work.postponed, walk.work.failures) == (turn + 2, turn + 1, 0)
    assert (walk.work.wake_at, walk.work.rung_at) == (walk.now + 5_000, None)
    assert (walk.kinds(), walk.snapshot.failure) == (["start"], None)


def test_retry_after_no_time_runs_again_at_once() -> None:
    walk = Walk(Shop)
    commit = walk.postpones(0)
    assert commit.rings
    assert walk.work.rung_at == walk.now


@pytest.mark.parametrize("seconds", [float("inf"), 1e300, 1e12])
def test_retry_after_is_clipped_to_what_can_be_stored(seconds: float) -> None:
    walk = Walk(Shop)
    walk.postpones(seconds)
    assert walk.now < walk.work.wake_at < FAR_FUTURE_MS


def test_failures_and_crashes_and_postponements_have_budgets_of_their_own() -> None:
    walk = Walk(Shop)
    for happen in (walk.fails, walk.crashes, walk.fails, walk.crashes, lambda: walk.postpones(1), walk.crashes):
        happen()
        assert walk.state == "charging"
    assert (walk.work.failures, walk.work.crashes, walk.work.postponed, walk.work.attempt) == (2, 3, 1, 7)
    walk.fails()
    walk.crashes()
    assert (walk.state, walk.failure.error_type) == ("failed_from_charging", "WorkerLost")


def test_a_crash_is_run_again_at_once_three_times_and_then_for_good() -> None:
    walk = Walk(Shop)
    walk.returns()
    for crash in (1, 2, 3):
        commit = walk.crashes()
        assert (commit.rings, walk.state, walk.work.attempt) == (True, "packing", crash + 1)
        assert (walk.work.dispatch, walk.work.progress, walk.work.lease_until) == (0, None, None)
        assert (walk.last.kind, walk.failure.error_type) == ("crashed", "WorkerLost")
    walk.crashes()
    assert (walk.state, walk.failure.error_type, walk.failure.permanent) == ("failed_from_packing", "WorkerLost", True)
    assert walk.failure.message == "signal 9 ended its worker (run 4 of 4 that was lost)"
    assert walk.failure.attempts == 4


def test_a_manual_retry_starts_with_fresh_budgets() -> None:
    walk = Walk(Shop)
    for _ in range(4):
        walk.crashes()
    walk.retry()
    assert (walk.work.crashes, walk.work.failures, walk.work.postponed) == (0, 0, 0)
    for _ in range(3):
        walk.crashes()
    assert walk.state == "charging"


def test_a_guarded_fail_is_a_catch_that_sees_the_failure() -> None:
    walk = Walk(Shop)
    walk.fails(Fail("hopeless"), permanent=True)
    assert (walk.state, walk.last.trigger, walk.last.failure and walk.last.failure.message) == (
        "declined",
        "fail",
        "hopeless",
    )
    assert walk.snapshot.failure is None


@pytest.mark.parametrize("place", ["conditions", "prepare", "before", "after"])
def test_a_fail_that_raises_leads_to_the_failed_state_past_it(place: str) -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def burst(machine: Machine) -> None:
        machine.data["half"] = "done"
        raise (ZeroDivisionError("ouch\x00\ud800" + "!" * 5_000) if machine.data["plain"] else Unprintable)

    class Burst(Shop):
        transitions = [
            *Shop.transitions[:2],
            *Shop.transitions[3:],
            {"trigger": "fail", "source": "charging", "dest": "declined", place: burst},
        ]

    for plain, told in ((True, "ZeroDivisionError: ouch"), (False, "Unprintable: (its message cannot be shown)")):
        walk = Walk(Burst, {"plain": plain})
        walk.fails(ValueError("the first cause"))
        assert (walk.state, walk.failure.message, walk.data) == (
            "failed_from_charging",
            "the first cause",
            {"plain": plain},
        )
        reason = walk.last.reason or ""
        assert told in reason or reason.startswith("...")
        assert len(reason) <= 1_003
        assert "\x00" not in reason
        reason.encode()


def test_saving_commits_data_and_leaves_the_attempt_running() -> None:
    walk = Walk(Shop, {"a": 1, "b": 1})
    claim = walk.claim()
    work = walk.work
    walk.saves(a=2, removed=["b"])
    assert (walk.data, walk.snapshot.epoch, walk.work) == ({"a": 2}, 1, work)
    assert (walk.last.kind, walk.last.attempt) == ("saved", 1)
    assert claim.holds(walk.snapshot)
    with pytest.raises(DataError, match=r"data\['a'\] is nan"):
        walk.saves(a=float("nan"))


def test_what_is_recorded_of_an_error_is_clipped_and_can_be_stored() -> None:
    walk = Walk(Shop)
    facts = Facts(kind=ValueError, message="m" * 9_999 + "\x1b[31m\ud800", traceback="t\n\t" * 9_999)
    walk.happen(Failed(claim=walk.claim(), facts=facts))
    failure = walk.failure
    assert len(failure.message) <= 2_003
    assert len(failure.traceback) <= 8_003
    assert "\n\t" in failure.traceback
    assert "\x1b" not in failure.message


def test_a_retry_from_a_working_state_is_refused() -> None:
    with pytest.raises(TransitionNotAllowed, match="no transition 'retry' starts there"):
        Walk(Shop).retry()


@pytest.mark.parametrize("seconds", ["5", None, True, float("nan"), 10**11, HUGE])
def test_retry_after_takes_a_duration(seconds: Any) -> None:
    with pytest.raises(DataError, match="it takes seconds or a timedelta"):
        RetryAfter(seconds)


@pytest.mark.parametrize("given", [90, 90.0, timedelta(minutes=1.5), -5, -(10**30), float("-inf")])
def test_retry_after_is_seconds_or_a_timedelta_and_what_is_past_means_at_once(given: Any) -> None:
    assert RetryAfter(given).seconds == (90 if given in (90, timedelta(seconds=90)) else 0)
    assert str(RetryAfter(given)) == f"run again in {RetryAfter(given).seconds:g} s"
    assert str(RetryAfter(given, "the bank sleeps")) == "the bank sleeps"


def test_times_are_those_that_were_given() -> None:
    walk = Walk(Shop)
    walk.advance(90)
    walk.returns()
    assert (walk.snapshot.created_at, walk.snapshot.entered_at, walk.snapshot.updated_at) == (
        NOW,
        NOW + 90_000,
        NOW + 90_000,
    )
