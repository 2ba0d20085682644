"""``repair``: an action done to many with care: previewed, confirmed, followed, stopped, resumed, and shown."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from fsmflow.cli.bar import BAR_ROOM, Bar
from fsmflow.cli.repairs import progress_of
from fsmflow.operations.report import Report
from fsmflow.testing import Sandbox
from tests.cli.orders import Order
from tests.cli.shop import CLI, Shop
from tests.support.terminal import Terminal

FAILED = ("--machine", "order", "--state", "failed_from_charging")
GOOD = ("--set", "card=good")


def repair_of(shell: Terminal) -> str:
    return str(shell.json("repair", "list")[0]["address"])


def test_a_dry_run_tells_what_would_be_done_and_can_be_confirmed_later(
    shell: Terminal, box: Sandbox, declined: None
) -> None:
    done = shell.run("repair", *FAILED, *GOOD, "--canary", "1", "--rate", "20/s", "--stop-after", "3%", "--dry-run")
    address = repair_of(shell)
    assert (done.status, done.out.splitlines()) == (
        0,
        [
            f"{address} retry with card, 1 first, at most 20/s, 100 at once, stops if more than 3 % fail again",
            "    3 x failed_from_charging -> charging, which runs charge",
        ],
    )
    id_ = address.partition(":")[2]
    assert f"dry run: nothing was changed; to do it: fsmflow repair resume {id_}" in done.err
    assert Order.counts() == {"failed_from_charging": 3, "new": 1}
    shell.ok("repair", "resume", id_)
    box.advance(seconds=30)
    assert shell.json("repair", "show", id_)["recovered"] == 3


def test_what_is_confirmed_is_followed_to_its_end(shell: Terminal, declined: None) -> None:
    done = shell.run("repair", "start", *FAILED, *GOOD, "--canary", "1", "--yes")
    address = repair_of(shell)
    assert (done.status, done.out.splitlines()[-2:]) == (0, [f"{address} done", "    3 in all: 3 recovered"])


def test_the_exit_status_says_whether_all_have_recovered(shell: Terminal, declined: None) -> None:
    done = shell.run("repair", *FAILED, "--canary", "1", "--yes")
    address = repair_of(shell)
    assert done.status == 1
    assert done.out.splitlines()[-3:] == [
        f"{address} stopped: 1 of 1 that were tried first failed again",
        "    3 in all: 1 failed again alike, 2 not asked yet",
        f"    to go on: fsmflow repair resume {address.partition(':')[2]}",
    ]


def test_where_nobody_can_confirm_it_nothing_is_begun(shell: Terminal, declined: None) -> None:
    assert "nobody is there to confirm it; say --yes, or --dry-run" in shell.misused("repair", *FAILED)
    assert shell.json("repair", "list") == []


def test_those_who_would_be_refused_are_told_with_the_reason(shell: Terminal, declined: None) -> None:
    out = shell.ok("repair", *FAILED, "--trigger", "approve", "--dry-run")
    assert "    3 x refused, for example: order:1 is in 'failed_from_charging': 'approve' was refused" in out


def test_a_member_is_shown_with_what_became_of_it(shell: Terminal, declined: None) -> None:
    shell.run("repair", "order:1", "order:2", "--yes")
    lines = shell.ok("repair", "show", repair_of(shell), "--members", "failed_alike").splitlines()
    assert lines == [f"order:{number} failed_from_charging -> charging failed_alike" for number in (1, 2)]


def test_other_actions_and_edited_data_are_told_by_name_alone(shell: Terminal, declined: None) -> None:
    shell.ok("repair", *FAILED, "--action", "cancel", "--limit", "2", "--actor", "ada", "--reason", "old", "--yes")
    assert Order.counts() == {"cancelled": 2, "failed_from_charging": 1, "new": 1}
    told = shell.json("repair", *FAILED, *GOOD, "--yes")
    assert (told["plan"]["patch"], told["state"]) == (["card"], "done")
    assert "good" not in shell.ok("show", told["address"])
    assert Order.get("1").history[-1].actor == "ada"


def test_it_is_begun_and_left_alone_stopped_and_listed(shell: Terminal, box: Sandbox, declined: None) -> None:
    shell.ok("repair", *FAILED, *GOOD, "--rate", "1/h", "--id", "night", "--yes", "--detach")
    box.run()
    assert "repair:night stopped: the bank called" in shell.ok("repair", "stop", "night", "--reason", "the bank called")
    (line,) = shell.ok("repair", "list").splitlines()[1:]
    assert re.split(r"\s{2,}", line)[:7] == ["night", "stopped", "retry", "3", "1", "0", "2"]
    assert "is in 'stopped'" in shell.refused("repair", "stop", "night", "--reason", "again")


def test_repairs_are_seen_once_there_are_some(shell: Terminal, declined: None) -> None:
    assert "repair" not in shell.ok("stats") + shell.ok("list") + shell.ok("check")
    assert "nothing was repaired yet" in shell.run("repair", "list").err
    shell.ok("repair", *FAILED, *GOOD, "--yes", "--id", "night")
    assert "repair" in shell.ok("stats")
    assert "repair:night" in shell.ok("list")
    assert "machine repair" not in shell.ok("check")
    assert "previewing --> previewed: done" in shell.ok("draw", "repair")


def test_bulk_commands_mean_no_repairs_unless_they_name_them(shell: Terminal, declined: None) -> None:
    shell.ok("repair", *FAILED, "--dry-run", "--id", "night")
    shell.ok("cancel", "--phase", "waiting")
    assert shell.json("show", "repair:night")["state"] == "previewed"
    shell.ok("cancel", "--machine", "repair", "--phase", "waiting")
    assert shell.json("show", "repair:night")["state"] == "cancelled"


def test_a_repair_that_is_done_is_not_told_as_if_it_ran(shell: Terminal, declined: None) -> None:
    shell.ok("repair", *FAILED, *GOOD, "--yes", "--id", "night")
    again = shell.run("repair", *FAILED, *GOOD, "--yes", "--id", "night")
    assert "repair:night was started before, and is in 'done': nothing is started again" in again.err
    assert again.out == "repair:night done\n    3 in all: 3 recovered\n"


def test_what_stands_beside_the_bar_leaves_it_room() -> None:
    counts: Any = dict.fromkeys(("failed_alike", "failed_otherwise", "refused", "moved", "taken_over", "pending"), 0)
    report = Report(
        address="repair:1", state="running", phase="working", members=4_000, under_way=9, recovered=3, **counts
    )
    assert progress_of(report) == "3 recovered"
    assert progress_of(replace(report, recovered=0)) == "4,000 seen"
    bar = Bar("running", total=4_000, shown=True)
    assert bar._progress is not None
    bar._progress.console.width = 80
    bar.tell("r" * BAR_ROOM)
    bar.advance(2_000)
    with bar._progress.console.capture() as drawn:
        bar._progress.console.print(bar._progress.get_renderable())
    (line,) = drawn.get().splitlines()
    assert "r" * BAR_ROOM in line
    assert line.count("━") == 10  # half of it


@contextmanager
def working(shop: Shop) -> Iterator[None]:
    """A worker of the shop."""
    command = [sys.executable, *CLI, "worker", "--processes", "1"]
    with subprocess.Popen(command, cwd=shop.folder, env=shop.environment, stdout=-3, stderr=-3) as worker:
        try:
            yield
        finally:
            worker.terminate()


def asked(shop: Shop, answer: bytes) -> tuple[int, str]:
    """A repair at a terminal, which asks; with the exit status, and what is told."""
    ours, theirs = pty.openpty()
    command = [sys.executable, *CLI, "repair", "--machine", "order", "--error", "Timeout*", "--id", "night"]
    started = subprocess.Popen(command, cwd=shop.folder, env=shop.environment, stdin=theirs, stdout=-1, stderr=-1)
    os.close(theirs)
    os.write(ours, answer)
    out, err = started.communicate(timeout=60)
    os.close(ours)
    return started.returncode, (out + err).decode()


def test_whoever_says_no_has_nothing_changed(busy: Shop) -> None:
    with working(busy):
        status, told = asked(busy, b"n\n")
    assert (status, "2 x failed_from_charging -> charging" in told) == (0, True)
    assert "repair:night is cancelled; nothing was changed" in told
    assert busy.states()["order:1"] == "failed_from_charging"


def test_whoever_says_yes_sees_it_end(busy: Shop) -> None:
    with working(busy):
        status, told = asked(busy, b"y\n")
    assert (status, "2 in all: 2 failed again alike" in told) == (1, True)


def test_a_repair_is_started_by_its_own_command_alone(shell: Terminal, box: Sandbox) -> None:
    assert "start one with 'fsmflow repair'" in shell.misused("start", "repair", "x")


def test_a_failure_group_is_repaired_by_enough_of_its_id(shell: Terminal, declined: None) -> None:
    (group,) = shell.json("failures")
    done = shell.run("repair", "--group", group["fingerprint"][:6], *GOOD, "--yes")
    assert (done.status, done.out.splitlines()[-1]) == (0, "    3 in all: 3 recovered")
    assert "there is no failure group" in shell.refused("repair", "--group", "0000", "--yes")
    assert "nothing" not in shell.ok("repair", "list")


def test_what_is_not_there_is_told_before_anything_is_begun(shell: Terminal, declined: None) -> None:
    assert "did you mean 'order'" in shell.refused("repair", "--machine", "orders", "--yes")
    assert "failed_from_charging" in shell.refused("repair", *FAILED[:2], "--state", "failed_from_chargings", "--yes")
    assert shell.json("repair", "list") == []
