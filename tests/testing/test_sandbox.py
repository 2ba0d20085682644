"""The sandbox for users' tests: nothing but what is due runs, at its own moment, and nothing of it is left behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import peewee
import pytest

import fsmflow
from fsmflow import (
    ConfigurationError,
    EntityNotFound,
    Machine,
    Outcome,
    Retry,
    RetryAfter,
    State,
    settings,
)
from fsmflow.clock import HandClock
from fsmflow.engine import runtime as runtime_of
from fsmflow.errors import RedisUnavailable
from fsmflow.testing import Sandbox, SandboxError, sandbox
from fsmflow.testing.faults import Faults, FaultyRegistry

START = datetime(2030, 1, 1, tzinfo=UTC)

#: What jobs did, in order; what a test has them do, by state.
done: list[Any] = []
play: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _nothing_left() -> Any:
    done.clear()
    play.clear()
    yield
    assert runtime_of.stand_in() is None


class Parcel(Machine):
    """Jobs, a retry with backoff, a deadline and a delay."""

    initial = "new"
    states = [
        State("new"),
        State("charging", job="charge", retry=Retry(max=3, interval=10, backoff=2, jitter=0)),
        State("cooling", delay=timedelta(hours=1)),
        State("packing", job="pack", queue="slow", transactional=True),
        State("waiting", timeout=timedelta(days=2)),
        State("lost", final=True),
        State("arrived", final=True),
    ]
    transitions = [
        ["submit", "new", "charging"],
        ["done", "charging", "cooling"],
        ["declined", "charging", "lost"],
        ["done", "cooling", "packing"],
        ["done", "packing", "waiting"],
        ["timeout", "waiting", "lost"],
        ["arrive", "waiting", "arrived"],
    ]

    def charge(self) -> Any:
        done.append(("charge", self.entity_id, self.attempt))
        return play["charge"](self) if "charge" in play else {"charged": self.attempt}

    async def pack(self) -> Any:
        done.append(("pack", self.entity_id, self.attempt))
        return play["pack"](self) if "pack" in play else None


class Ring(Machine):
    """Goes round in circles."""

    initial = "one"
    states = [State("one"), State("two", job="turn"), State("three", delay=0), State("over", final=True)]
    transitions = [
        ["go", "one", "two"],
        ["done", "two", "three"],
        ["done", "three", "two"],
        ["stop", "*", "over"],
    ]

    def turn(self) -> Any:
        return play["turn"](self) if "turn" in play else None


class Once(Machine):
    """A job that is never repeated by itself."""

    initial = "new"
    states = [State("new"), State("acting", job="act", at_most_once=True), State("over", final=True)]
    transitions = [["go", "new", "acting"], ["done", "acting", "over"]]

    def act(self) -> None:
        pass


def when(machine: Machine) -> list[tuple[str, timedelta]]:
    """When the entity's history happened, after the start."""
    return [(entry.dest, entry.at - START) for entry in machine.history]


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
            assert parcel.refresh().state == "waiting"
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
                ("waiting", timedelta(hours=1)),
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
            assert parcel.refresh().state == "waiting"

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
            box._maintenance._answers_since = float("-inf")
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
                assert len(box._runtime.store.link.db._opened) <= 3
                return Parcel.get("1").state

        assert asyncio.run(test()) == "waiting"

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

    def test_a_job_that_asks_for_more_time_for_ever_fails_in_the_end(self) -> None:
        def turn(machine: Machine) -> None:
            raise RetryAfter(0)

        play["turn"] = turn
        with sandbox([Ring]) as box:
            ring = Ring.start("1")
            ring.go()
            assert box.run() == 1001
            assert ring.refresh().state == "failed_from_two"

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


class TestFailing:
    def test_so_many_attempts_fail(self) -> None:
        with sandbox([Parcel]) as box:
            box.fail("charge", ConnectionError("refused"), times=4)
            parcel = Parcel.start("1")
            parcel.submit()
            assert box.advance(days=1) == 4
            assert parcel.refresh().state == "failed_from_charging"
            assert done == []
            assert parcel.failure is not None
            assert (parcel.failure.error_type, parcel.failure.message) == ("ConnectionError", "refused")
            parcel.retry()
            assert box.run() == 1
            assert parcel.refresh().state == "cooling"

    def test_by_the_name_of_the_state_and_a_class_of_error(self) -> None:
        with sandbox([Parcel]) as box:
            box.fail("packing", KeyError)
            Parcel.start("1").submit()
            box.advance(hours=2)
            assert Parcel.get("1").state == "failed_from_packing"

    def test_plans_are_met_in_their_order(self) -> None:
        with sandbox([Parcel]) as box:
            box.fail("charge", ValueError("first"))
            box.fail("charging", ValueError("second"))
            parcel = Parcel.start("1")
            parcel.submit()
            box.advance(minutes=5)
            assert [entry.failure.message for entry in parcel.history if entry.failure] == ["first", "second"]

    def test_a_crash_runs_again_at_once(self) -> None:
        with sandbox([Parcel]) as box:
            box.crash("charge")
            parcel = Parcel.start("1")
            parcel.submit()
            assert box.run() == 2
            assert [entry.kind for entry in parcel.history] == ["start", "transition", "crashed", "transition"]
            assert done == [("charge", "1", 2)]
            assert parcel.refresh().data == {"charged": 2}

    def test_a_crash_after_the_job_has_had_its_effect(self) -> None:
        keys = []
        play["pack"] = lambda machine: keys.append(machine.idempotency_key)
        with sandbox([Parcel]) as box:
            box.crash("packing", after_job=True)
            parcel = Parcel.start("1")
            parcel.submit()
            box.advance(hours=1)
            assert [kind for kind, _, _ in done] == ["charge", "pack", "pack"]
            assert len(keys) == 2
            assert len(set(keys)) == 1
            assert parcel.refresh().state == "waiting"

    def test_too_many_crashes(self) -> None:
        with sandbox([Parcel]) as box:
            box.crash("charge", times=4)
            parcel = Parcel.start("1")
            parcel.submit()
            assert box.run() == 4
            assert parcel.refresh().state == "failed_from_charging"
            assert parcel.failure is not None
            assert parcel.failure.error_type == "WorkerLost"
            assert done == []

    def test_a_crash_of_what_must_run_at_most_once(self) -> None:
        with sandbox([Once]) as box:
            box.crash("act", after_job=True)
            once = Once.start("1")
            once.go()
            assert box.run() == 1
            assert once.refresh().state == "failed_from_acting"
            assert once.failure is not None
            assert once.failure.error_type == "WorkerLost"

    def test_a_job_that_leaves_a_transaction_open_harms_nobody(self) -> None:
        play["charge"] = lambda machine: runtime_of.current().store.link.db.atomic().__enter__() and None
        with sandbox([Parcel]) as box:
            Parcel.start("1").submit()
            Parcel.start("2").submit()
            box.crash("charge", after_job=True)
            box.run()
            assert Parcel.counts() == {"cooling": 2}

    @pytest.mark.parametrize("plan", ["fail", "crash"])
    def test_names_that_are_wrong(self, plan: str) -> None:
        with sandbox([Parcel]) as box:
            act = box.crash if plan == "crash" else lambda name: box.fail(name, ValueError())
            with pytest.raises(SandboxError, match="'chrge'; did you mean 'charge'"):
                act("chrge")
            with pytest.raises(SandboxError, match="state 'waiting' has no job"):
                act("waiting")

    def test_plans_that_are_wrong(self) -> None:
        with sandbox([Parcel]) as box:
            with pytest.raises(SandboxError, match="give the exception"):
                box.fail("charge", "boom")  # type: ignore[arg-type]
            with pytest.raises(SandboxError, match="times=0"):
                box.crash("charge", times=0)


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


class TestLeaving:
    def test_what_was_configured_is_in_force_again(self, tmp_path: Path) -> None:
        fsmflow.configure(home=tmp_path, machines=[Parcel])
        chosen = settings.chosen()
        try:
            Parcel.start("1")
            before = runtime_of.current()
            with sandbox([Parcel]):
                with pytest.raises(EntityNotFound):
                    Parcel.get("1")
                Parcel.start("2")
            assert runtime_of.current() is before
            assert settings.chosen() is chosen
            assert [parcel.entity_id for parcel in Parcel.find()] == ["1"]
        finally:
            runtime_of.close()
            settings.choose(None)

    def test_where_nothing_was_configured_nothing_is(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        environment = dict(os.environ)
        with sandbox() as box:
            assert box.run() == 0
        assert settings.chosen() is None
        assert dict(os.environ) == environment
        assert list(tmp_path.iterdir()) == []

    def test_what_is_configured_inside_changes_nothing(self, tmp_path: Path) -> None:
        with sandbox([Parcel]) as box:
            fsmflow.configure(home=tmp_path, machines=[Ring])
            Parcel.start("1").submit()
            assert box.run() == 1
        assert settings.chosen() is None
        assert list(tmp_path.iterdir()) == []

    def test_an_error_inside(self) -> None:
        with pytest.raises(EntityNotFound), sandbox([Parcel]):
            Parcel.get("1")
        assert runtime_of.stand_in() is None
        assert settings.chosen() is None

    def test_an_error_on_the_way_in(self) -> None:
        with pytest.raises(ConfigurationError, match="is no machine"), sandbox([int]):
            pass
        assert runtime_of.stand_in() is None

    def test_one_inside_another(self) -> None:
        with sandbox([Parcel], start=START) as outer:
            Parcel.start("1").submit()
            with sandbox() as inner:
                assert list(Parcel.find()) == []
                Parcel.start("2").submit()
                assert inner.run() == 1
                # What the outer one runs sees the outer one.
                play["charge"] = lambda machine: {"seen": [parcel.entity_id for parcel in Parcel.find()]}
                assert outer.run() == 1
                assert Parcel.get("2").state == "cooling"
            assert Parcel.get("1").data == {"seen": ["1"]}
            with pytest.raises(EntityNotFound):
                Parcel.get("2")

    def test_it_is_of_no_use_afterwards(self) -> None:
        with sandbox([Parcel]) as box:
            pass
        for act in (box.run, lambda: box.advance(1), lambda: box.crash("charge"), lambda: box.next_due):
            with pytest.raises(SandboxError, match="has been left"):
                act()

    def test_threads_of_the_test_are_in_it(self) -> None:
        with sandbox([Parcel]) as box, ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: Parcel.start(number).submit(), range(40)))
            assert sum(pool.map(lambda _: box.run(), range(4))) == 40
            assert box.run() == 0
            assert Parcel.counts() == {"cooling": 40}
            assert len(done) == 40

    def test_side_by_side_in_threads(self) -> None:
        """Neither sees the other's, whichever is left first."""
        both = threading.Barrier(2)

        def use(number: int) -> dict[str, int]:
            with sandbox([Parcel]) as box:
                both.wait(20)
                for entity in range(number):
                    Parcel.start(entity).submit()
                both.wait(20)
                assert box.run() == number
                return Parcel.counts()

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(use, (3, 5))) == [{"cooling": 3}, {"cooling": 5}]

    def test_a_job_whose_threads_use_it(self) -> None:
        def charge(machine: Machine) -> dict[str, Any]:
            with ThreadPoolExecutor(1) as pool:
                return {"state": pool.submit(lambda: Parcel.get("2").state).result(30)}

        play["charge"] = charge
        with sandbox([Parcel]) as box:
            Parcel.start("2")
            parcel = Parcel.start("1")
            parcel.submit()
            box.run()
            assert parcel.refresh().data == {"state": "new"}


class TestMachines:
    def test_of_a_module(self) -> None:
        module = types.ModuleType("parcels")
        module.Parcel = Parcel  # type: ignore[attr-defined]
        for given in (module, [module], Parcel):
            with sandbox(given) as box:
                box.crash("pack")

    def test_of_the_settings(self, tmp_path: Path) -> None:
        fsmflow.configure(home=tmp_path, machines=[Ring])
        try:
            with sandbox() as box:
                box.crash("turn")
                with pytest.raises(SandboxError):
                    box.crash("charge")
        finally:
            settings.choose(None)

    def test_one_that_was_left_out(self) -> None:
        with sandbox([Ring]) as box:
            Parcel.start("1").submit()
            with pytest.raises(SandboxError, match=r"there is no machine 'parcel'.*Name it in sandbox\(machines="):
                box.run()

    def test_there_is_no_redis(self) -> None:
        with sandbox([Parcel]), pytest.raises(RedisUnavailable, match="a sandbox has no Redis"):
            runtime_of.current().doorbell.client()


class Courier(Machine):
    """Jobs side by side, of which each can be meant by its name."""

    initial = "new"
    states = [State("new"), State("calling", jobs=["call", "write"]), State("over", final=True)]
    transitions = [["go", "new", "calling"], ["done", "calling", "over"]]

    def call(self) -> str:
        return "called"

    def write(self) -> str:
        return "written"


def test_one_of_several_jobs_side_by_side() -> None:
    faults = Faults()
    registry = FaultyRegistry([Courier], faults)
    registry.check_name("write")
    faults.fail("write", ValueError("no paper"), 1)
    job = registry.get("courier").branches["calling"].states["calling"].job
    assert job is not None

    def run(index: int) -> Any:
        machine = types.SimpleNamespace(_view=types.SimpleNamespace(index=index))
        machine.call, machine.write = lambda: "called", lambda: "written"
        return job(machine)

    assert run(0) == "called"
    with pytest.raises(ValueError, match="no paper"):
        run(1)
    assert run(1) == "written"


def test_a_clock_moved_by_hand_never_goes_back() -> None:
    hand = HandClock(1000)
    hand.move_to(3000)
    hand.move_to(2000)
    assert hand.now() == 3000


def test_the_fixture(tmp_path: Path) -> None:
    """It may be opened more than once, and all are left with the test."""
    (tmp_path / "test_of_a_user.py").write_text(
        """
from fsmflow import Machine, State
from fsmflow.engine.runtime import stand_in

class Job(Machine):
    initial = "new"
    states = ["new", State("doing", job="do"), State("over", final=True)]
    transitions = [["go", "new", "doing"], ["done", "doing", "over"]]

    def do(self):
        pass

def test_one(fsmflow_sandbox):
    box = fsmflow_sandbox(machines=[Job])
    Job.start("1").go()
    assert box.run() == 1
    fsmflow_sandbox([Job])
    assert list(Job.find()) == []

def test_two():
    assert stand_in() is None
"""
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:fsmflow"]
    command += ["-p", "fsmflow.testing.plugin", "test_of_a_user.py"]
    path = {"PYTHONPATH": str(Path(fsmflow.__file__).parent.parent)}
    ran = subprocess.run(command, cwd=tmp_path, env={**os.environ, **path}, capture_output=True, text=True, timeout=60)
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr


def test_it_says_what_it_is() -> None:
    assert fsmflow.testing.sandbox is sandbox
    assert fsmflow.testing.Sandbox is Sandbox


def test_time_passes_by_seconds_too() -> None:
    with sandbox(machines=[Parcel]) as box:
        before = box.now
        box.advance(seconds=20)
        assert (box.now - before).total_seconds() == 20
