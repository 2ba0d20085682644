"""What there is to be alarmed about, and that it is told when it begins and when it ends."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from fsmflow import (
    CrashLoop,
    Failing,
    NewFailure,
    NobodyListens,
    OldestDue,
    Overdue,
    Stuck,
    alarms,
    failures,
)
from fsmflow.operations.alarm import Alarm
from fsmflow.operations.notice import Notice
from fsmflow.operations.watch import CALM_MS, EVERY_MS
from tests.operations.parcels import HOUR, Parcel, fail, kinds, look, raising, settle, text_of, told, watches
from tests.support.bench import Bench, bench_on


@pytest.fixture
def any_bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    """A bench on each kind of database, for what is asked of it."""
    with bench_on(redis_url, machines=(Parcel,), database_url=database_url) as made:
        yield made


@pytest.fixture
def bench(tmp_path: Any, redis_url: str) -> Iterator[Bench]:
    """A bench on SQLite: who tells whom does not depend on the kind of database."""
    with bench_on(redis_url, machines=(Parcel,), database_url=f"sqlite:///{tmp_path}/fsmflow.db") as made:
        yield made


def test_an_alarm_is_told_once_when_it_begins_and_once_when_it_has_been_over_for_a_while(
    any_bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench = any_bench
    caplog.set_level(logging.INFO, logger="fsmflow")
    parcel = Parcel.start(1, size="small")
    look(bench)
    assert told(caplog) == []
    for _ in range(3):
        look(bench, 2 * HOUR)
    (line,) = told(caplog)
    assert line.startswith(
        "alarm.raised: alarm:overdue.parcel.shelved: parcel: 1 entity overdue in 'shelved': expected within 1 h, "
        "the oldest is there for 2 h; for example parcel:1; "
    )
    assert "'fsmflow list --machine parcel --state shelved --overdue'" in line
    (raised,) = alarms.raised()
    assert (raised.address, raised.machine, raised.values["count"]) == ("alarm:overdue.parcel.shelved", "parcel", 1)
    parcel.ask()
    for _ in range(CALM_MS // EVERY_MS):
        look(bench)
        assert told(caplog) == []
    look(bench)
    (line,) = told(caplog)
    assert line.startswith(
        "alarm.over: alarm:overdue.parcel.shelved: it is over, after 4 h 2 min; when it began: parcel: 1 "
    )
    assert alarms.raised() == []
    alarm = Alarm.get("overdue.parcel.shelved")
    assert [entry.trigger for entry in alarm.history] == [None, "told", "end", "told"]


def test_what_is_raised_is_told_as_it_is_now_and_its_end_with_how_long_it_lasted(bench: Bench) -> None:
    watches(bench, Overdue(tell="ops"))
    first = Parcel.start(1)
    look(bench, 2 * HOUR)
    for number in (2, 3):
        Parcel.start(number)
    first.ask()
    bench.clock.ms += 2 * HOUR * 1000
    (now,) = alarms.raised()
    assert now.text.startswith("parcel: 2 entities overdue")
    assert (now.values["example"], now.goes_on) == ("parcel:2", True)
    assert now.began.startswith("parcel: 1 entity overdue")
    for parcel in list(Parcel.find(state="shelved")):
        parcel.ask()
    (now,) = alarms.raised()
    assert (now.text, now.goes_on) == (f"there is no sign of it any more; when it began: {now.began}", False)
    settle(bench)
    over = next(each.message for each in Notice.find() if each.data["type"] == "alarm.over")
    assert over.text == f"it is over, after 2 h 2 min; when it began: {now.began}"
    assert over.data["lasted_s"] == 2 * HOUR + 135
    assert len(list(Alarm.get("overdue.parcel.shelved").history)) == 4


def test_a_cause_is_one_alarm_that_the_machine_and_the_installation_share(any_bench: Bench) -> None:
    bench = any_bench
    watches(bench, Failing(2, within=600, tell="ops"), Failing(3, within=60))
    fail(bench, 1)
    look(bench)
    assert kinds() == []
    fail(bench, 2)
    look(bench)
    (raised,) = alarms.raised()
    (delivery,) = Notice.find(data={"channel": "ops"})
    message = delivery.message
    assert (message.type, message.text, message.data["values"]["count"]) == ("alarm.raised", raised.text, 2)
    assert message.data["alarm"] == raised.address
    group = failures.groups()[0]
    assert raised.address == f"alarm:failing-2-600.parcel.{group.id}"
    assert (raised.tell, raised.todo) == (("ops",), f"fsmflow failures {group.short}")
    assert "2 entities failed within 10 min for one reason, in 'failed_from_packing': Fail: no box for small" in (
        raised.text
    )
    bench.clock.ms += 600_000
    fail(bench, 3, 4, 5)
    look(bench)
    assert sorted(each.address.split(".")[0] for each in alarms.raised()) == [
        "alarm:failing-2-600",
        "alarm:failing-3-60",
    ]


def test_a_failure_that_is_new_is_told_until_it_is_resolved_and_again_when_it_comes_back(any_bench: Bench) -> None:
    bench = any_bench
    watches(bench, NewFailure())
    fail(bench, 1)
    look(bench)
    assert "a failure that is new" in alarms.raised()[0].text
    failures.resolve(failures.groups()[0].id)
    settle(bench)
    assert kinds() == []
    fail(bench, 2)
    look(bench)
    assert "a failure that was said to be resolved" in text_of("new-failure")
    look(bench, 2 * HOUR)
    assert "new-failure" in kinds()


def test_old_failures_are_not_new_to_whoever_begins_to_look(bench: Bench) -> None:
    fail(bench, 1)
    watches(bench, NewFailure())
    look(bench, 2 * HOUR)
    assert kinds() == []


def test_jobs_that_wait_are_told_by_queue_and_whether_anybody_listens(any_bench: Bench) -> None:
    bench = any_bench
    watches(bench, NobodyListens(), OldestDue(60))
    Parcel.start(1, size="small").collect()
    look(bench)
    assert kinds() == []
    look(bench, 20)
    assert kinds() == ["nobody-listens"]
    assert alarms.raised()[0].text.startswith("1 job waits in queue 'slow', the oldest for 3")
    bench.runtime.doorbell.announce(["slow"])
    look(bench, 30)
    assert sorted(kinds()) == ["nobody-listens", "oldest-due"]
    bench.step("slow")
    bench.runtime.doorbell.announce(["slow"])
    settle(bench)
    assert kinds() == []


def test_nothing_is_known_of_who_listens_while_redis_is_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watches(bench, NobodyListens())
    Parcel.start(1, size="small").collect()
    look(bench, 60)
    monkeypatch.setattr(bench.runtime.doorbell, "listened", raising(bench.runtime.doorbell.errors[0]("away")))
    settle(bench)
    assert kinds() == ["nobody-listens"]


def test_workers_that_die_again_and_again_are_told_as_long_as_that_goes_on(any_bench: Bench) -> None:
    bench = any_bench
    watches(bench, CrashLoop(2))
    Parcel.start(1, size="small").collect()
    for _ in range(2):
        ticket = bench.take("slow")
        claim = bench.runtime.store.work.claim(ticket, "gone", lease_until=bench.clock.ms + 10)
        assert claim is not None
        bench.advance(1)
        bench.advance(120)
    look(bench)
    assert "parcel: what is under way in 'packing' has lost its workers 2 times, up to 2 for one entity" in (
        alarms.raised()[0].text
    )


def test_what_cannot_go_on_is_told_once_it_was_tried_often(any_bench: Bench) -> None:
    bench = any_bench
    watches(bench, Stuck())
    Parcel.start(1).ask()
    for _ in range(3):
        assert kinds() == []
        bench.advance(600)
        look(bench)
    assert "something of 1 entity in 'asking' is due and cannot go on, tried 3 times" in alarms.raised()[0].text
