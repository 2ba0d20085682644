"""``fsmflow verify``: what it prints, and how it exits."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.terminal import Terminal
from tests.verify.scene import Scene, scene


@pytest.fixture
def found() -> Iterator[Scene]:
    """A database in which nothing is wrong."""
    with scene() as made:
        yield made


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


def test_what_was_checked_is_counted_where_all_holds(found: Scene, terminal: Terminal) -> None:
    told = terminal.run("verify")
    entities = found.verify().checked["entities"]
    assert (told.status, told.err) == (0, "")
    assert told.out.splitlines()[0] == f"{entities:>12,} entities"
    assert told.out.splitlines()[-1] == "every invariant holds"


def test_each_violation_says_where_what_and_what_to_do(found: Scene, terminal: Terminal) -> None:
    found.delete("fsmflow_work", "charging")
    told = terminal.run("verify")
    assert told.status == 1
    assert (
        "VIOLATED work-present: parcel:charging\n"
        "    it is working in 'charging', and has no work row\n"
        "    to do: 'fsmflow resume ADDRESS' starts a job; "
    ) in told.out
    assert told.out.endswith("1 of 40 invariants violated\n")


def test_json_for_other_programs(found: Scene, terminal: Terminal) -> None:
    told = terminal.run("verify", "--json")
    report = json.loads(told.out)
    assert (told.status, report["holds"], report["violations"]) == (0, True, [])
    assert report["checked"] == found.verify().checked
    found.set("fsmflow_entity", "done", revision=0)
    told = terminal.run("verify", "--json", "--machine", "parcel")
    report = json.loads(told.out)
    assert (told.status, report["holds"], report["unlisted"]) == (1, False, 0)
    (violation,) = report["violations"]
    assert violation.pop("what").startswith("its history was written by")
    assert violation == {"invariant": "history-fold", "address": "parcel:done"}


def test_what_todays_machine_would_not_do_is_noted_and_a_violation_where_that_is_asked_for(
    found: Scene, terminal: Terminal
) -> None:
    found.set("fsmflow_history", "keyed", " AND seq = 3", trigger="submit")
    told = terminal.run("verify")
    assert told.status == 0
    assert "\nnoted transition-legal: parcel:keyed: " in told.out
    strict = terminal.run("verify", "--strict")
    assert strict.status == 1
    assert "VIOLATED transition-legal: parcel:keyed\n" in strict.out


def test_patience_is_given_in_seconds(found: Scene, terminal: Terminal) -> None:
    found.set("fsmflow_work", "charging", wake_at=found.box._runtime.now() - 100_000)
    assert terminal.run("verify").status == 1
    assert terminal.run("verify", "--patience", "120").status == 0
    assert "-1" in terminal.misused("verify", "--patience", "-1")


def test_a_machine_that_is_not_there(found: Scene, terminal: Terminal) -> None:
    assert "parcel" in terminal.refused("verify", "--machine", "parcle")
