"""``overlap`` of a schedule: what happens at a tick while an earlier entity is not finished."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from unittest.mock import patch

import pytest

from fsmflow import Machine, Schedule, State
from fsmflow.engine.registry import Registry
from fsmflow.running.maintenance.schedules import Schedules
from fsmflow.testing import sandbox
from tests.running.test_schedules import START, Nightly, at, ids
from tests.support.bench import Bench, bench_on
from tests.support.concurrency import meanwhile


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=database_url) as bench:
        at(bench, START)
        yield bench


class Asking(Nightly):
    """Not finished until somebody answers."""

    initial = "asking"
    states = ["asking", State("over", final=True)]
    transitions = [["answer", "asking", "over"]]


class Alone(Asking):
    """None while an earlier one is not finished."""

    schedule = Schedule("0 3 * * *", overlap="skip")


class InTurn(Asking):
    """One after the other."""

    schedule = Schedule("0 3 * * *", overlap="queue")


def answer(machine: type[Machine]) -> None:
    for found in machine.find(state="asking"):
        found.trigger("answer")


def test_with_overlap_all_each_tick_starts_one_whatever_became_of_the_others() -> None:
    with sandbox([Asking], start=START) as box:
        box.advance(days=2)
        assert Asking.counts() == {"asking": 2}


def test_with_overlap_skip_none_is_started_until_the_earlier_one_is_finished(caplog: pytest.LogCaptureFixture) -> None:
    """Nor afterwards, for the ticks that have passed."""
    with sandbox([Alone], start=START) as box:
        box.advance(days=3)
        assert ids(Alone) == ["2026-11-22T03:00:00Z"]
        for day in (3, 4):
            held = f"alone:2026-11-22T03:00:00Z is not finished, so the tick of 2026-11-2{day}T03:00:00Z starts nothing"
            assert f"schedule.held: alone: {held}" in caplog.text
        answer(Alone)
        box.run()
        assert len(ids(Alone)) == 1
        box.advance(days=1)
        assert ids(Alone) == ["2026-11-22T03:00:00Z", "2026-11-25T03:00:00Z"]


def test_with_overlap_queue_the_latest_tick_waits_until_the_earlier_one_is_finished(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is no missed one, however long it waits."""
    with sandbox([InTurn], start=START) as box:
        box.advance(days=30)
        assert ids(InTurn) == ["2026-11-22T03:00:00Z"]
        assert caplog.text.count("waits for that, and no earlier one does") == 29
        answer(InTurn)
        box.run()
        assert ids(InTurn) == ["2026-11-22T03:00:00Z", "2026-12-21T03:00:00Z"]
        assert InTurn.get("2026-12-21T03:00:00Z").data == {"scheduled_at": datetime(2026, 12, 21, 3, tzinfo=UTC)}
        assert "schedule.late" not in caplog.text
        answer(InTurn)
        box.run()
        assert len(ids(InTurn)) == 2


@pytest.mark.parametrize("catch_up", ["once", "skip"])
def test_where_nobody_ran_for_days_the_latest_tick_takes_the_place_of_one_that_waits(
    bench: Bench, catch_up: str
) -> None:
    """Unless what was missed is passed over: the one that waits was not missed."""
    bench.runtime.machines = Registry([type("InTurn", (InTurn,), {"catch_up": catch_up})])
    bench.sweep()
    for day in (22, 23):
        at(bench, START.replace(day=day, hour=3))
        bench.sweep()
    at(bench, START.replace(day=26, hour=9))
    answer(InTurn)
    for _ in range(2):
        bench.sweep()
        answer(InTurn)
    made_up = ["2026-11-26T03:00:00Z" if catch_up == "once" else "2026-11-23T03:00:00Z"]
    assert ids(InTurn) == ["2026-11-22T03:00:00Z", *made_up]


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_of_all_who_look_at_once_one_deals_with_a_tick_that_is_held(bench: Bench, overlap: str) -> None:
    """A supervisor that lets it wait may be gone when it is started; one that was slower to do so knows that it waits;
    a crash as it is started leaves it to the others; and one of these starts it."""
    machine: type[Machine] = InTurn if overlap == "queue" else Alone
    bench.runtime.machines = Registry([machine])
    slow, fast = Schedules(bench.runtime), Schedules(bench.runtime)
    assert [slow.start_due(), fast.start_due()] == [0, 0]
    at(bench, START.replace(hour=3))
    assert [fast.start_due(), slow.start_due()] == [1, 0]
    at(bench, START.replace(day=23, hour=3))
    with meanwhile(bench.runtime.store.meta, "get", fast.start_due):
        assert slow.start_due() == 0
    assert ids(machine) == ["2026-11-22T03:00:00Z"]
    answer(machine)
    with patch("fsmflow.engine.schedules.start", side_effect=KeyboardInterrupt):
        assert Schedules(bench.runtime).start_due() == 0
    started = []
    with meanwhile(bench.runtime.store.meta, "get", lambda: started.append(fast.start_due())):
        started += [slow.start_due(), Schedules(bench.runtime).start_due()]
    assert sum(started) == (overlap == "queue")
    assert ids(machine)[1:] == (["2026-11-23T03:00:00Z"] if overlap == "queue" else [])


@pytest.mark.parametrize("how", ["failed", "cancelled", "by hand"])
def test_what_holds_others_back_is_an_earlier_tick_that_is_neither_finished_nor_cancelled(how: str) -> None:
    """One that rests in its failure would be run beside the next one, were it retried."""

    class Working(Nightly):
        schedule = Schedule("0 3 * * *", overlap="skip")

    with sandbox([Working], start=START) as box:
        if how == "by hand":
            box.fail("report", OSError("the disk is full"))
            Working.start("2026-11-21")
        elif how == "failed":
            box.fail("report", OSError("the disk is full"))
        box.advance(hours=2)
        if how == "cancelled":
            Working.start("2026-11-20T03:00:00Z", state="reporting").cancel()
        box.advance(days=1)
        started = ids(Working)[-1]
    assert started == {"failed": "2026-11-22T03:00:00Z"}.get(how, "2026-11-23T03:00:00Z")


def test_one_that_waits_is_started_where_nobody_asks_to_wait_any_more(bench: Bench) -> None:
    bench.runtime.machines = Registry([InTurn])
    bench.sweep()
    for day in (22, 23):
        at(bench, START.replace(day=day, hour=3))
        bench.sweep()
    bench.runtime.machines = Registry([type("InTurn", (InTurn,), {"schedule": "0 3 * * *"})])
    bench.sweep()
    assert ids(InTurn) == ["2026-11-22T03:00:00Z", "2026-11-23T03:00:00Z"]
