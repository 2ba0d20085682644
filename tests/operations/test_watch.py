"""Who raises alarms and tells of them: once, whoever looks beside it, and whoever dies while looking."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fsmflow
from fsmflow import Actor, Machine, NotPermitted, OldestDue, Overdue, State, alarms, settings
from fsmflow.engine.signs import rules_of
from fsmflow.errors import DatabaseUnavailable, TransitionNotAllowed
from fsmflow.operations import watch as watch_module
from fsmflow.operations.alarm import Alarm
from fsmflow.operations.notice import Notice
from fsmflow.operations.watch import Watch, _Seen
from fsmflow.settings.permissions import read_permissions
from fsmflow.values import replace
from tests.operations.parcels import HOUR, Parcel, at_point, kinds, look, raising, settle, told, watches
from tests.support.bench import Bench, bench_on


@pytest.fixture
def bench(tmp_path: Any, redis_url: str) -> Iterator[Bench]:
    """A bench on SQLite: who tells whom does not depend on the kind of database."""
    with bench_on(redis_url, machines=(Parcel,), database_url=f"sqlite:///{tmp_path}/fsmflow.db") as made:
        yield made


class Letter(Machine):
    """Belongs to somebody, in an installation that tells teams apart."""

    name = "letter"
    initial = "written"
    search = ("tenant",)
    team = "tenant"
    states = [State("written"), State("read", final=True)]
    transitions = [["open", "written", "read"]]


@pytest.fixture
def shared(tmp_path: Any, redis_url: str) -> Iterator[Bench]:
    """The same, and one machine has teams."""
    with bench_on(redis_url, machines=(Parcel, Letter), database_url=f"sqlite:///{tmp_path}/fsmflow.db") as made:
        yield made


def test_alarms_and_what_tells_of_them_are_about_all_teams(shared: Bench) -> None:
    watches(shared, Overdue(tell="ops"))
    parcel = Parcel.start(1)
    look(shared, 2 * HOUR)
    (alarm,) = alarms.raised()
    assert [each.data["about"] for each in Notice.find()] == [alarm.address]
    parcel.ask()
    settle(shared)
    assert (kinds(), len(list(Notice.find()))) == ([], 2)
    for teams, in_words in (((), "none"), (("acme",), "acme")):
        with pytest.raises(NotPermitted, match=f"it would be about all teams, and 'ann' is in {in_words}$"):
            Alarm.start("mine", actor=Actor("ann", teams=teams))
    # Wherever fsmflow acts by a name, it does so for all teams.
    named = {str(path) for path in Path(fsmflow.__file__).parent.rglob("*.py") if 'Actor("' in path.read_text()}
    assert named == set()


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
    assert (told(caplog), list(Notice.find())) == ([], [])
    with at_point("alarm.told", raising(KeyboardInterrupt())), pytest.raises(KeyboardInterrupt):
        look(bench)
    for _ in range(2):
        look(bench)
    # To a channel it is told once, whoever dies; a line of the log comes twice rather than never.
    assert [line.partition(":")[0] for line in told(caplog)] == ["alarm.raised", "alarm.raised"]
    assert len(list(Notice.find())) == 1


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


def test_a_channel_that_is_not_there_is_told_by_the_log_and_no_message_is_tried_for_a_day(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    watches(bench, Overdue(tell=["opsy", "ops"]))
    Parcel.start(1)
    look(bench, 2 * HOUR)
    nowhere, raised = told(caplog)
    assert nowhere.startswith(
        "alarm.nowhere: alarm:overdue.parcel.shelved: there is no channel 'opsy' here; did you mean 'ops'?; "
    )
    assert (raised.partition(":")[0], [each.data["channel"] for each in Notice.find()]) == ("alarm.raised", ["ops"])
    look(bench)
    assert told(caplog) == []


def test_one_that_cannot_be_told_keeps_no_other_from_being_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="fsmflow")
    watches(bench, OldestDue(60, tell="ops"))
    Parcel.start(1).collect()
    Parcel.start(2)
    with monkeypatch.context() as patch:
        patch.setattr(watch_module, "deliver", raising(ValueError("odd")))
        look(bench, 2 * HOUR)
    first = [line.partition(": ")[0] for line in told(caplog)]
    assert sorted(first) == ["alarm.raised", "alarm.untold"]
    look(bench)
    assert [line.split(":")[2] for line in told(caplog)] == ["oldest-due-60.queue.slow"]


def test_one_that_cannot_begin_or_end_keeps_neither_another_nor_the_telling(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watches(bench, OldestDue(60))
    fire, begin = Watch._fire, Watch._begin

    def odd(alarm: Any) -> bool:
        return "overdue" in alarm.address if hasattr(alarm, "address") else alarm.kind == "overdue"

    def refuse(act: Any) -> Any:
        def acted(self: Watch, alarm: Any, *rest: Any) -> None:
            if odd(alarm):
                raise ValueError("odd")
            act(self, alarm, *rest)

        return acted

    Parcel.start(1).collect()
    Parcel.start(2)
    with monkeypatch.context() as patch:
        patch.setattr(Watch, "_begin", refuse(begin))
        look(bench, 2 * HOUR)
    first, other = told(caplog)
    assert first == "alarm.untold: alarm:overdue.parcel.shelved: ValueError: odd; it is tried again"
    assert other.startswith("alarm.raised: alarm:oldest-due-60.queue.slow")
    look(bench)
    told(caplog)
    for parcel in Parcel.find():
        parcel.cancel()
    with monkeypatch.context() as patch:
        patch.setattr(Watch, "_fire", refuse(fire))
        settle(bench)
    assert {line.split(":")[0] for line in told(caplog)} == {"alarm.untold", "alarm.over"}
    assert kinds() == ["overdue"]
    settle(bench)
    assert kinds() == []


def test_nobody_ends_an_alarm_by_hand_and_with_permissions_not_everybody_silences_it(bench: Bench) -> None:
    chosen = replace(bench.runtime.settings, permissions=read_permissions({"roles": {"lead": ["alarm.*"]}}))
    settings.choose(chosen)
    bench.runtime.settings = chosen
    Parcel.start(1)
    look(bench, 2 * HOUR)
    alarm = Alarm.get("overdue.parcel.shelved")
    with pytest.raises(NotPermitted):
        alarm.pause(actor=Actor("ann"))
    lead = Actor("ann", roles=["lead"])
    with pytest.raises(TransitionNotAllowed, match="belongs to the engine"):
        alarm.trigger("end", actor=lead)
    alarm.pause(actor=lead)
    assert (alarm.refresh().state, alarm.paused) == ("raised", True)


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


def test_a_sweep_looks_and_one_without_alarms_asks_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    Parcel.start(1)
    bench.advance(2 * HOUR)
    assert kinds() == ["overdue"]
    wide = Parcel._definition.wide
    monkeypatch.setitem(
        bench.runtime.machines.all(), "parcel", replace(Parcel._definition, wide=replace(wide, alarms=()))
    )
    assert kinds() == []
    monkeypatch.setattr(bench.runtime.store.link, "rows", raising(AssertionError("a query")))
    look(bench, HOUR)
