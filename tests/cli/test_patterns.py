"""The patterns that ``failures`` proposes: easily typed, and for one kind of failure alone."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence

import pytest

from fsmflow import Machine, State
from fsmflow.cli.main import cli, run
from fsmflow.cli.overview import _typed
from fsmflow.testing import sandbox

ERRORS = {kind.__name__: kind for kind in (FileNotFoundError, KeyError, ValueError)}


class Job(Machine):
    """Fails as its data say."""

    initial = "new"
    states = ["new", State("doing", job="work"), State("over", final=True)]
    transitions = [["go", "new", "doing"], ["done", "doing", "over"]]

    def work(self) -> None:
        raise ERRORS[self.data["kind"]](*self.data["words"])


GONE = ("FileNotFoundError", [2, "No such file or directory: 'smtp'"])


@pytest.mark.parametrize(
    ("failures", "patterns"),
    [
        ([GONE], ["'FileNotFoundError: *'"]),
        ([GONE, ("KeyError", ["totl"])], ["'FileNotFoundError: *'", "'KeyError: *'"]),
        ([("ValueError", ["card 7 of 'Ann' was declined"])], ["'ValueError: card 7 of *'"]),
        ([("ValueError", ["no card"])], ["'ValueError: no card'"]),
        (
            [("ValueError", ["card of 'Ann' was declined"]), ("ValueError", ["card of 'Ann' is gone"])],
            ["\"ValueError: card of 'Ann' is gone\"", "\"ValueError: card of 'Ann' was declined\""],
        ),
        (
            [("ValueError", ["'a' $b"]), ("ValueError", ["'a' c"])],
            ["\"ValueError: 'a' c\"", "'ValueError: '\"'\"'a'\"'\"' $b'"],
        ),
    ],
)
def test_a_command_is_easily_typed_and_takes_its_own_kind_alone(
    failures: Sequence[tuple[str, list[object]]], patterns: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with sandbox(machines=[Job]) as box:
        for number, (kind, words) in enumerate(failures):
            Job.start(str(number), kind=kind, words=words).trigger("go")
        box.advance(seconds=1)
        run(cli, ["failures", "--json"], "fsmflow")
        groups = json.loads(capsys.readouterr().out)
        begin = "fsmflow retry --machine job --state failed_from_doing --error "
        assert sorted(group["retry"].removeprefix(begin) for group in groups) == sorted(patterns)
        for group in groups:
            run(cli, [*shlex.split(group["retry"])[1:], "--dry-run", "--json"], "fsmflow")
            assert [each["address"] for each in json.loads(capsys.readouterr().out)] == [group["example"]]


@pytest.mark.parametrize("word", ["it's", "a 'b' $HOME", "a 'b' `id`", "'!'", "'\\'", "'\"'", "plain", ""])
def test_a_shell_takes_a_typed_word_as_it_is(word: str) -> None:
    told = [sys.executable, "-c", "import sys; print(sys.argv[1], end='')", word]
    assert subprocess.run(_typed(told), shell=True, capture_output=True, text=True, check=True).stdout == word
