"""``feed``: lines for other programs, and the feeds that are stored."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsmflow.store.link import open_database
from fsmflow.testing import sandbox
from tests.support.readers import Lamp
from tests.support.terminal import Terminal


@pytest.fixture
def lamps() -> Iterator[None]:
    """One that went on."""
    with sandbox([Lamp]):
        Lamp.start("1").trigger("turn", actor="ann")
        yield


def test_lines_are_told_as_they_happened_and_once_by_name(shell: Terminal, lamps: None) -> None:
    out = shell.run("feed").out.splitlines()
    assert [re.sub("^.{19}  ", "", line) for line in out] == ["lamp:1 start: off", "lamp:1 turn: off -> on by ann"]
    told = [json.loads(line) for line in shell.run("feed", "x", "--from", "beginning", "--json").out.splitlines()]
    assert [(each["address"], each["state"], each["entry"]["seq"]) for each in told] == [
        ("lamp:1", "off", 1),
        ("lamp:1", "on", 2),
    ]
    again = shell.run("feed", "x", "--json")
    assert (again.out, again.err.startswith("nothing new in ")) == ("", True)
    shell.run("feed", "rewind", "x", "--from", "beginning")
    assert len(shell.run("feed", "x", "--state", "on", "--limit", "1").out.splitlines()) == 1
    (state,) = json.loads(shell.run("feed", "list", "--json").out)
    assert (state["name"], state["behind"], state["told"], state["reader"]) == ("x", 0, 3, None)
    assert shell.run("feed", "list").out.splitlines()[1].split()[0] == "x"
    assert shell.run("feed", "forget", "x").out == "feed x is forgotten\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("feed", "forget", "y"), "there is no feed 'y'; there is none yet"),
        (("feed", "a b"), "the name of a feed is 'a b'; it has 1 to 64 letters, digits, '.', '_' and '-'"),
        (("feed", "--state", "of"), "none of the machines has a state like 'of'; did you mean 'off'?"),
        (("feed", "--trigger", "tur"), "none of the machines has a trigger like 'tur'; did you mean 'turn'?"),
        (("feed", "--machine", "lamp", "--trigger", "push"), "machine lamp has no trigger like 'push'"),
        (("feed", "--machine", "lam"), "did you mean 'lamp'?"),
    ],
)
def test_what_cannot_be_told_is_said(shell: Terminal, lamps: None, words: tuple[str, ...], sentence: str) -> None:
    assert sentence in shell.refused(*words)


READER = """
import os, sys, fsmflow
for number, entry in enumerate(fsmflow.feed("x", start="beginning", lease=1), 1):
    print(entry.entity_id, flush=True)
    if number == 3:
        os.kill(os.getpid(), 9)
"""


def test_a_reader_that_is_killed_goes_on_with_the_entry_that_it_was_killed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/fsmflow.db"
    monkeypatch.setenv("FSMFLOW_DATABASE_URL", url)
    monkeypatch.setenv("FSMFLOW_MACHINES", "tests.support.readers")
    command = [sys.executable, "-m", "fsmflow.cli"]
    database = open_database(url)
    with sandbox([Lamp], database=database):
        for number in range(5):
            Lamp.start(str(number))
    database.close()
    killed = subprocess.run([sys.executable, "-c", READER], capture_output=True, text=True, check=False)
    assert (killed.stdout.split(), killed.returncode) == (["0", "1", "2"], -signal.SIGKILL)
    following = [*command, "feed", "x", "--follow", "--json"]
    with subprocess.Popen(following, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as follower:
        assert follower.stdout is not None
        assert [json.loads(next(follower.stdout))["entity_id"] for _ in range(3)] == ["2", "3", "4"]
        follower.terminate()
        assert (follower.stdout.read(), follower.wait(20)) == ("", 0)
