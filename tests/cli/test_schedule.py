"""``schedule``: list, pause, resume, run and backfill on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from fsmflow import Machine, Schedule, State
from fsmflow.testing import Sandbox, sandbox
from tests.support.terminal import Terminal


class Report(Machine):
    """Each night on the clocks of Vienna, one at a time."""

    schedule = Schedule("30 2 * * *", zone="Europe/Vienna", overlap="queue")
    initial = "writing"
    states = ["writing", State("written", final=True)]
    transitions = [["sign", "writing", "written"]]


class Digest(Machine):
    """At noon."""

    schedule = "0 12 * * *"
    initial = "new"
    states = ["new", State("sent", final=True)]
    transitions = [["send_it", "new", "sent"]]


class Plain(Machine):
    initial = "new"
    states = ["new", State("over", final=True)]
    transitions = [["end", "new", "over"]]


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox([Report, Digest, Plain], start=datetime(2030, 1, 1, 9, tzinfo=UTC)) as box:
        box.run()
        yield box


@pytest.fixture
def shell(box: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


def test_list_shows_the_next_tick_in_the_zone_the_last_entity_and_what_is_in_the_way(
    shell: Terminal, box: Sandbox
) -> None:
    assert shell.ok("schedule", "list").splitlines() == [
        "MACHINE  SCHEDULE                  NEXT                  LAST  DETAIL",
        "digest   0 12 * * *                2030-01-01 12:00 UTC  -",
        "report   30 2 * * * Europe/Vienna  2030-01-02 02:30 CET  -",
    ]
    box.advance(days=2)
    _, digest, report = shell.ok("schedule", "list").splitlines()
    assert digest.split("  ")[-2:] == ["2030-01-02T12:00:00Z", "the last one is in new"]
    assert report.endswith(
        "2030-01-02T01:30:00Z  the tick of 2030-01-03 02:30 CET waits for report:2030-01-02T01:30:00Z"
    )
    (found,) = shell.json("schedule", "list", "report")
    assert (found["next_at"], found["waits"]) == ("2030-01-04T01:30:00.000Z", "2030-01-03T01:30:00.000Z")
    assert (found["zone"], found["overlap"], found["last_state"]) == ("Europe/Vienna", "queue", "writing")
    assert shell.ok("schedule", "list", "report").splitlines()[-1] == (
        "2030-01-03 01:30:00  report held 2030-01-03T01:30:00Z (report:2030-01-02T01:30:00Z is not finished)"
    )


def test_pause_and_resume_say_who_why_and_what_has_passed(shell: Terminal, box: Sandbox) -> None:
    paused = "digest  paused by alice (away) since 2030-01-01 09:00:00 UTC\n"
    assert shell.ok("schedule", "pause", "digest", "--actor", "alice", "--reason", "away") == paused
    assert shell.ok("schedule", "pause", "digest", "--actor", "bob") == paused
    assert "paused by alice (away)" in shell.ok("schedule", "list").splitlines()[1]
    assert shell.json("schedule", "list", "digest")[0]["paused"]["reason"] == "away"
    assert shell.run("schedule", "resume", "digest").err == ""  # nothing was missed
    shell.ok("schedule", "pause", "digest", "--actor", "alice", "--reason", "away")
    box.advance(days=2)
    done = shell.run("schedule", "resume", "digest")
    assert done.out == "digest  next: 2030-01-03 12:00 UTC\n"
    command = "fsmflow schedule backfill digest --from 2030-01-01T09:00:00.000Z --dry-run"
    assert done.err == f"what has passed meanwhile: {command}\n"
    assert shell.ok(*command.split()[1:]).splitlines()[-1] == "2 would be started"
    assert shell.run("schedule", "resume", "digest").err == ""
    notes = shell.json("schedule", "list", "digest")[0]["notes"]
    assert [entry["what"] for entry in notes] == ["paused", "resumed"] * 2


def test_run_starts_one_now(shell: Terminal) -> None:
    address = "report:by-hand-2030-01-01T09:00:00.000Z"
    assert shell.ok("schedule", "run", "report", "copies:=2", "--actor", "alice") == f"{address}  writing\n"
    assert Report.get(address.partition(":")[2]).data["copies"] == 2
    assert f"{address}: it is not finished" in shell.refused("schedule", "run", "report")
    assert shell.json("schedule", "run", "digest")["state"] == "new"


def test_backfill_starts_what_was_missed_once(shell: Terminal, box: Sandbox) -> None:
    days = ("--from", "2029-12-29", "--to", "2029-12-30")
    night = "digest:2029-12-{}T12:00:00Z"
    would = shell.ok("schedule", "backfill", "digest", *days, "--dry-run")
    assert would.splitlines() == [night.format(29), night.format(30), "2 would be started"]
    assert shell.ok("schedule", "backfill", "digest", *days) == would.replace("would be started", "started")
    assert shell.ok("schedule", "backfill", "digest", *days) == "0 started\n"
    assert shell.json("schedule", "backfill", "digest", "--from", "2029-12-29T12:01Z") == {
        "machine": "digest",
        "addresses": [night.format(31)],
        "dry_run": False,
    }


def test_a_moment_without_a_zone_is_one_on_the_clocks_of_the_schedule(shell: Terminal) -> None:
    asked = ("schedule", "backfill", "report", "--dry-run", "--from")
    assert len(shell.json(*asked, "2029-12-31T02:30")["addresses"]) == 2
    assert len(shell.json(*asked, "2029-12-31T02:30Z")["addresses"]) == 1


@pytest.mark.parametrize("wrong", ["yesterday", "2030-13-01", "2030-01-01T25:00", "1"])
def test_what_is_no_moment_is_wrong_usage(shell: Terminal, wrong: str) -> None:
    told = shell.misused("schedule", "backfill", "digest", "--from", wrong)
    assert f"{wrong!r} is no moment; write a day, 2030-01-31, or a day and a time, 2030-01-31T02:30" in told


def test_a_machine_without_a_schedule_and_none_at_all(shell: Terminal) -> None:
    assert "machine 'plain' has no schedule" in shell.refused("schedule", "pause", "plain")
    assert "no machine 'reprot'; did you mean 'report'?" in shell.refused("schedule", "run", "reprot")
    with sandbox([Plain]):
        done = shell.run("schedule", "list")
        assert (done.out, done.err) == ("", "no machine has a schedule; a class names one: schedule = '0 3 * * *'\n")
        assert shell.json("schedule", "list") == []
