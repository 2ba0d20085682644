"""``alarms``, and where alarms are said: by a machine, by ``configure``, in a file."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import sqlite3
from collections.abc import Iterator
from dataclasses import fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

import fsmflow
from fsmflow import (
    ConfigurationError,
    CrashLoop,
    DataError,
    DefinitionError,
    Fail,
    Failing,
    Machine,
    NewFailure,
    OldestDue,
    Overdue,
    State,
    settings,
)
from fsmflow.channels import kinds as channel_kinds
from fsmflow.operations.alarm import Alarm as RaisedAlarm
from fsmflow.settings import alarms as alarm_kinds
from fsmflow.settings.alarms import Alarm, read_alarms, read_file
from fsmflow.settings.channels import read_channels
from fsmflow.testing import Sandbox, sandbox
from tests.cli.shop import Shop
from tests.support.terminal import Terminal

HOUR = 3_600
WAITING = """
from fsmflow import Machine, NobodyListens, OldestDue, Overdue, State

class Parcel(Machine):
    initial = "new"
    states = [State("new", expect=3600), State("packing", job="pack"), State("packed", final=True)]
    transitions = [["go", "new", "packing"], ["done", "packing", "packed"]]
    alarms = [OldestDue(1, tell="ops"), Overdue()]
    def pack(self): ...
"""


class Parcel(Machine):
    """Is collected within an hour, as a rule."""

    initial = "new"
    states = [State("new", expect=HOUR), State("gone", final=True)]
    transitions = [["collect", "new", "gone"]]
    alarms = [Overdue(tell=["ops", "boss"])]


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(machines=[Parcel]) as made:
        yield made


@pytest.fixture
def shell(box: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


def test_alarms_are_shown_with_since_when_and_what_to_type_next(box: Sandbox, shell: Terminal) -> None:
    Parcel.start(1)
    done = shell.run("alarms")
    assert (done.status, done.out) == (0, "")
    assert "no alarm is raised" in done.err
    assert "channel 'boss' is told of alarm overdue of parcel, and is not configured here; FSMFLOW_CHANNELS" in done.err
    box.advance(2 * HOUR)
    head, text, todo = shell.ok("alarms").splitlines()
    assert head.startswith("alarm:overdue.parcel.new, since 20")
    assert head.endswith(" UTC, told to boss, ops")
    assert text.strip().startswith("parcel: 1 entity overdue in 'new': expected within 1 h, the oldest is there for")
    assert todo.strip() == "fsmflow list --machine parcel --state new --overdue"
    assert "parcel:1" in shell.ok(*todo.split()[1:])
    (found,) = shell.json("alarms")
    assert (found["kind"], found["tell"], found["values"]["example"]) == ("overdue", ["boss", "ops"], "parcel:1")
    explained = shell.ok("explain", "alarm:overdue.parcel.new")
    assert "its end, which workers find by themselves; 'pause' silences it until 'resume', 'cancel' for" in explained
    assert "allowed now: cancel\n" in explained
    shell.ok("pause", "alarm:overdue.parcel.new")
    assert "silent until 'fsmflow resume alarm:overdue.parcel.new'" in shell.ok("alarms")


def test_check_looks_by_itself_where_no_worker_runs_and_says_so_by_its_exit_status(shop: Shop) -> None:
    (shop.folder / "machines.py").write_text(WAITING)
    assert shop.json("alarms", "--check") == []
    shop.ok("start", "parcel", "1")
    shop.ok("trigger", "parcel:1", "go")
    database = sqlite3.connect(shop.folder / "home" / "fsmflow.db")
    with database:
        database.execute("UPDATE fsmflow_work SET rung_at = rung_at - 3600000")
    database.close()
    done = shop.run("alarms", "--check", "--json")
    assert done.status == 1
    (found,) = json.loads(done.out)
    assert (found["kind"], found["since"], found["values"]["queue"]) == ("oldest-due", None, "default")
    assert shop.json("alarms") == []


def test_a_file_and_configure_take_the_same(tmp_path: Path) -> None:
    wanted = (Failing(5, within=600, tell="ops"), NewFailure(), OldestDue(60), CrashLoop())
    path = tmp_path / "alarms.toml"
    path.write_text(
        """
        [[alarms]]
        kind = "failing"
        count = 5
        tell = ["ops"]
        [[alarms]]
        kind = "new-failure"
        [[alarms]]
        kind = "oldest-due"
        seconds = 60
        [[alarms]]
        kind = "crash-loop"
        """
    )
    assert read_file(str(path)) == wanted == read_alarms([each.as_plain() for each in wanted])
    before = settings.chosen()
    try:
        fsmflow.configure(alarms=[wanted[0], {"kind": "new-failure"}])
        assert settings.current().alarms == wanted[:2]
        handed = settings.handed_over(settings.current())
        settings.take_over(json.loads(json.dumps(handed)))
        assert settings.current().alarms == wanted[:2]
    finally:
        settings.choose(before)
    for wrong in ("[alarm]", "[alarms]\nkind = 'overdue'", "alarms = 'overdue'"):
        path.write_text(wrong)
        with pytest.raises(ConfigurationError, match=r"each alarm is a table \[\[alarms\]\]"):
            read_file(str(path))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("Overdue", "it is a list of alarms"),
        (["overdue"], "'overdue' is no alarm; each is a table with its kind; the kinds are overdue, failing"),
        ([{"kind": "failed"}], "kind is 'failed'; did you mean 'failing'?"),
        ([{"kind": ["x"]}], "kind is ['x']; it is one of overdue, failing, new-failure"),
        ([{"tell": "ops"}], "has no kind; each is a table with its kind; the kinds are overdue"),
        ([{"kind": "failing"}], 'kind = "failing" needs count; write count = 5'),
        ([{"kind": "oldest-due"}], 'kind = "oldest-due" needs seconds; write seconds = 60'),
        ([{"kind": "failing", "count": 0}], "Failing(count=0): it takes a whole number from 1 to 1,000"),
        ([{"kind": "oldest-due", "seconds": "60"}], "OldestDue(seconds='60'): it takes seconds or a timedelta"),
        ([{"kind": "overdue", "tel": "ops"}], "Overdue(...) takes no 'tel'; did you mean 'tell'?"),
        ([{"kind": "overdue", "tell": 1}], "Overdue(tell=1): it takes one or several names of channels"),
    ],
)
def test_what_is_no_alarm_is_refused_with_what_would_be_one(given: Any, told: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_alarms(given)
    assert told in str(raised.value)


def test_a_machine_says_alarms_as_a_list_and_is_overdue_only_where_something_is_expected() -> None:
    def faults(wanted: Any) -> str:
        with pytest.raises(DefinitionError) as raised:
            type("Odd", (Machine,), {"initial": "open", "states": ["open"], "transitions": [], "alarms": wanted})
        return str(raised.value)

    assert "alarms=Overdue(tell=()); it is a list of Overdue, Failing" in faults(Overdue())
    assert "alarms has Overdue(), and no state has expect=" in faults([Overdue()])
    with pytest.raises(DataError, match="from 1 to"):
        Failing(True)
    assert isinstance(Failing(5), Alarm)


def test_whatever_a_table_of_a_file_has_is_taken_or_refused_in_words() -> None:
    odd = [None, True, 0, -1, 1.5, math.inf, "", "a", [], ["a"], [[1]], {}, {"a": 1}, date(2026, 1, 1)]
    good = {"url": "env:A", "secret": "env:B", "to": "a@b.example", "arguments": ["a"], "count": 2, "seconds": 5}
    read = {read_channels: channel_kinds.KINDS, read_alarms: alarm_kinds.KINDS}
    for reader, kinds in read.items():
        for kind, made in kinds.items():
            names = [each.name for each in fields(cast(Any, made))]
            table = {"kind": kind, **{name: good[name] for name in names if name in good}}
            for name, value in itertools.product(["kind", *names], odd):
                given: Any = {**table, name: value}
                with contextlib.suppress(ConfigurationError):
                    reader({"ops": given} if reader is read_channels else [given])


@pytest.mark.parametrize("minutes", [[60], [5, 5, 5, 5], [2, 2, 2]])
def test_in_a_sandbox_time_passes_for_alarms_as_it_does_for_workers(box: Sandbox, minutes: list[int]) -> None:
    parcel = Parcel.start(1)
    box.advance(days=30)
    assert [each.kind for each in fsmflow.alarms.raised()] == ["overdue"]
    parcel.trigger("collect")
    for each in minutes:
        box.advance(minutes=each)
    assert fsmflow.alarms.raised() == []


class Letter(Machine):
    """Cannot be sent."""

    initial = "new"
    states = [State("new"), State("sending", job="send_it"), State("sent", final=True)]
    transitions = [["go", "new", "sending"], ["done", "sending", "sent"]]
    alarms = [Failing(2, within=600)]

    def send_it(self) -> None:
        raise Fail("no stamp")


def test_in_a_sandbox_an_alarm_begins_and_ends_by_time_alone() -> None:
    with sandbox(machines=[Letter]) as box:
        for number in (1, 2):
            Letter.start(number).trigger("go")
        box.advance(hours=1)
        (alarm,) = RaisedAlarm.find()
        assert [entry.trigger for entry in alarm.history] == [None, "told", "end", "told"]
        took = alarm.history[2].at - alarm.history[0].at
        assert timedelta(minutes=10) < took < timedelta(minutes=40)
