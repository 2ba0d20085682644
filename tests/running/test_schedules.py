"""``Machine.schedule``: one entity per tick, whoever runs, whatever was missed, and in virtual time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from unittest.mock import patch

import pytest

import fsmflow
from fsmflow import DefinitionError, Machine, Schedule, State, clock
from fsmflow.engine import runtime as runtime_of
from fsmflow.engine.registry import Registry
from fsmflow.running.maintenance.schedules import Schedules
from fsmflow.testing import sandbox
from tests.support.bench import Bench, FixedClock, bench_on
from tests.support.concurrency import in_processes, meanwhile

START = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
broken: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    broken.clear()


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=database_url) as bench:
        at(bench, START)
        bench.runtime.machines = Registry([Nightly])
        yield bench


def where(machine: Machine) -> str:
    if broken:
        raise LookupError("no queue")
    return "default"


class Nightly(Machine):
    """Every night at three."""

    initial = "reporting"
    states = [State("reporting", job="report"), State("over", final=True)]
    transitions = [["done", "reporting", "over"]]
    schedule: ClassVar[Any] = "0 3 * * *"

    def report(self) -> dict[str, Any]:
        return {"began_at": self.event.at}


class Lazy(Nightly):
    """What was missed is passed over."""

    schedule = "0 3 * * *"
    catch_up = "skip"


class Fragile(Machine):
    """Cannot be started as long as its queue cannot be told."""

    initial = "reporting"
    states = [State("reporting", job="report", queue=where), State("over", final=True)]
    transitions = [["done", "reporting", "over"]]
    schedule = "0 3 * * *"

    def report(self) -> None:
        return None


class Viennese(Nightly):
    """At half past two, on the clocks of Vienna."""

    schedule = Schedule("30 2 * * *", zone="Europe/Vienna")


def at(bench: Bench, moment: datetime) -> None:
    bench.clock.ms = clock.from_datetime(moment)


def ids(machine: type[Machine] = Nightly) -> list[str]:
    return [found.entity_id for found in machine.find()]


def test_each_tick_starts_an_entity_at_its_virtual_time() -> None:
    with sandbox([Nightly], start=START) as box:
        assert box.next_due == START + timedelta(hours=1)
        assert (box.advance(minutes=59), ids()) == (0, [])
        assert (box.advance(days=3), len(ids())) == (3, 3)
        assert ids() == ["2026-11-22T03:00:00Z", "2026-11-23T03:00:00Z", "2026-11-24T03:00:00Z"]
        first = Nightly.get("2026-11-22T03:00:00Z")
        tick = START.replace(hour=3)
        assert first.data == {"scheduled_at": tick, "began_at": tick}
        assert [(entry.kind, entry.actor) for entry in first.history] == [("start", "schedule"), ("transition", None)]
        assert box.next_due == datetime(2026, 11, 25, 3, tzinfo=UTC)


def test_a_new_schedule_begins_with_its_next_tick(bench: Bench) -> None:
    """Not with one in the past; and a tick is started once, however often it is looked."""
    at(bench, START.replace(hour=3, minute=1))
    bench.sweep()
    assert ids() == []
    at(bench, START.replace(day=23, hour=3))
    assert bench.sweep() == 1
    assert bench.sweep() == 0
    assert ids() == ["2026-11-23T03:00:00Z"]
    bench.step()
    assert Nightly.get("2026-11-23T03:00:00Z").state == "over"


def test_of_all_who_sweep_at_once_one_starts_the_entity(bench: Bench, database_url: str, redis_url: str) -> None:
    """In processes of their own, at the same tick."""
    bench.sweep()
    tick = clock.from_datetime(START.replace(hour=3))
    started = in_processes(3, _sweep_at, database_url, redis_url, tick)
    assert sorted(started) == [0, 0, 1]
    assert ids() == ["2026-11-22T03:00:00Z"]
    assert len(Nightly.get("2026-11-22T03:00:00Z").history) == 1


def _sweep_at(number: int, database_url: str, redis_url: str, moment: int) -> int:
    fsmflow.configure(database_url=database_url, redis_url=redis_url, machines=[Nightly])
    runtime = runtime_of.current()
    runtime.store.clock = FixedClock(moment)  # type: ignore[assignment]
    started = Schedules(runtime).start_due()
    runtime_of.close()
    return started


def test_of_all_who_see_a_new_schedule_at_once_none_fails(bench: Bench, database_url: str, redis_url: str) -> None:
    moment = clock.from_datetime(START)
    assert in_processes(3, _sweep_at, database_url, redis_url, moment) == [0, 0, 0]
    at(bench, START.replace(hour=3))
    assert bench.sweep() == 1


@pytest.mark.parametrize("what", ["starting", "pruning"])
def test_who_was_slower_starts_nothing_even_where_the_entity_is_gone_again(bench: Bench, what: str) -> None:
    """Between the look at the tick and the start, another supervisor is done with all of it."""
    bench.sweep()
    at(bench, START.replace(hour=3))
    slow = Schedules(bench.runtime)
    slow.next_due()

    def other() -> None:
        Schedules(bench.runtime).start_due()
        if what == "pruning":
            for table in ("fsmflow_entity", "fsmflow_work", "fsmflow_history"):
                bench.runtime.store.link.execute(f"DELETE FROM {table}")

    with meanwhile(bench.runtime.store.meta, "get", other):
        assert slow.start_due() == 0
    assert ids() == (["2026-11-22T03:00:00Z"] if what == "starting" else [])


@pytest.mark.parametrize(("machine", "found"), [(Nightly, ["2026-11-25T03:00:00Z"]), (Lazy, [])])
def test_of_missed_ticks_the_latest_is_caught_up_or_none(
    bench: Bench, machine: type[Machine], found: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """All supervisors were down for days, or one of them; the next tick comes as ever."""
    bench.runtime.machines = Registry([machine])
    bench.sweep()
    at(bench, START.replace(day=25, hour=10))
    with caplog.at_level(logging.WARNING):
        bench.sweep()
        bench.sweep()
    assert ids(machine) == found
    assert caplog.text.count("schedule.late") == 1
    at(bench, START.replace(day=26, hour=3))
    bench.sweep()
    assert ids(machine) == [*found, "2026-11-26T03:00:00Z"]


def test_a_tick_is_not_missed_because_a_sweep_comes_some_seconds_late(bench: Bench) -> None:
    bench.runtime.machines = Registry([Lazy])
    bench.sweep()
    at(bench, START.replace(hour=3, second=59))
    bench.sweep()
    assert ids(Lazy) == ["2026-11-22T03:00:00Z"]


def test_a_changed_schedule_begins_with_its_next_tick(bench: Bench) -> None:
    """It does not make up for ticks that it would have had; old code that still runs keeps to its own ticks."""
    bench.sweep()
    at(bench, START.replace(hour=3))
    bench.sweep()
    old = Schedules(bench.runtime)
    old.next_due()
    at(bench, START.replace(hour=10))
    bench.runtime.machines = Registry([type("Nightly", (Nightly,), {"schedule": "30 9 * * *"})])
    bench.sweep()
    assert ids() == ["2026-11-22T03:00:00Z"]
    at(bench, START.replace(day=23, hour=3))
    assert old.start_due() == 1
    at(bench, START.replace(day=23, hour=9, minute=30))
    bench.sweep()
    assert ids() == ["2026-11-22T03:00:00Z", "2026-11-23T03:00:00Z", "2026-11-23T09:30:00Z"]


def test_one_that_cannot_be_started_is_tried_again_and_keeps_nobody_waiting(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Its tick is dealt with in the transaction that starts it, so it is not lost either."""
    bench.runtime.machines = Registry([Fragile, Nightly])
    bench.sweep()
    broken.append("queue")
    at(bench, START.replace(hour=3))
    bench.sweep()
    assert "which raised LookupError: no queue; it is tried again" in caplog.text
    assert (ids(Fragile), ids()) == ([], ["2026-11-22T03:00:00Z"])
    broken.clear()
    at(bench, START.replace(hour=4))
    bench.sweep()
    assert ids(Fragile) == ["2026-11-22T03:00:00Z"]


def test_a_crash_between_leaves_the_tick_to_the_next_sweep(bench: Bench) -> None:
    bench.sweep()
    at(bench, START.replace(hour=3))
    schedules = Schedules(bench.runtime)
    with patch("fsmflow.engine.schedules.start", side_effect=KeyboardInterrupt):
        assert schedules.start_due() == 0
    assert Schedules(bench.runtime).start_due() == 1
    assert schedules.start_due() == 0
    assert ids() == ["2026-11-22T03:00:00Z"]


def test_machines_that_cannot_be_imported_do_not_stop_maintenance(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.runtime.machines = Registry(["no_such_module_of_machines"])
    assert bench.sweep() == 0
    assert "schedule.failed: finding the machines: ConfigurationError" in caplog.text


def test_an_entity_that_somebody_started_for_the_tick_is_taken_as_it_is(bench: Bench) -> None:
    """As who runs it by hand beforehand."""
    bench.sweep()
    Nightly.start("2026-11-22T03:00:00Z", scheduled_at=START, by="hand")
    at(bench, START.replace(hour=3))
    bench.sweep()
    assert ids() == ["2026-11-22T03:00:00Z"]
    assert Nightly.get("2026-11-22T03:00:00Z").data["by"] == "hand"


def test_nothing_is_asked_of_the_database_until_a_tick_is_due(bench: Bench) -> None:
    schedules = Schedules(bench.runtime)
    schedules.start_due()
    with patch.object(bench.runtime.store.link.db, "execute_sql", side_effect=AssertionError):
        at(bench, START.replace(minute=59))
        assert schedules.start_due() == 0


def test_the_longest_names_do_not_meet() -> None:
    names = ["a" * 63 + end for end in "bc"]
    kinds = [type(name, (Nightly,), {"name": name, "schedule": "0 3 * * *"}) for name in names]
    with sandbox(kinds, start=START) as box:
        box.advance(hours=2)
        assert [len(ids(kind)) for kind in kinds] == [1, 1]


def test_a_day_that_never_comes_is_a_fault() -> None:
    with pytest.raises(DefinitionError, match=r"schedule='0 0 30 2 \*' names a day that never comes"):
        type("Never", (Nightly,), {"schedule": "0 0 30 2 *"})


def test_a_schedule_in_a_zone_goes_by_the_clocks_there() -> None:
    """Ids are in UTC all the same. On 29 March, 02:30 is left out; on 25 October it comes twice."""
    with sandbox([Viennese], start=datetime(2026, 3, 28, tzinfo=UTC)) as box:
        box.advance(days=3)
        assert ids(Viennese) == ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]
    with sandbox([Viennese], start=datetime(2026, 10, 24, tzinfo=UTC)) as box:
        box.advance(days=3)
        assert ids(Viennese) == ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]


def test_a_schedule_that_gets_a_zone_is_a_changed_one(bench: Bench) -> None:
    bench.sweep()
    at(bench, START.replace(hour=10))
    schedule = Schedule("0 9 * * *", zone="Asia/Tokyo")
    bench.runtime.machines = Registry([type("Nightly", (Nightly,), {"schedule": schedule})])
    bench.sweep()
    assert ids() == []
    at(bench, START.replace(day=23, hour=0))
    bench.sweep()
    assert ids() == ["2026-11-23T00:00:00Z"]


def test_what_was_noted_before_there_were_zones_is_gone_on_with(bench: Bench) -> None:
    reached = clock.from_datetime(START - timedelta(days=3))
    bench.runtime.store.meta.add("schedule:nightly", f"{reached} 0 3 * * *")
    bench.sweep()
    assert ids() == ["2026-11-21T03:00:00Z"]
