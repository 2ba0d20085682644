"""A survey of the database tells what a deployment would strand, rename and upgrade; ``check --database`` prints it."""

from __future__ import annotations

import json

import pytest

import fsmflow
from fsmflow import Machine, State
from fsmflow.cli.main import cli, run
from fsmflow.engine import runtime as runtime_of
from fsmflow.engine.survey import Finding, survey
from fsmflow.testing import sandbox
from tests.support.bench import Bench
from tests.support.deployments import Bare, Batch, Parcel, Renamed, RenamedBatch, Second, broken, definition_of, deploy
from tests.support.servers import on_sqlite


def found_by(bench: Bench, *machines: type[Machine]) -> list[Finding]:
    return survey(bench.runtime.store.census, {definition_of(kind).name: definition_of(kind) for kind in machines})


def test_branches_of_a_step_that_is_gone_do_not_keep_their_parent_from_being_moved(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They stay where they are, as no code knows what to do with them, and a survey tells of them."""

    class Without(Machine):
        name = "batch"
        initial = "new"
        states = [State("new"), State("over", final=True)]
        transitions = [["go", "new", "over"]]

    broken.append("run")
    with sandbox([Batch]) as box:
        box.fail("run", ConnectionError())
        Batch.start("1", items=[1, 2], bad=[1, 2]).trigger("go")
        box.run()
        Batch.get("1").retry()
        deploy(box, Without)
        assert Without.get("1").force("new").trigger("go").dest == "over"
        box.advance(minutes=5)
        assert "align of entity row" not in caplog.text
        found = survey(box._runtime.store.census, {"batch": definition_of(Without)})
        assert {(item.kind, item.count) for item in found} == {("unknown_state", 2)}


def test_a_survey_tells_what_a_deployment_would_strand_rename_and_upgrade(bench: Bench) -> None:
    deploy(bench, Parcel, Batch)
    for number in range(3):
        Parcel.start(f"w{number}", state="resting")
    Parcel.start("s", state="sent")
    Batch.start("b", items=[1, 2]).trigger("go")
    bench.step()
    Parcel.start("p").trigger("begin")
    assert found_by(bench, Parcel, Batch) == []
    known = {
        (item.kind, item.state, item.count, item.example, item.strands) for item in found_by(bench, Renamed, Batch)
    }
    assert known == {
        ("renamed", "resting", 3, "parcel:w0", False),
        ("renamed", "packing", 1, "parcel:p", False),
    }
    found = found_by(bench, Second, RenamedBatch)
    assert {(item.kind, item.machine, item.state) for item in found if item.kind == "upgraded"} == {
        ("upgraded", "parcel", "resting"),
        ("upgraded", "parcel", "packing"),
        ("upgraded", "batch", "running"),
    }
    assert not any(item.strands for item in found)
    stranded = found_by(bench, Bare)
    assert {(item.kind, item.state, item.count) for item in stranded if item.strands} == {
        ("unknown_state", "resting", 3),
        ("unknown_state", "packing", 1),
        ("unknown_machine", "running", 1),
        ("unknown_machine", "running", 2),
    }
    (resting,) = [item for item in stranded if item.state == "resting"]
    assert resting.told == (
        "3 entities in 'resting' (for example parcel:w0): machine 'parcel' no longer has the state 'resting'. Deploy "
        "it again, say in renamed_states what it is called now, or move them with 'fsmflow force ADDRESS STATE'"
    )


def test_a_survey_finds_those_who_wait_for_what_never_comes(bench: Bench) -> None:
    """A timer that was added later runs for nobody who was there before; a job that is gone is never run."""

    class Later(Machine):
        name = "parcel"
        initial = "new"
        states = [
            State("new", job="go"),
            State("packing"),
            State("resting", timeout=60),
            State("sent", final=True),
        ]
        transitions = [
            ["done", "new", "resting"],
            ["timeout", "resting", "sent"],
            ["divert", "new", "packing"],
            ["ready", "packing", "sent"],
        ]

        def go(self) -> None:
            return None

    deploy(bench, Parcel)
    for number in range(2):
        Parcel.start(f"w{number}", state="resting")
    Parcel.start("p").trigger("begin")
    Parcel.start("n")
    deploy(bench, Later)
    Later.start("t", state="resting")
    assert {(item.kind, item.state, item.count, item.strands) for item in found_by(bench, Later)} == {
        ("no_way_out", "resting", 2, True),
        ("job_is_gone", "packing", 1, True),
        ("not_started", "new", 1, False),
    }
    assert Later.get("n").resume().phase == "working"
    assert Later.get("w0").force("resting").state == "resting"
    assert {(item.kind, item.count) for item in found_by(bench, Later)} == {("no_way_out", 1), ("job_is_gone", 1)}


def test_a_survey_tells_of_entities_of_newer_code() -> None:
    with sandbox([Second]) as box:
        Second.start("1")
        (found,) = survey(box._runtime.store.census, {"parcel": definition_of(Parcel)})
        assert (found.kind, found.strands) == ("newer_version", True)


@on_sqlite
def test_check_database_prints_what_would_be_stranded_and_ends_with_1(
    bench: Bench, database_url: str, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def check(machine: type[Machine], *options: str) -> tuple[int, str]:
        runtime_of.close()
        fsmflow.configure(database_url=database_url, redis_url=redis_url, machines=[machine])
        return command("check", "--database", *options)

    def command(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        status = run(cli, words, "fsmflow")
        return status, capsys.readouterr().out

    deploy(bench, Parcel)
    for number in range(2):
        Parcel.start(number, state="resting")
    status, out = check(Parcel)
    assert (status, out.splitlines()[-1]) == (0, "database: every entity can go on with this code")
    status, out = check(Renamed)
    note = "2 entities in 'resting' (for example parcel:0): the state is called 'on_hold' now; they go on in it"
    assert (status, out.splitlines()[-2]) == (0, f"database: note: machine parcel: {note}")
    assert command("list", "--state", "on_hold")[1].count("on_hold") == 2
    assert command("stats")[1].splitlines()[1].split()[:3] == ["parcel", "on_hold", "2"]
    assert command("show", "parcel:0")[1].count("resting") == 0
    assert command("list", "--state", "resting")[0] == 1
    status, out = check(Bare)
    assert status == 1
    assert "database: STRANDED: machine parcel: 2 entities in 'resting'" in out
    status, out = check(Bare, "--json")
    (found,) = json.loads(out)["database"]
    assert (status, found["kind"], found["count"], found["strands"]) == (1, "unknown_state", 2, True)
