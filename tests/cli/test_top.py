"""``top``: live in a terminal, with keys; and once, for those who have none."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fsmflow import Machine, Overdue, State, failures
from fsmflow.cli.board import look, object_of
from fsmflow.cli.dialogue import Dialogue
from fsmflow.cli.frame import Size
from fsmflow.cli.keyboard import DOWN, END, ENTER, ESCAPE, HOME
from fsmflow.engine.runtime import current
from fsmflow.operations import repairs
from fsmflow.testing import Sandbox, sandbox
from tests.cli.orders import Order
from tests.cli.shop import CLI, NOWHERE, Shop
from tests.support.terminal import Terminal

SMALL, LARGE = Size(width=80, height=24), Size(width=120, height=40)
#: What leads a terminal to another screen and back, and hides and shows its cursor.
THERE, BACK, SHOWN = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"
SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07")


def text_of(dialogue: Dialogue, size: Size = SMALL) -> str:
    lines = dialogue.lines(size)
    assert (len(lines), max(line.cell_len for line in lines) <= size.width) == (size.height, True)
    return "\n".join(line.plain for line in lines)


def press(dialogue: Dialogue, *keys: str, size: Size = SMALL) -> str:
    """What is shown after these keys."""
    text_of(dialogue, size)
    for key in keys:
        dialogue.press(key, size)
        text_of(dialogue, size)
    return text_of(dialogue, size)


@pytest.fixture
def seen(box: Sandbox, declined: None) -> Dialogue:
    """Three orders were declined; a fourth one is new."""
    dialogue = Dialogue(None, None)
    dialogue.see(look(current(), None))
    return dialogue


@pytest.mark.parametrize("size", [SMALL, LARGE, Size(width=40, height=12), Size(width=200, height=60)])
def test_it_fits_into_any_terminal_and_begins_with_what_there_is(seen: Dialogue, size: Size) -> None:
    shown = press(seen, size=size)
    assert "STATES" in shown
    assert "FAILURES" in shown
    assert re.search(r"^> order:new", shown, re.MULTILINE)


def test_whoever_looks_closer_meets_entities_and_then_what_one_of_them_waits_for(seen: Dialogue) -> None:
    listed = press(seen, "j", "j", "k", ENTER)
    assert "fsmflow list --machine order --state failed_from_charging" in listed
    assert "order:1" in listed
    explained = press(seen, DOWN, ENTER)
    assert "fsmflow explain order:" in explained
    assert "failed_from_charging" in explained
    assert "STATES" in press(seen, ESCAPE, ESCAPE)
    (group,) = look(current(), None).groups
    assert f"fsmflow failures {group.id}" in press(seen, END, "k", HOME, "j", "j", ENTER)


def test_a_retry_is_asked_about_and_done_by_yes_alone(seen: Dialogue) -> None:
    asked = press(seen, "j", ENTER, "r")
    assert re.search(r"Retry order:\d from 'failed_from_charging'\? y/n", asked)
    assert "nothing was done" in press(seen, ENTER)
    address = next(line.split()[1] for line in press(seen).splitlines() if line.startswith("> "))
    assert f"{address} is in 'charging' again" in press(seen, "r", "y")
    assert Order.get(address.partition(":")[2]).history[-1].reason == "asked for in fsmflow top"


def test_of_a_group_a_repair_begins_with_one_of_them(seen: Dialogue, box: Sandbox) -> None:
    asked = press(seen, "j", "j", "r")
    assert "Begin a repair that retries 3 entities of group" in asked
    told = press(seen, "y")
    (repair,) = repairs.find()
    assert f"fsmflow repair show {repair.entity_id}" in told
    assert repair.plan.canary == 1
    box.run()
    seen.see(look(current(), None))
    assert repair.entity_id in press(seen)


def test_what_cannot_be_retried_is_told_in_words(seen: Dialogue) -> None:
    assert "nothing in 'new' has failed" in press(seen, "r")
    assert "there is no more to be seen of default" in press(seen, END, ENTER)


def test_a_database_that_is_away_is_told_and_what_was_seen_stays(seen: Dialogue) -> None:
    seen.see_nothing("the database does not answer")
    shown = press(seen)
    assert "the database does not answer; looking again" in shown
    assert "order:new" in shown
    seen.see(look(current(), None))
    assert "looking again" not in press(seen)


def test_once_and_json_need_no_terminal(shell: Terminal, declined: None) -> None:
    told = shell.ok("top", "--once")
    assert "order:failed_from_charging" in told
    assert "\x1b" not in told
    found = shell.json("top")
    assert found.keys() == object_of(look(current(), None)).keys()
    assert [(each["state"], each["count"]) for each in found["states"]] == [
        ("new", 1),
        ("failed_from_charging", 3),
    ]
    assert "--once prints what it would show" in shell.misused("top")


class Crate(Machine):
    """Is collected within an hour, as a rule; what it is loaded with is no good."""

    initial = "new"
    states = [State("new", expect=3600), State("loading", job="load"), State("gone", final=True)]
    transitions = [["go", "new", "loading"], ["done", "loading", "gone"]]
    alarms = [Overdue()]

    def load(self) -> None:
        raise ValueError("too heavy")


def test_what_is_overdue_alarming_or_set_aside_is_told_and_what_failed_comes_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with sandbox([Crate]) as box:
        for number in range(4):
            Crate.start(str(number))
        for number in (1, 2, 3):
            Crate.get(str(number)).trigger("go")
        box.advance(2 * 3_600)
        dialogue = Dialogue(None, None)
        dialogue.see(look(current(), None))
        shown = press(dialogue, size=Size(width=60, height=20))
        assert re.match(r"fsmflow top  ..:..:.. UTC   3 failed   1 alarm   5 entities", shown)
        assert re.search(r"crate:new +1 +2 h, overdue", shown)
        assert re.search(r"ALARMS +FOR +WHAT", shown)
        failures.resolve(failures.groups()[0].id)
        dialogue.see(look(current(), None))
        shown = press(dialogue, size=LARGE)
        assert re.search(r"set aside +3 +resolved, ignored +failures --all", shown)
        assert "fsmflow list --machine crate --state new --overdue" in press(dialogue, END, "k", ENTER, size=LARGE)
        assert "too heavy" in press(dialogue, ESCAPE, "k", ENTER, size=LARGE)
        told = Terminal(capsys, monkeypatch).json("top")
        assert told["set_aside"] == {"groups": 1, "entities": 3}
        assert [each["address"] for each in told["alarms"]] == ["alarm:overdue.crate.new"]
        assert [each["state"] for each in told["states"] if each["overdue"]] == ["new"]


class Tty:
    """A pseudo-terminal in which ``top`` runs."""

    def __init__(self, shop: Shop) -> None:
        self._ours, self.theirs = pty.openpty()
        self.resize(80, 24)
        self.before = self.modes()
        environment = {**shop.environment, "TERM": "xterm", "NO_COLOR": "1"}
        for name in ("COLUMNS", "LINES"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, *CLI, "top"],
            cwd=shop.folder,
            env=environment,
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.written = ""

    def modes(self) -> list[Any]:
        return termios.tcgetattr(self.theirs)

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def until(self, text: str, *, lines: int = 24) -> None:
        """Wait for a whole picture in which that stands."""
        while text not in " ".join(self.picture.split()) or len(self.picture.splitlines()) != lines:
            ready, _, _ = select.select([self._ours], [], [], 60)
            assert ready, self.picture
            self.written += os.read(self._ours, 65_536).decode()

    @property
    def picture(self) -> str:
        """What was drawn last, from the upper left corner on."""
        return SEQUENCE.sub("", self.written.rpartition("\x1b[H")[2])

    def end(self) -> int:
        """The exit status, once all has been read that was written."""
        status = self.process.wait(timeout=60)
        while select.select([self._ours], [], [], 0)[0]:
            self.written += os.read(self._ours, 65_536).decode()
        return status


@contextmanager
def on_a_terminal(shop: Shop) -> Iterator[Tty]:
    tty = Tty(shop)
    try:
        yield tty
    finally:
        tty.process.kill()
        tty.process.wait()


def test_on_a_terminal_it_takes_keys_and_sizes_and_leaves_all_as_it_was(busy: Shop) -> None:
    with on_a_terminal(busy) as tty:
        tty.until("> order:pending")
        assert THERE in tty.written
        assert not re.search(r"\x1b\[[0-9;]*3\d[;m]", tty.written)  # no colour, as NO_COLOR asks for
        tty.press("j")
        tty.until("> order:review")
        tty.press("\x1b[A")
        tty.until("> order:pending")
        tty.resize(120, 40)
        tty.until("> order:pending", lines=40)
        tty.press("?")
        tty.until("keep the picture still, and go on", lines=40)
        tty.press("\x1b")
        tty.until("> order:pending", lines=40)
        tty.process.send_signal(signal.SIGTERM)
        assert tty.end() == 128 + signal.SIGTERM
        assert tty.modes() == tty.before
        assert tty.written.rindex(BACK) > tty.written.rindex("STATES")
        assert SHOWN in tty.written[tty.written.rindex("STATES") :]


def test_it_begins_without_a_database_and_ends_by_ctrl_c(shop: Shop) -> None:
    shop.variables = {"FSMFLOW_DATABASE_URL": NOWHERE["postgres"]}
    with on_a_terminal(shop) as tty:
        tty.until("Connection refused")
        assert "looking again" in tty.picture
        assert "sesame" not in tty.written
        tty.press("\x03")
        assert tty.end() == 130
        assert tty.modes() == tty.before
