"""Attempts that run out of time, and workers that are lost with theirs."""

from __future__ import annotations

import time
from typing import Any
from unittest.mock import patch

import pytest
from pymysql.connections import Connection

from fsmflow.decision.work import GRACE_MS
from fsmflow.running.lease import LEASE_MS
from tests.support.bench import Bench
from tests.support.concurrency import by_others
from tests.support.machines import Counter, Order, play

LEASE_S = LEASE_MS / 1000


def charging(**data: Any) -> Any:
    order = Order.start("1", **data)
    order.submit()
    return order


def failing(machine: Any) -> None:
    raise ConnectionError("down")


def lose_worker(bench: Bench, queue: str = "default") -> None:
    """A worker claims the next attempt and is never heard of again."""
    ticket = bench.take(queue)
    lease_until = bench.clock.now() + LEASE_MS
    assert bench.runtime.store.work.claim(ticket, f"lost {ticket}"[:40], lease_until=lease_until) is not None


@pytest.mark.parametrize("swallows", [False, True])
def test_a_job_that_runs_out_of_time_has_failed(bench: Bench, swallows: bool) -> None:
    order = charging()
    bench.step()
    started = time.monotonic()

    def act(machine: Any) -> None:
        while True:
            try:
                time.sleep(60)
            except Exception:
                if not swallows:
                    raise

    play["shipping"] = act
    bench.step("slow")
    assert time.monotonic() - started < 30
    assert (order.refresh().state, order.failure.error_type) == ("failed_from_shipping", "StepTimeout")
    assert order.failure.message == "job 'act' ran longer than its limit of 0.2 s"
    assert "time.sleep" in order.failure.traceback


def test_a_job_that_swallows_even_the_time_limit_gets_it_again(bench: Bench) -> None:
    order = charging()
    bench.step()
    seen: list[BaseException] = []

    def act(machine: Any) -> None:
        for _ in range(2):
            try:
                time.sleep(60)
            except BaseException as error:  # noqa: BLE001 - that is what the test is about
                seen.append(error)
        time.sleep(60)

    play["shipping"] = act
    bench.step("slow")
    assert len(seen) == 2
    assert order.refresh().failure.error_type == "StepTimeout"


def test_a_limit_that_ends_while_the_job_uses_the_database_leaves_a_connection_that_works(bench: Bench) -> None:
    order = charging()
    bench.step()
    link = bench.runtime.store.link
    slow = {"postgresql": "SELECT pg_sleep(0.05)", "mysql": "SELECT SLEEP(0.05)", "sqlite": "SELECT 5"}
    statement = slow[link.dialect.name]

    def act(machine: Any) -> None:
        while True:
            link.rows(statement)
            by_others(Order.get("1")).note(text="and a commit")

    play["shipping"] = act
    bench.step("slow")
    assert (order.refresh().state, order.failure.error_type) == ("failed_from_shipping", "StepTimeout")
    assert len(order.data["notes"]) == len(order.history) - 4
    assert [entry.seq for entry in order.history] == list(range(1, len(order.history) + 1))


def test_a_limit_that_ends_between_a_statement_and_its_answer_does_not_mix_answers_up(bench: Bench) -> None:
    if bench.runtime.store.link.dialect.name != "mysql":
        pytest.skip("the other drivers leave that to C")
    order = charging()
    bench.step()
    read = Connection._read_query_result

    def slowly(connection: Any, *args: Any, **options: Any) -> Any:
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            pass
        return read(connection, *args, **options)

    def act(machine: Any) -> None:
        with patch.object(Connection, "_read_query_result", slowly):
            bench.runtime.store.link.rows("SELECT 5")
        time.sleep(60)

    play["shipping"] = act
    bench.step("slow")
    assert (order.refresh().state, order.failure.error_type) == ("failed_from_shipping", "StepTimeout")


def test_a_limit_ends_a_job_that_waits_for_a_server_to_be_reached(bench: Bench) -> None:
    order = charging()
    bench.step()

    def create_connection(*_: Any, **__: Any) -> Any:
        time.sleep(60)

    def act(machine: Any) -> None:
        with patch("socket.create_connection", create_connection):
            Connection(host="nowhere.example")

    play["shipping"] = act
    started = time.monotonic()
    bench.step("slow")
    assert time.monotonic() - started < 30
    assert (order.refresh().state, order.failure.error_type) == ("failed_from_shipping", "StepTimeout")


def test_a_limit_that_ends_while_the_result_is_committed_does_not_tear_it(bench: Bench) -> None:
    order = charging()
    bench.step()

    def act(machine: Any) -> dict[str, int]:
        deadline = time.monotonic() + 0.19
        while time.monotonic() < deadline:
            machine.data["x"] = 1
            machine.save()
        return {"shipped": 1}

    play["shipping"] = act
    bench.step("slow")
    assert order.refresh().state in ("shipped", "failed_from_shipping")
    assert [entry.seq for entry in order.history] == list(range(1, len(order.history) + 1))


def test_a_lost_worker_costs_no_retry_and_its_step_runs_again_at_once(bench: Bench) -> None:
    order = charging()
    lose_worker(bench)
    bench.advance(LEASE_S - 0.1)
    assert bench.queued() == []
    bench.advance(0.1)
    assert (order.refresh().state, order.attempt) == ("charging", 2)
    assert [(entry.kind, entry.attempt) for entry in order.history[2:]] == [("crashed", 1)]
    bench.step()
    assert order.refresh().state == "shipping"


def test_a_step_that_loses_its_worker_every_time_ends_as_worker_lost(bench: Bench) -> None:
    order = charging()
    for _ in range(3):
        lose_worker(bench)
        bench.advance(LEASE_S)
        assert order.refresh().state == "charging"
    lose_worker(bench)
    bench.advance(LEASE_S)
    assert (order.refresh().state, order.failure.error_type) == ("failed_from_charging", "WorkerLost")
    assert (order.failure.attempts, order.failure.permanent) == (4, True)
    assert [entry.kind for entry in order.history[2:]] == ["crashed", "crashed", "crashed", "transition"]
    assert bench.queued() == []
    order.retry()
    lose_worker(bench)
    bench.advance(LEASE_S)
    assert (order.refresh().state, order.attempt) == ("charging", 6), "a retry by hand starts with fresh budgets"


def test_crashes_and_failures_have_budgets_of_their_own(bench: Bench) -> None:
    order = charging()
    play["charging"] = failing
    for _ in range(2):
        lose_worker(bench)
        bench.advance(LEASE_S)
        bench.step()
        bench.advance(30)
    assert (order.refresh().state, order.attempt) == ("charging", 5)
    bench.step()
    assert (order.refresh().state, order.failure.error_type) == ("failed_from_charging", "ConnectionError")


def test_a_worker_that_comes_back_after_it_was_given_up_changes_nothing(bench: Bench) -> None:
    order = charging()

    def act(machine: Any) -> dict[str, str]:
        bench.advance(LEASE_S)
        assert order.refresh().attempt == 2
        return {"from": "the first"}

    play["charging"] = act
    bench.step()
    assert (order.refresh().state, order.data, order.attempt) == ("charging", {}, 2)
    play["charging"] = lambda machine: {"from": "the second"}
    bench.step()
    assert (order.refresh().state, order.data) == ("shipping", {"from": "the second"})


def test_a_machine_that_this_code_lacks_gives_its_attempt_back_uncounted(bench: Bench) -> None:
    counter = Counter.start("1")
    counter.work()
    machines = bench.runtime.machines.all()
    gone = machines.pop("counter")
    bench.step()
    assert (counter.refresh().state, counter.attempt, counter.failure) == ("busy", 1, None)
    assert len(counter.history) == 2
    machines["counter"] = gone
    bench.advance(0)
    assert bench.queued() == []
    bench.advance(2 * GRACE_MS / 1000)
    bench.step()
    assert (counter.refresh().state, counter.history[-1].attempt) == ("over", 1)
