"""What people do to a schedule: pause, resume, run by hand, backfill; and what they see of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest

from fsmflow import (
    Actor,
    ConfigurationError,
    DataError,
    Machine,
    NestedAction,
    Schedule,
    State,
    TransitionConflict,
    clock,
)
from fsmflow.engine.registry import Registry
from fsmflow.running.maintenance.schedules import Schedules
from fsmflow.testing import Sandbox, sandbox
from tests.running.test_overlap import Alone, Asking, InTurn, answer
from tests.running.test_schedules import START, Nightly, at, ids
from tests.support.bench import Bench, bench_on
from tests.support.concurrency import meanwhile

FIRST = "2026-11-22T03:00:00Z"
NIGHTS = [f"2026-11-{day}T03:00:00Z" for day in range(22, 30)]


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=database_url) as bench:
        at(bench, START)
        bench.runtime.machines = Registry([Nightly])
        yield bench


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox([Nightly, Alone, InTurn, Asking], start=START) as box:
        box.run()
        yield box


def notes(machine: type[Machine]) -> list[tuple[str, str | None, str | None]]:
    return [(note.what, note.by, note.reason) for note in machine.timetable().notes]


def test_a_paused_schedule_starts_nothing_whoever_looks_and_goes_on_with_its_next_tick(bench: Bench) -> None:
    """Supervisors that have looked before, and such as come after it."""
    before = Schedules(bench.runtime)
    before.start_due()
    paused = Nightly.pause_schedule(actor=Actor("alice"), reason="the printer is away")
    assert paused.paused is not None
    assert (paused.next_at, paused.paused.by, paused.paused.reason) == (None, "alice", "the printer is away")
    at(bench, START.replace(day=23, hour=4))
    assert (before.start_due(), Schedules(bench.runtime).start_due()) == (0, 0)
    resumed = Nightly.resume_schedule(actor="bob")
    assert (resumed.paused, resumed.next_at) == (None, START.replace(day=24, hour=3))
    assert (before.start_due(), Schedules(bench.runtime).start_due(), ids()) == (0, 0, [])
    at(bench, START.replace(day=24, hour=3))
    assert before.start_due() + Schedules(bench.runtime).start_due() == 1
    assert ids() == [NIGHTS[2]]
    assert notes(Nightly) == [("paused", "alice", "the printer is away"), ("resumed", "bob", None)]


def test_a_schedule_can_be_paused_before_any_worker_has_seen_it(bench: Bench) -> None:
    Nightly.pause_schedule()
    at(bench, START.replace(day=23))
    assert Schedules(bench.runtime).start_due() == 0


def test_once_it_is_paused_a_tick_that_is_under_way_starts_nothing(bench: Bench) -> None:
    """Whoever was about to start it is second, as pausing has changed what it has read."""
    slow = Schedules(bench.runtime)
    slow.start_due()
    at(bench, START.replace(hour=3))
    with meanwhile(bench.runtime.store.meta, "get", Nightly.pause_schedule):
        assert slow.start_due() == 0
    assert (ids(), slow.start_due()) == ([], 0)


def test_to_pause_while_others_change_it_is_tried_anew(bench: Bench) -> None:
    Schedules(bench.runtime).start_due()
    at(bench, START.replace(hour=3))
    with meanwhile(bench.runtime.store.meta, "get", Schedules(bench.runtime).start_due):
        assert Nightly.pause_schedule().paused is not None
    assert ids() == [FIRST]


def test_pausing_what_is_paused_and_resuming_what_is_not_changes_nothing(box: Sandbox) -> None:
    Nightly.resume_schedule(actor="bob")
    for who in ("alice", "bob"):
        paused = Nightly.pause_schedule(actor=who).paused
        assert paused is not None
        assert paused.by == "alice"
    assert len(notes(Nightly)) == 1


def test_a_tick_that_waits_is_given_up_when_its_schedule_is_paused(box: Sandbox) -> None:
    box.advance(days=2)
    assert InTurn.timetable().waits == START.replace(day=23, hour=3)
    InTurn.pause_schedule()
    answer(InTurn)
    box.run()
    InTurn.resume_schedule()
    box.run()
    assert ids(InTurn) == [FIRST]
    box.advance(days=1)
    assert ids(InTurn) == [FIRST, NIGHTS[2]]


def test_one_that_is_run_by_hand_is_told_by_its_id_and_its_actor(bench: Bench) -> None:
    """Also while the schedule is paused. No tick is missing for that."""
    bench.sweep()
    Nightly.pause_schedule()
    run = Nightly.run_schedule({"why": "to see"}, actor="alice", copies=2)
    assert run.entity_id == "by-hand-2026-11-22T02:00:00.000Z"
    assert run.data == {"scheduled_at": START, "why": "to see", "copies": 2}
    assert run.history[0].actor == "alice"
    Nightly.resume_schedule()
    at(bench, START.replace(hour=3))
    bench.sweep()
    assert ids() == [run.entity_id, FIRST]


def test_where_no_two_may_run_one_that_is_run_by_hand_counts_as_one(box: Sandbox) -> None:
    by_hand = Alone.run_schedule()
    with pytest.raises(TransitionConflict, match=r"alone:by-hand-.*: it is not finished, and overlap='skip' lets no"):
        Alone.run_schedule()
    box.advance(hours=2)
    assert ids(Alone) == [by_hand.entity_id]
    answer(Alone)
    assert Alone.run_schedule().entity_id != by_hand.entity_id


@pytest.mark.parametrize("machine", [Alone, InTurn])
def test_of_a_tick_and_a_run_by_hand_at_once_one_starts_an_entity(bench: Bench, machine: type[Machine]) -> None:
    bench.runtime.machines = Registry([machine])
    bench.sweep()
    at(bench, START.replace(hour=3))
    slow = Schedules(bench.runtime)
    slow.next_due()
    with meanwhile(bench.runtime.store.listing, "first_like", machine.run_schedule):
        slow.start_due()
    assert len(ids(machine)) == 1
    with (
        meanwhile(bench.runtime.store.listing, "first_like", lambda: answer(machine)),
        pytest.raises(TransitionConflict),
    ):
        machine.run_schedule()


def test_a_backfill_starts_what_is_missing_once_however_often_it_is_repeated(bench: Bench) -> None:
    """With the data that the ticks would have given it; what is there stays as it is."""
    at(bench, START.replace(day=26))
    Nightly.start(NIGHTS[1], by="hand")
    span = (date(2026, 11, 22), date(2026, 11, 24))
    would = [f"nightly:{night}" for night in (NIGHTS[0], NIGHTS[2])]
    assert Nightly.backfill_schedule(*span, dry_run=True) == would
    assert ids() == [NIGHTS[1]]
    told: list[str] = []
    assert Nightly.backfill_schedule(*span, actor="alice", progress=told.append) == told == would
    assert Nightly.backfill_schedule(*span) == []
    assert sorted(ids()) == NIGHTS[:3]
    assert Nightly.get(NIGHTS[0]).data == {"scheduled_at": START.replace(hour=3)}
    assert Nightly.get(NIGHTS[0]).history[0].actor == "alice"
    assert notes(Nightly) == [("backfilled", "alice", None)]


def test_a_backfill_that_was_interrupted_goes_on_where_it_ended(bench: Bench) -> None:
    at(bench, START.replace(day=26))
    span = (START, START + timedelta(days=3))
    with patch("fsmflow.engine.backfill._PAGE", 2):
        with pytest.raises(KeyboardInterrupt):
            Nightly.backfill_schedule(*span, progress=_interrupt)
        assert sorted(ids()) == NIGHTS[:2]
        assert Nightly.backfill_schedule(*span) == [f"nightly:{NIGHTS[2]}"]


def _interrupt(address: str) -> None:
    raise KeyboardInterrupt


def test_a_backfill_and_the_tick_itself_start_one(bench: Bench) -> None:
    bench.sweep()
    at(bench, START.replace(hour=3))
    slow = Schedules(bench.runtime)
    slow.next_due()
    with meanwhile(bench.runtime.store.meta, "get", lambda: Nightly.backfill_schedule(START)):
        slow.start_due()
    assert ids() == [FIRST]


def test_a_backfill_ends_now_and_both_ends_belong_to_it(box: Sandbox) -> None:
    with sandbox([Asking], start=START.replace(day=24, hour=3)):
        begin = START.replace(hour=3)
        assert len(Asking.backfill_schedule(begin, dry_run=True)) == 3
        assert len(Asking.backfill_schedule(begin, date(2030, 1, 1), dry_run=True)) == 3
        assert len(Asking.backfill_schedule(begin, begin, dry_run=True)) == 1
        assert Asking.backfill_schedule(begin + timedelta(seconds=1), begin + timedelta(hours=1)) == []
        assert Asking.backfill_schedule(date(2026, 11, 23), date(2026, 11, 22)) == []


def test_the_days_of_a_backfill_are_those_of_the_zone() -> None:
    class Tokyo(Nightly):
        schedule = Schedule("0 * * * *", zone="Asia/Tokyo")

    with sandbox([Tokyo], start=START):
        day = Tokyo.backfill_schedule(date(2026, 11, 20), date(2026, 11, 20), dry_run=True)
        assert (len(day), day[0], day[-1]) == (24, "tokyo:2026-11-19T15:00:00Z", "tokyo:2026-11-20T14:00:00Z")


class Working(Nightly):
    """Runs by itself, and never beside another one."""

    schedule = Schedule("0 3 * * *", overlap="queue")


def test_where_no_two_may_run_a_backfill_waits_for_each() -> None:
    with sandbox([Working], start=START.replace(day=26)) as box:
        box.run()
        assert len(Working.backfill_schedule(START)) == 4
        began = [(entity.entity_id, entity.state) for entity in Working.find()]
        assert began == [*((night, "over") for night in NIGHTS[:3]), (NIGHTS[3], "reporting")]


def test_a_backfill_does_not_wait_for_one_that_has_failed() -> None:
    """It says what to do, and goes on with the rest when it is repeated."""
    with sandbox([Working], start=START.replace(day=26)) as box:
        box.run()
        box.fail("report", OSError("the disk is full"))
        with pytest.raises(
            TransitionConflict, match=r"working:2026-11-22T03:00:00Z: it has failed.*Retry or cancel it"
        ):
            Working.backfill_schedule(START)
        Working.get(FIRST).retry()
        assert len(Working.backfill_schedule(START)) == 3


@pytest.mark.parametrize(
    ("begin", "told"),
    [
        (datetime(2026, 11, 1), "begin is datetime.datetime(2026, 11, 1, 0, 0); it is a date, or a datetime with"),
        ("2026-11-01", "begin is '2026-11-01'; it is a date"),
        (None, "begin is None; it is a date"),
        (date(1, 1, 1), "begin is datetime.date(1, 1, 1); its year is one from 1970 to 8999"),
        (datetime.max.replace(tzinfo=UTC), "; its year is one from 1970 to 8999"),
        (date(1990, 1, 1), "there are more than 10,000 ticks in this span; take a shorter one, and then the next"),
    ],
)
def test_what_cannot_be_backfilled_is_refused(box: Sandbox, begin: Any, told: str) -> None:
    with pytest.raises(DataError) as error:
        Nightly.backfill_schedule(begin)
    assert told in str(error.value)
    assert ids() == []


def test_a_timetable_says_how_a_schedule_stands_and_writes_nothing(box: Sandbox) -> None:
    with sandbox([Nightly, Alone, InTurn], start=START) as fresh:
        table = InTurn.timetable()
        assert (table.next_at, table.last, table.overdue, table.notes) == (START.replace(hour=3), None, None, ())
        assert (str(table.schedule), table.catch_up, table.machine) == ("0 3 * * *", "once", "in_turn")
        fresh.advance(days=2)
        table = InTurn.timetable()
        assert (table.last, table.last_state) == (f"in_turn:{FIRST}", "asking")
        assert (table.waits, table.blocker) == (START.replace(day=23, hour=3), f"in_turn:{FIRST}")
        assert [(note.what, note.about) for note in table.notes] == [("held", NIGHTS[1])]
        assert notes(Alone) == [("held", None, f"alone:{FIRST} is not finished")]


def test_a_timetable_tells_a_tick_that_no_worker_has_dealt_with(bench: Bench) -> None:
    bench.sweep()
    at(bench, START.replace(day=23, hour=9))
    assert Nightly.timetable().overdue == START.replace(day=23, hour=3)
    bench.sweep()
    assert Nightly.timetable().overdue is None


def test_a_next_tick_is_shown_as_the_clocks_of_its_zone_show_it() -> None:
    class Viennese(Nightly):
        schedule = Schedule("30 2 * * *", zone="Europe/Vienna")

    with sandbox([Viennese], start=START):
        assert f"{Viennese.timetable().next_at}" == "2026-11-23 02:30:00+01:00"


def test_a_tick_that_was_passed_over_is_noted() -> None:
    class Lazy(Nightly):
        catch_up = "skip"

    with sandbox([Lazy], start=START) as box:
        box.run()
        box._clock.move_to(clock.from_datetime(START.replace(hour=9)))
        box.run()
        assert [(note.what, note.about) for note in Lazy.timetable().notes] == [("missed", FIRST)]


def test_the_notes_of_a_schedule_do_not_grow_for_ever(box: Sandbox) -> None:
    box.advance(days=40)
    assert len(Alone.timetable().notes) == 20


def test_a_machine_without_a_schedule_has_none_of_this(box: Sandbox) -> None:
    class Plain(Machine):
        initial = "open"
        states = ["open", State("shut", final=True)]
        transitions = [["close", "open", "shut"]]

    for act in (Plain.timetable, Plain.pause_schedule, Plain.resume_schedule, Plain.run_schedule):
        with pytest.raises(ConfigurationError, match="machine 'plain' has no schedule"):
            act()


def test_a_callback_cannot_change_a_schedule() -> None:
    class Hasty(Asking):
        def on_exit_asking(self) -> None:
            Hasty.pause_schedule()

    with sandbox([Hasty], start=START):
        with pytest.raises(NestedAction, match="'pause_schedule' was refused"):
            Hasty.start("1").trigger("answer")
        assert Hasty.timetable().paused is None


def test_times_are_in_utc_where_nobody_says_otherwise() -> None:
    assert Schedule("0 3 * * *").at(0) == datetime(1970, 1, 1, tzinfo=UTC)
