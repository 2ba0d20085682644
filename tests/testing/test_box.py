"""The sandbox runs nothing but what is due, at its own moment."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import peewee
import pytest

import fsmflow
from fsmflow import Machine, Outcome, RetryAfter, State, settings
from fsmflow.engine import runtime as runtime_of
from fsmflow.testing import SandboxError, sandbox
from tests.support.machines import Trigger
from tests.testing.parcels import START, Parcel, Ring, done, play, when


class TestRunning:
    def test_nothing_runs_until_it_is_told_to(self) -> None:
        with sandbox([Parcel]) as box:
            parcel = Parcel.start("1")
            parcel.submit()
            assert parcel.refresh().state == "charging"
            assert done == []
            assert box.run() == 1
            assert parcel.refresh().state == "cooling"
            assert parcel.data == {"charged": 1}
            assert box.run() == 0

    def test_run_runs_what_follows_too_and_async_jobs_and_each_queue(self) -> None:
        with sandbox([Parcel], start=START) as box:
            parcel = Parcel.start("1")
            parcel.submit()
            assert box.advance(hours=1) == 2
            assert done == [("charge", "1", 1), ("pack", "1", 1)]
            assert parcel.refresh().state == "resting"
            assert box.now == START + timedelta(hours=1)

    def test_the_clock_stands_still_but_for_advance(self) -> None:
        with sandbox([Parcel], start=START) as box:
            Parcel.start("1").submit()
            box.run()
            assert box.now == START
            box.advance(days=1, hours=2)
            box.advance(timedelta(minutes=3))
            box.advance(0.5)
            assert box.now == START + timedelta(days=1, hours=2, minutes=3, seconds=0.5)

    def test_it_begins_now_if_not_told_otherwise(self) -> None:
        with sandbox([Parcel]) as box:
            assert abs(datetime.now(UTC) - box.now) < timedelta(seconds=30)

    def test_chains_of_timers_happen_at_their_own_moments(self) -> None:
        with sandbox([Parcel], start=START) as box:
            parcel = Parcel.start("1")
            parcel.submit()
            box.advance(weeks=3)
            assert when(parcel) == [
                ("new", timedelta()),
                ("charging", timedelta()),
                ("cooling", timedelta()),
                ("packing", timedelta(hours=1)),
                ("resting", timedelta(hours=1)),
                ("lost", timedelta(days=2, hours=1)),
            ]
            assert box.next_due is None

    def test_many_timers_fire_in_order_of_time(self) -> None:
        with sandbox([Parcel], start=START) as box:
            for hours in (5, 3, 4):
                Parcel.start(hours).submit()
                box.run()
                box.advance(minutes=hours)
            order = [entity for kind, entity, _ in done if kind == "charge"]
            box.advance(days=1)
            assert [entity for kind, entity, _ in done if kind == "pack"] == order == ["5", "3", "4"]

    def test_advance_stops_short_of_what_is_due_later(self) -> None:
        with sandbox([Parcel], start=START) as box:
            parcel = Parcel.start("1")
            parcel.submit()
            box.advance(minutes=59)
            assert parcel.refresh().state == "cooling"
            assert box.next_due == START + timedelta(hours=1)
            box.advance(minutes=1)
            assert parcel.refresh().state == "resting"

    def test_retries_come_with_their_backoff(self) -> None:
        with sandbox([Parcel], start=START) as box:
            parcel = Parcel.start("1")
            parcel.submit()
            box.fail("charge", ConnectionError("refused"), times=3)
            assert box.advance(days=1) == 5
            failed = [entry.at - START for entry in parcel.history if entry.kind == "attempt_failed"]
            assert failed == [timedelta(seconds=seconds) for seconds in (0, 10, 30)]
            assert done[0] == ("charge", "1", 4)
            assert dict(when(parcel))["cooling"] == timedelta(seconds=70)

    def test_a_job_that_takes_days_by_this_clock_is_not_taken_for_dead(self) -> None:
        with sandbox([Parcel], start=START) as box:
            box._maintenance._losses.answers_since = float("-inf")
            other = Parcel.start("2")
            other.submit()
            box.run()
            parcel = Parcel.start("1")
            parcel.submit()
            moments: list[Any] = []
            play["charge"] = lambda machine: moments.append((box.advance(days=3), box.next_due))
            box.run()
            assert moments == [(1, None)]
            assert other.refresh().state == "lost"
            assert parcel.refresh().state == "cooling"
            assert [entry.kind for entry in parcel.history] == ["start", "transition", "transition"]

    def test_outcomes_and_postponements(self) -> None:
        turns = iter([RetryAfter(90), None])

        def charge(machine: Machine) -> Any:
            error = next(turns)
            if error:
                raise error
            return Outcome("declined", code=51)

        play["charge"] = charge
        with sandbox([Parcel], start=START) as box:
            parcel = Parcel.start("1")
            parcel.submit()
            assert box.run() == 1
            assert box.advance(minutes=2) == 1
            assert parcel.refresh().state == "lost"
            assert dict(when(parcel))["lost"] == timedelta(seconds=90)

    def test_in_a_test_that_is_async(self) -> None:
        async def test() -> str:
            with sandbox([Parcel]) as box:
                Parcel.start("1").submit()
                assert box.advance(hours=1) == 2
                opened: Any = box._runtime.store.link.db
                assert len(opened._opened) <= 3
                return Parcel.get("1").state

        assert asyncio.run(test()) == "resting"

    def test_a_pause_holds_what_comes_next(self) -> None:
        with sandbox([Parcel]) as box:
            parcel = Parcel.start("1")
            parcel.submit()
            parcel.pause()
            assert box.advance(days=9) == 0
            parcel.resume()
            assert box.run() == 1

    def test_explain_knows_of_a_worker(self) -> None:
        with sandbox([Parcel]):
            parcel = Parcel.start("1")
            parcel.submit()
            assert parcel.explain().blocked_by is None

    def test_what_never_ends_is_told(self) -> None:
        with sandbox([Ring], limit=50) as box:
            ring = Ring.start("1")
            ring.go()
            for _ in range(2):
                with pytest.raises(SandboxError, match="more than 50 jobs and timers ran in one call"):
                    box.run()
            ring.stop()
            box.run()
            assert ring.state == "over"

    def test_a_job_that_asks_for_more_time_for_ever_is_told_of(self) -> None:
        def turn(machine: Machine) -> None:
            raise RetryAfter(0)

        play["turn"] = turn
        with sandbox([Ring], limit=1_000) as box:
            ring = Ring.start("1")
            ring.go()
            with pytest.raises(SandboxError, match="more than 1,000 jobs and timers ran in one call"):
                box.run()
            assert ring.refresh().state == "two"

    def test_not_inside_a_transaction(self) -> None:
        with sandbox([Parcel]) as box:
            Parcel.start("1").submit()
            with runtime_of.current().store.link.transaction(), pytest.raises(SandboxError, match="after its commit"):
                box.run()
            assert box.run() == 1

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"day": 3}, "did you mean 'days'?"),
            ({"days": -1}, "time does not go back"),
            ({"days": "x"}, "unsupported"),
            ({"days": 10**9}, "days"),
            ({}, "takes one duration"),
        ],
    )
    def test_a_duration_that_is_none(self, given: dict[str, Any], message: str) -> None:
        with sandbox([Parcel], start=START) as box:
            with pytest.raises(SandboxError, match=message):
                box.advance(**given)
            assert box.now == START

    def test_a_start_without_a_time_zone(self) -> None:
        with pytest.raises(SandboxError, match="give an aware datetime"), sandbox([Parcel], start=datetime(2030, 1, 1)):
            pass


class Row(peewee.Model):
    """A table of the user's own, which says where its orders stand."""

    id = peewee.CharField(primary_key=True)
    status = peewee.CharField(default="")


class Mirrored(Machine):
    """Tells its state to the user's own row."""

    initial = "new"
    status_field = Row.status
    states = [State("new"), State("over", final=True)]
    transitions = [["go", "new", "over"]]
    go: Trigger


class TestDatabase:
    def test_models_may_be_bound_to_it(self) -> None:
        with sandbox([Mirrored]) as box, box.database.bind_ctx([Row]):
            box.database.create_tables([Row])
            Row.create(id="1")
            mirrored = Mirrored.start("1")
            assert Row.get_by_id("1").status == "new"
            with box.database.atomic() as transaction:
                mirrored.go()
                assert Row.get_by_id("1").status == "over"
                transaction.rollback()
            assert Row.get_by_id("1").status == mirrored.refresh().state == "new"


class TestWaiting:
    def test_waiting_runs_what_is_due(self) -> None:
        with sandbox([Parcel], start=START):
            parcel = Parcel.start("1")
            parcel.submit()
            runtime_of.current().idle(0.1)
            assert parcel.refresh().state == "cooling"
            with pytest.raises(TimeoutError, match=r"due in 1:00:00: let that time pass with advance\(\)"):
                runtime_of.current().idle(0.1)

    def test_waiting_for_what_only_a_trigger_brings(self) -> None:
        with sandbox([Parcel]):
            Parcel.start("1")
            with pytest.raises(TimeoutError, match="fire the trigger"):
                runtime_of.current().idle(0.1)

    def test_outside_of_a_sandbox_it_takes_a_while(self, tmp_path: Path) -> None:
        fsmflow.configure(home=tmp_path)
        try:
            runtime_of.current().idle(0)
            assert runtime_of.current().next_due() is None
        finally:
            runtime_of.close()
            settings.choose(None)


def test_time_passes_by_seconds_too() -> None:
    with sandbox(machines=[Parcel]) as box:
        before = box.now
        box.advance(seconds=20)
        assert (box.now - before).total_seconds() == 20
