"""``failures``: groups, one of them whole, and what is said of them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence

import pytest

from fsmflow import Machine, State
from fsmflow.cli.main import cli, run
from fsmflow.person import login
from fsmflow.testing import Sandbox, sandbox
from tests.cli.orders import Order
from tests.support.terminal import Terminal

ERRORS = {kind.__name__: kind for kind in (FileNotFoundError, KeyError, ValueError)}


class Job(Machine):
    """Fails as its data say."""

    initial = "new"
    states = ["new", State("doing", job="work"), State("over", final=True)]
    transitions = [["go", "new", "doing"], ["done", "doing", "over"]]

    def work(self) -> None:
        raise ERRORS[self.data["kind"]](*self.data["words"])


@pytest.mark.parametrize(
    "failures",
    [
        [("ValueError", ["'a' $b"])],
        [("FileNotFoundError", [2, "No such file or directory: 'smtp'"]), ("KeyError", ["totl"])],
        [("ValueError", ["card of 'Ann' was declined"]), ("ValueError", ["card of 'Ann' is gone"])],
    ],
)
def test_a_command_takes_its_own_kind_alone(
    failures: Sequence[tuple[str, list[object]]], capsys: pytest.CaptureFixture[str]
) -> None:
    with sandbox(machines=[Job]) as box:
        for number, (kind, words) in enumerate(failures):
            Job.start(str(number), kind=kind, words=words).trigger("go")
        box.advance(seconds=1)
        run(cli, ["failures", "--json"], "fsmflow")
        groups = json.loads(capsys.readouterr().out)
        assert len(groups) == len(failures)
        for group in groups:
            run(cli, [*shlex.split(group["retry"])[1:], "--dry-run", "--json"], "fsmflow")
            assert [each["address"] for each in json.loads(capsys.readouterr().out)] == [group["example"]]


@pytest.fixture
def group(shell: Terminal, box: Sandbox) -> str:
    """The short id of a group in which two orders rest."""
    for entity_id in ("1", "2"):
        Order.start(entity_id, card="bad", lines=[]).go()
    box.run()
    (found,) = shell.json("failures")
    return str(found["group"][:8])


def test_a_group_is_shown_by_the_beginning_of_its_id(shell: Terminal, group: str) -> None:
    told = shell.ok("failures", group[:6])
    assert told == shell.ok("failures", "show", group)
    assert told.startswith("2 x order:failed_from_charging ")
    assert f"    fsmflow retry --group {group}\n" in told
    assert re.search(r"^raised in: +tests\.cli\.orders\.Order\.charge$", told, re.MULTILINE)
    assert re.search(r"^rest in it: +order:1, order:2$", told, re.MULTILINE)
    assert told.count("Traceback (most recent call last):") == 1
    found = shell.json("failures", group)
    assert found == json.loads(shell.ok("failures", "--json", group))
    assert (found["count"], found["seen"], found["life"], found["examples"]) == (2, 2, "open", ["order:1", "order:2"])
    assert found["parts"][0]["retry"] == f"fsmflow retry --group {group}"


def test_what_is_resolved_or_ignored_is_told_of_and_shown_on_request(shell: Terminal, group: str) -> None:
    said = shell.ok("failures", "resolve", group, "--release", "2.4.1", "--actor", "ann")
    assert said.startswith(f"{group} order:failed_from_charging resolved by ann in release 2.4.1 at ")
    done = shell.run("failures")
    assert (done.status, done.out) == (0, "")
    assert "2 entities rest in a failure group that is resolved or ignored: --all shows what" in done.err
    assert shell.json("failures") == []
    assert "resolved by ann in release 2.4.1" in shell.ok("failures", "--all")
    assert shell.json("failures", "--all")[0]["life_release"] == "2.4.1"
    assert "open" in shell.ok("failures", "reopen", group)
    assert f"ignored by {login()} until 2999-01-02 00:00:00 UTC or until it was seen 7 times" in shell.ok(
        "failures", "ignore", group, "--until", "2999-01-02", "--count", "5"
    )
    assert shell.json("failures", "ignore", group)["until"] is None


def test_a_note_and_a_link_are_told_with_the_group(shell: Terminal, group: str) -> None:
    shell.ok("failures", "note", group, "the bank is asked", "--link", "https://t.example.com/1", "--actor", "ann")
    told = shell.ok("failures")
    assert re.search("^    note by ann at .* UTC: the bank is asked; https://t.example.com/1$", told, re.MULTILINE)


def test_one_group_is_merged_into_another(shell: Terminal, box: Sandbox, group: str) -> None:
    other = Order.start("3", card="bad", lines=[])
    other.force("failed_from_charging")
    ids = {found["group"] for found in shell.json("failures")}
    (new,) = {id_ for id_ in ids if not id_.startswith(group)}
    assert f"group {group}: seen 3 times" in shell.ok("failures", "merge", new, group)
    assert shell.json("failures")[0]["count"] == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("failures", "nosuch"), "there is no failure group 'nosuch'"),
        (("failures", "resolve", "ffffffffffff"), "there is no failure group 'ffffffffffff'"),
        (("failures", "note", "GROUP", "--link", "ftp://x"), "it begins with https:// or http://"),
        (("failures", "note", "GROUP"), "there is nothing to note"),
        (("failures", "ignore", "GROUP", "--until", "2001-01-01"), "is past already"),
        (("retry", "--group", "ffffffffffff"), "there is no failure group 'ffffffffffff'"),
    ],
)
def test_what_is_wrong_is_refused(shell: Terminal, group: str, arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in shell.refused(*(group if word == "GROUP" else word for word in arguments))


def test_a_moment_that_is_none_is_wrong_usage(shell: Terminal, group: str) -> None:
    done = shell.run("failures", "ignore", group, "--until", "tomorrow")
    assert (done.status, "'tomorrow' is no moment; write a day" in done.err) == (2, True)


def test_the_bulk_commands_narrow_to_a_group(shell: Terminal, box: Sandbox, group: str) -> None:
    assert [found["address"] for found in shell.json("list", "--group", group)] == ["order:1", "order:2"]
    Order.start("9", card="bad", lines=[]).force("failed_from_charging")
    assert [found["address"] for found in shell.json("cancel", "--group", group)] == ["order:1", "order:2"]
