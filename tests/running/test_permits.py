"""Limits of all entities, as workers, sweeps and crashes meet them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from fsmflow import holds, settings
from fsmflow.running.claim import claim_attempt
from fsmflow.running.executor import Executor
from fsmflow.running.lease import LEASE_MS
from fsmflow.running.permits import call_due
from fsmflow.store.link import Link
from tests.support.bench import Bench, bench_on
from tests.support.concurrency import in_threads
from tests.support.payments import Bounded, Payment, Refund, claimed, fail, keep, names, sent, violations
from tests.support.traces import ran


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=database_url, machines=(Payment, Refund, Bounded)) as bench:
        yield bench


def test_no_more_run_than_may_and_who_came_first_is_the_next(bench: Bench) -> None:
    payments = sent("pay", *"abcd")
    attempts = [claimed(bench) for _ in payments]
    assert names(attempts) == ["a", "b"]
    assert not bench.queued(), "who waits for a limit waits without a doorbell"
    assert not violations(bench)
    fail(bench, attempts[0])
    third = claimed(bench)
    assert names([third]) == ["c"]
    fail(bench, attempts[1])
    fail(bench, third)
    bench.run()
    assert ran == ["d"]
    assert payments[3].refresh().state == "over"
    assert not violations(bench)


def test_who_comes_later_does_not_come_before_who_was_called(bench: Bench) -> None:
    sent("pay", *"abc")
    attempts = [claimed(bench) for _ in range(3)]
    fail(bench, attempts[0])
    called = bench.take()
    sent("pay", "d")
    assert claimed(bench) is None, "the room is kept for the one that was called"
    assert names([claim_attempt(bench.runtime, called, "x" * 24)]) == ["c"]


def test_a_worker_that_died_has_no_permit_any_more(bench: Bench) -> None:
    sent("pay", *"abc")
    attempts = [claimed(bench) for _ in range(3)]
    keep(bench, attempts[1])
    bench.advance(LEASE_MS / 1000 + 1)
    bench.advance(2)
    again = [claimed(bench) for _ in bench.queued()]
    assert names(again) == ["c"], "the one that was lost waits behind it"
    assert not violations(bench)


def test_a_call_that_nobody_answers_is_over_after_a_while(bench: Bench) -> None:
    sent("pay", *"abcd")
    attempts = [claimed(bench) for _ in range(4)]
    fail(bench, attempts[0])
    bench.take()  # the doorbell of c is lost
    bench.clock.ms += 21_000
    keep(bench, attempts[1])
    call_due(bench.runtime)
    assert names([claimed(bench)]) == ["d"]


def test_in_a_minute_begin_so_many_of_each_customer_and_the_others_a_minute_later(bench: Bench) -> None:
    sent("write", *(f"a{number}" for number in range(5)), customer="a")
    sent("write", *(f"b{number}" for number in range(2)), customer="b")
    bench.run()
    assert ran == ["a0", "a1", "a2", "b0", "b1"], "who has used up its minute keeps nobody else waiting"
    bench.advance(59.9)
    bench.run()
    assert len(ran) == 5
    bench.advance(3)
    bench.run()
    assert ran[5:] == ["a3", "a4"]
    assert not violations(bench)


def test_a_retry_waits_in_line_with_the_same_step_and_key(bench: Bench) -> None:
    (broken,) = sent("pay", "a", fails=True)
    bench.step()
    sent("pay", *"bcd")
    attempts = [claimed(bench) for _ in range(3)]
    bench.advance(5)
    assert claimed(bench) is None, "its time has come, and two others have the permits"
    assert "behind one other in line" in str(broken.refresh().explain())
    for attempt in attempts[:2]:
        fail(bench, attempt)
    bench.run()
    assert ran == ["a", "d", "a"]
    assert [entry.attempt for entry in broken.history if entry.failure is not None] == [1, 2]


def test_who_is_paused_in_line_lets_others_go_first_and_keeps_its_place(bench: Bench) -> None:
    payments = sent("pay", *"abcde")
    attempts = [claimed(bench) for _ in payments]
    payments[2].pause()
    fail(bench, attempts[0])
    fourth = claimed(bench)
    assert names([fourth]) == ["d"]
    payments[2].resume()
    assert claimed(bench) is None
    fail(bench, fourth)
    assert names([claimed(bench)]) == ["c"], "it has waited for longer than e"


def test_what_a_hold_keeps_back_takes_nobodys_place(bench: Bench) -> None:
    payments = sent("pay", *"abcd")
    attempts = [claimed(bench) for _ in payments]
    hold = holds.hold("payment", where={"slow": True})
    held = Payment.start("e", slow=True)
    held.trigger("pay")
    assert claimed(bench) is None
    fail(bench, attempts[0])
    assert names([claimed(bench)]) == ["c"]
    holds.release(hold.number)
    bench.sweep()
    assert claimed(bench) is None
    assert "limit 'gateway' (running=2), behind one other" in str(held.refresh().explain())


def test_who_comes_back_to_a_step_in_which_it_once_waited_has_a_permit_of_its_own(bench: Bench) -> None:
    payments = sent("pay", *"abc")
    assert names(claimed(bench) for _ in payments) == ["a", "b"]
    payments[2].force("new")
    payments[2].trigger("pay")
    payments[0].cancel()
    assert names([claimed(bench)]) == ["c"]
    sent("pay", "d")
    assert claimed(bench) is None
    assert not violations(bench)


def test_explain_names_the_limit_the_place_and_who_holds_it(bench: Bench) -> None:
    payments = sent("pay", *"abcd")
    for _ in payments:
        claimed(bench)
    told = str(payments[3].explain())
    assert "a permit of limit 'gateway' (running=2), behind one other in line since" in told
    assert "held by payment:a (since" in told
    assert "payment:b" in told


def test_branches_ask_each_for_itself(bench: Bench) -> None:
    (payment,) = sent("pick", "a", parts=["x", "y", "z"])
    bench.step()
    attempts = [claimed(bench) for _ in range(3)]
    assert len(names(attempts)) == 1
    fail(bench, attempts[0])
    bench.run()
    assert ran == ["y", "z"]
    assert payment.refresh().state == "failed_from_sorting"


def test_a_worker_that_runs_on_takes_a_permit_for_each_step(bench: Bench) -> None:
    first, second = Refund.start("1"), Refund.start("2")
    executor = Executor(bench.runtime, goes_on=lambda steps: True)
    taken = [bench.take(), bench.take()]
    assert claim_attempt(bench.runtime, taken[0], "x" * 24) is not None
    assert claim_attempt(bench.runtime, taken[1], "y" * 24) is None
    bench.advance(LEASE_MS / 1000 + 2)
    bench.advance(2)
    while bench.queued():
        bench.runtime.ring_for(executor.execute(bench.take()))
        bench.sweep()
    assert ran == ["ask 2", "ask 1", "pay 2", "pay 1"], "between two of its steps another one has its turn"
    assert {first.refresh().state, second.refresh().state} == {"over"}
    assert not violations(bench)


def test_a_queue_has_a_limit_of_its_own(bench: Bench) -> None:
    chosen = settings.limits.read_queue_limits("slow=1,default=1000/min", "FSMFLOW_QUEUE_LIMITS")
    object.__setattr__(bench.runtime.settings, "queue_limits", chosen)
    payments = sent("tally", *"ab")
    attempts = [claimed(bench, "slow") for _ in payments]
    assert names(attempts) == ["a"]
    assert "limit 'queue slow' (running=1)" in str(payments[1].explain())


def test_a_step_without_limits_costs_no_statement_more(bench: Bench) -> None:
    sent("tally", *"ab")
    sql: list[str] = []
    execute, rows = Link.execute, Link.rows

    def seen(method: Any) -> Any:
        def call(link: Link, text: str, params: Any = ()) -> Any:
            sql.append(text)
            return method(link, text, params)

        return call

    with patch.object(Link, "execute", seen(execute)), patch.object(Link, "rows", seen(rows)):
        bench.step("slow")
    assert ran == ["a"]
    assert not [text for text in sql if "fsmflow_limit" in text or "fsmflow_permit" in text]


def test_a_time_that_is_over_ends_the_wait_in_line(bench: Bench) -> None:
    first, second = Bounded.start("1"), Bounded.start("2")
    for each in (first, second):
        each.trigger("go")
    attempt = claimed(bench)
    keep(bench, attempt)
    assert claimed(bench) is None
    bench.advance(61)
    assert second.refresh().state == "failed_from_busy"
    assert second.failure is not None
    assert second.failure.error_type == "StepTimeout"


def test_many_at_once_are_never_more_than_may_and_none_is_left(bench: Bench) -> None:
    count, runtime = 16, bench.runtime
    sent("pay", *(str(number) for number in range(count)))
    tickets, lock, inside = [bench.take() for _ in range(count)], threading.Lock(), []

    def work(number: int) -> int:
        most = 0
        while True:
            with lock:
                ticket = tickets.pop(0) if tickets else None
            if ticket is None:
                rung = [bench.take() for _ in bench.queued()] if number == 0 else []
                with lock:
                    tickets.extend(rung)
                if Payment.counts().get("failed_from_charging", 0) == count:
                    return most
                call_due(runtime)
                continue
            attempt = claim_attempt(runtime, ticket, os.urandom(12).hex())
            if attempt is not None:
                inside.append(ticket)
                runtime.store.work.holds()  # the job
                most = max(most, len(inside))
                inside.remove(ticket)
                fail(bench, attempt)

    assert 1 <= max(in_threads(4, runtime.store.link, work)) <= 2
    assert not violations(bench)


def test_a_worker_that_finds_who_has_to_wait_runs_who_was_called_before(bench: Bench) -> None:
    sent("pay", *"abcde")
    attempts = [claimed(bench) for _ in range(3)]
    fail(bench, attempts[0])
    bench.step()
    assert ran == ["c"], "the doorbell was that of d, and c was called, whose doorbell is behind that of e"
