"""Alarms: told once when they begin and once when they end, whoever looks, and whoever dies while looking."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from fsmflow import (
    CrashLoop,
    Fail,
    Failing,
    Machine,
    NewFailure,
    NobodyListens,
    OldestDue,
    Overdue,
    State,
    Stuck,
    alarms,
    failures,
    points,
    settings,
)
from fsmflow.engine.signs import rules_of
from fsmflow.errors import DatabaseUnavailable
from fsmflow.operations.alarm import Alarm
from fsmflow.operations.delivery import Delivery
from fsmflow.operations.watch import CALM_MS, EVERY_MS, Watch, _Seen
from fsmflow.values import replace
from tests.support.bench import Bench, bench_on
from tests.support.machines import Trigger

HOUR = 3_600


class Parcel(Machine):
    """Is collected within an hour, as a rule, and packed."""

    name = "parcel"
    initial = "shelved"
    renamed_states = {"stored": "shelved"}
    states = [
        State("shelved", expect=timedelta(hours=1)),
        State("packing", job="pack", queue="slow"),
        State("asking", timeout=60),
        State("gone", final=True),
    ]
    transitions = [
        ["collect", "shelved", "packing"],
        ["ask", "shelved", "asking"],
        {"trigger": "timeout", "source": "asking", "dest": "gone", "conditions": "is_answered"},
        ["done", "packing", "gone"],
    ]
    alarms = [Overdue(), Failing(2, within=600)]
    collect: Trigger
    ask: Trigger

    def pack(self) -> None:
        raise Fail(f"no box for {self.data['size']}")

    def is_answered(self) -> bool:
        return bool(self.data.get("answered"))


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


def watches(bench: Bench, *wanted: Any) -> None:
    """Have the installation want these alarms."""
    chosen = replace(bench.runtime.settings, alarms=wanted)
    settings.choose(chosen)
    bench.runtime.settings = chosen


def look(bench: Bench, seconds: float = EVERY_MS / 1000) -> None:
    """Let time pass, and have a sweeper look that has not looked before."""
    bench.clock.ms += round(seconds * 1000)
    Watch(bench.runtime).go_on()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The log lines of alarms so far, which are forgotten then."""
    found = [each.getMessage() for each in caplog.records if each.getMessage().startswith("alarm.")]
    caplog.clear()
    return found


def settle(bench: Bench) -> None:
    """Look until what is over has been so for long enough."""
    for _ in range(CALM_MS // EVERY_MS + 1):
        look(bench)


def raising(error: BaseException) -> Any:
    """A function that raises."""

    def act(*args: Any, **options: Any) -> Any:
        raise error

    return act


@contextlib.contextmanager
def at_point(name: str, act: Callable[[], Any]) -> Iterator[None]:
    """Inside, this is done the first time that a point is passed."""
    passed: list[str] = []

    def listen(point: str, about: str) -> None:
        if point == name and not passed:
            passed.append(about)
            act()

    points.listen(listen)
    try:
        yield
    finally:
        points.listen(None)
    assert passed


def kinds() -> list[str]:
    return [each.kind for each in alarms.raised()]


def text_of(kind: str) -> str:
    return next(each.text for each in alarms.raised() if each.kind == kind)


def fail(bench: Bench, *numbers: int) -> None:
    for number in numbers:
        Parcel.start(number, size="small").collect()
        bench.step("slow")


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
    assert [line.partition(":")[0] for line in told(caplog)] == ["alarm.over"]
    assert alarms.raised() == []
    alarm = Alarm.get("overdue.parcel.shelved")
    assert [entry.trigger for entry in alarm.history] == [None, "told", "end", "told"]


def test_a_cause_is_one_alarm_that_the_machine_and_the_installation_share(any_bench: Bench) -> None:
    bench = any_bench
    watches(bench, Failing(2, within=600, tell="ops"), Failing(3, within=60))
    fail(bench, 1)
    look(bench)
    assert kinds() == []
    fail(bench, 2)
    look(bench)
    (raised,) = alarms.raised()
    (delivery,) = Delivery.find(data={"channel": "ops"})
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


def test_two_who_look_at_once_raise_an_alarm_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="fsmflow")
    Parcel.start(1)
    bench.clock.ms += 2 * HOUR * 1000
    one, other = Watch(bench.runtime), Watch(bench.runtime)
    rules = rules_of(bench.runtime)
    first, second = one._take(bench.clock.ms), other._take(bench.clock.ms)
    assert (first is None, second) == (False, None)
    # Who was suspended in its look goes on with it, after the other one has taken the next.
    with at_point("alarm.seen", lambda: other._look(rules, bench.clock.ms, _Seen.of(None))):
        one._look(rules, bench.clock.ms, _Seen.of(None))
    assert len(told(caplog)) == 1
    assert [entry.trigger for entry in Alarm.get("overdue.parcel.shelved").history] == [None, "told"]


def test_whoever_dies_before_telling_is_followed_by_one_who_tells(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="fsmflow")
    watches(bench, Overdue(tell="ops"))
    Parcel.start(1)
    with at_point("alarm.raised", raising(KeyboardInterrupt())), pytest.raises(KeyboardInterrupt):
        look(bench, 2 * HOUR)
    assert (told(caplog), list(Delivery.find())) == ([], [])
    with at_point("alarm.told", raising(KeyboardInterrupt())), pytest.raises(KeyboardInterrupt):
        look(bench)
    for _ in range(2):
        look(bench)
    # To a channel it is told once, whoever dies; a line of the log comes twice rather than never.
    assert [line.partition(":")[0] for line in told(caplog)] == ["alarm.raised", "alarm.raised"]
    assert len(list(Delivery.find())) == 1


def test_one_that_is_paused_is_silent_and_one_that_is_cancelled_is_so_for_good(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="fsmflow")
    parcel = Parcel.start(1)
    look(bench, 2 * HOUR)
    alarm = Alarm.get("overdue.parcel.shelved")
    alarm.pause()
    parcel.ask()
    told(caplog)
    settle(bench)
    assert (alarm.refresh().state, told(caplog)) == ("ending", [])
    parcel.cancel()
    Parcel.start(2)
    look(bench, 2 * HOUR)
    assert (alarm.refresh().state, alarms.raised()[0].silent) == ("raised", True)
    alarm.cancel()
    look(bench)
    assert (told(caplog), alarms.raised()) == ([], [])


def test_a_look_that_fails_is_logged_and_ends_neither_the_sweep_nor_an_alarm(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watches(bench, OldestDue(60))
    parcel = Parcel.start(1)
    look(bench, 2 * HOUR)
    monkeypatch.setattr(bench.runtime.store.lookout, "overdue", raising(ValueError("odd")))
    parcel.collect()
    bench.clock.ms += 61_000
    settle(bench)
    assert kinds() == ["overdue", "oldest-due"]
    assert "alarm.unseen: overdue: ValueError: odd; it is looked for again" in told(caplog)[-1]


def test_nothing_begins_or_ends_while_the_database_is_away_or_nobody_looks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcel = Parcel.start(1)
    look(bench, 2 * HOUR)
    parcel.ask()
    look(bench)
    with monkeypatch.context() as patch:
        patch.setattr(bench.runtime.store.lookout, "overdue", raising(DatabaseUnavailable("away")))
        with pytest.raises(DatabaseUnavailable):
            look(bench)
    look(bench, HOUR)
    assert kinds() == ["overdue"]
    settle(bench)
    assert kinds() == []


def test_a_sweep_looks_and_one_without_alarms_asks_nothing_once_none_is_raised(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    Parcel.start(1)
    bench.advance(2 * HOUR)
    assert kinds() == ["overdue"]
    wide = Parcel._definition.wide
    monkeypatch.setattr(Parcel, "_definition", replace(Parcel._definition, wide=replace(wide, alarms=())))
    bench.runtime.machines.all()["parcel"] = Parcel._definition
    settle(bench)
    assert kinds() == []
    watch = Watch(bench.runtime)
    watch.go_on()
    monkeypatch.setattr(bench.runtime.store.link, "look", raising(AssertionError("a query")))
    bench.clock.ms += HOUR * 1000
    watch.go_on()
