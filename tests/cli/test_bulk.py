"""Actions on many: how they are selected, tried out, counted, refused and interrupted."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from typing import Any
from unittest.mock import patch

import pytest

from fsmflow import Machine, Retry, State
from fsmflow.cli import results
from fsmflow.cli.bar import Bar
from fsmflow.operations import members, repair
from fsmflow.operations.members import Members
from fsmflow.store.tables import ENTITY
from fsmflow.testing import Sandbox, sandbox
from tests.cli.orders import Order
from tests.cli.shop import CLI, Shop
from tests.support.interruptions import after_nth
from tests.support.terminal import Terminal


class Payout(Machine):
    """The bank is away for an hour."""

    initial = "new"
    states = ["new", State("paying", job="pay", retry=Retry(5, [3_600], jitter=0)), State("paid", final=True)]
    transitions = [["go", "new", "paying"], ["done", "paying", "paid"]]

    def pay(self) -> None:
        raise ConnectionError("the bank is away")


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(busy: Shop) -> None:
    before = busy.json("list")
    done = busy.run("retry", "--machine", "order", "--error", "Timeout*", "--dry-run")
    assert done.out.splitlines() == [
        "would retry order:1  failed_from_charging -> charging",
        "would retry order:2  failed_from_charging -> charging",
    ]
    assert "dry run: 2 would be retried, 0 refused" in done.err
    assert busy.json("list") == before


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("ValueError: card of order 3*", 1), ("timeout*", 0), ("TimeoutError", 2)],
)
def test_a_selection_by_error_is_a_case_sensitive_glob(busy: Shop, pattern: str, expected: int) -> None:
    assert len(busy.json("retry", "--error", pattern, "--dry-run")) == expected


def test_bulk_retry_takes_the_selection_and_nothing_else(busy: Shop) -> None:
    done = busy.run("retry", "--state", "failed_from_*", "--error", "Timeout*", "--limit", "1", "--actor", "ada")
    assert (done.status, done.out) == (0, "order:1  failed_from_charging -> charging\n")
    assert "1 retried, 0 refused" in done.err
    assert busy.states()["order:2"] == "failed_from_charging"
    assert busy.json("history", "order:1")[-1]["actor"] == "ada"


def test_what_could_not_be_retried_is_told_at_the_end_and_the_status_is_1(busy: Shop) -> None:
    done = busy.run("retry", "order:5", "order:1", "nosuch")
    assert (done.status, done.out) == (1, "order:1  failed_from_charging -> charging\n")
    refused, missing, total = done.err.splitlines()
    assert "order:5 is in 'pending': 'retry' was refused" in refused
    assert "nosuch does not exist" in missing
    assert total == "1 retried, 2 refused"


def test_bulk_results_as_json_tell_each_outcome(busy: Shop) -> None:
    done = busy.run("retry", "order:1", "order:5", "--json")
    retried, refused = json.loads(done.out)
    assert (retried["done"], retried["source"], retried["state"]) == (True, "failed_from_charging", "charging")
    assert (refused["address"], refused["done"]) == ("order:5", False)
    assert "was refused" in refused["error"]
    assert done.status == 1


def test_a_selection_by_age_leaves_out_what_is_younger(busy: Shop) -> None:
    assert busy.json("retry", "--older", "1d", "--dry-run") == []
    assert len(busy.json("retry", "--older", "0s", "--dry-run")) == 3
    assert "'soon' is no duration" in busy.misused("retry", "--older", "soon")


@pytest.mark.parametrize("command", ["retry", "cancel"])
def test_entities_have_to_be_named_or_selected_not_both(shop: Shop, command: str) -> None:
    assert "which entities?" in shop.misused(command)
    assert "not both" in shop.misused(command, "order:7", "--machine", "order")


def test_resume_of_a_selection_retries_what_has_failed(busy: Shop) -> None:
    planned = busy.json("resume", "--machine", "order", "--dry-run")
    assert [item["state"] for item in planned] == ["charging"] * 3
    busy.ok("resume", "--machine", "order")
    assert list(busy.states().values()).count("charging") == 3


def test_a_bar_is_drawn_where_standard_error_is_a_terminal_and_the_result_stays_clean(busy: Shop) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, *CLI, "retry", "--machine", "order", "--dry-run"]
    ended = subprocess.run(
        command, cwd=busy.folder, env=busy.environment, stdout=subprocess.PIPE, stderr=theirs, text=True, timeout=60
    )
    os.close(theirs)
    drawn = os.read(ours, 65_536).decode()
    os.close(ours)
    assert (ended.returncode, len(ended.stdout.splitlines())) == (0, 3)
    assert "\x1b" not in ended.stdout
    assert "3/3" in drawn
    assert "dry run: 3 would be retried" in drawn


def test_list_selects_by_everything(shell: Terminal, box: Sandbox, declined: None) -> None:
    def listed(*options: str) -> list[str]:
        return [item["entity_id"] for item in shell.json("list", *options)]

    assert listed("--newest") == ["4", "3", "2", "1"]
    assert listed("--newest", "--limit", "1") == ["4"]
    assert listed("--error", "ValueError: card of 2*") == ["2"]
    assert listed("--data", "customer.no:=3", "--phase", "failed") == ["3"]
    assert listed("--where", "customer.no=3") == []
    box.advance(hours=2)
    assert listed("--older", "2h") == ["1", "2", "3", "4"]
    assert listed("--older", "3h") == []
    assert "neither name=text nor name:=json nor name:type=text" in shell.misused("list", "--where", "customer")


def test_refusals_are_grouped_with_counts_and_an_example(shell: Terminal, declined: None) -> None:
    done = shell.run("rewind", "--state", "failed_from_*", "asking")
    assert (done.status, done.out) == (1, "")
    grouped, total, where = done.err.splitlines()
    assert grouped.startswith("Error: 3 were refused like this one: order:1 is in 'failed_from_charging'")
    assert total == "0 rewound, 3 refused"
    assert where.startswith("repair:")
    told = json.loads(shell.run("rewind", "--state", "failed_from_*", "asking", "--json").out)
    assert [result["done"] for result in told] == [False] * 3


def test_more_kinds_of_refusals_than_are_kept_are_counted(
    shell: Terminal, declined: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "_KINDS", 1)
    done = shell.run("skip", "order:4", "nosuch", "neither")
    assert "order:4 is in 'new'" in done.err
    assert "... and 2 more were refused, for other reasons" in done.err


def test_what_stands_in_a_state_that_the_code_lacks_is_shown_and_mended(
    shell: Terminal, box: Sandbox, declined: None
) -> None:
    box.database.execute_sql(f"UPDATE {ENTITY} SET state = 'review' WHERE state = 'failed_from_charging'")
    assert [item["state"] for item in shell.json("list", "--state", "review")] == ["review"] * 3
    assert shell.json("show", "order:1")["allowed"] == []
    assert "the definition has no state 'review'" in shell.json("explain", "order:1")["blocked_by"]
    assert "'review'" in shell.refused("retry", "order:1")
    done = shell.run("force", "--state", "review", "asking", "--reason", "review is called asking now")
    assert (done.status, done.out.splitlines()[0]) == (0, "order:1  review -> asking")
    assert "3 forced, 0 refused" in done.err


def test_an_adopted_entity_says_that_resume_starts_it_and_does(shell: Terminal, box: Sandbox) -> None:
    for number in (1, 2):
        Order.start(number, lines=[], state="charging")
    assert "'resume' to start the work" in shell.json("explain", "order:1")["waiting_for"]
    planned = shell.run("resume", "--machine", "order", "--dry-run")
    assert planned.out.splitlines() == [f"would resume order:{number}  charging, working" for number in (1, 2)]
    shell.ok("resume", "--machine", "order")
    assert shell.json("resume", "--machine", "shipment") == []
    box.run()
    assert Order.counts() == {"asking": 2}


@pytest.mark.parametrize("command", ["force", "rewind"])
def test_what_applies_anywhere_has_to_be_narrowed_by_state(shell: Terminal, command: str) -> None:
    assert "say with --state which ones are meant" in shell.misused(command, "--machine", "order", "new")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("retry",), "3 would be retried"),
        (("resume",), "3 would be resumed"),
        (("pause",), "4 would be paused"),
        (("cancel",), "4 would be cancelled"),
        (("skip",), "3 would be skipped"),
        (("undo",), "3 would be undone, 1 refused"),
        (("force", "--state", "*", "shipped"), "4 would be forced"),
        (("rewind", "--state", "failed_*", "new"), "3 would be rewound"),
    ],
)
def test_every_bulk_action_has_a_dry_run(shell: Terminal, declined: None, command: tuple[str, ...], told: str) -> None:
    before = shell.json("list")
    done = shell.run(command[0], "--machine", "order", *command[1:], "--dry-run")
    assert told in done.err
    assert shell.json("list") == before


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One is asked in a run of the job, so that much may happen between two."""
    monkeypatch.setattr(repair, "_SLICE_S", 0.0)


def id_of(told: str) -> str:
    """The id of the repair that a command tells of."""
    found = re.search(r"^repair:([\w-]+)", told, re.MULTILINE)
    assert found is not None, told
    return found[1]


def test_ctrl_c_stops_the_repair_and_it_goes_on_when_it_is_resumed(
    shell: Terminal, declined: None, one_by_one: None
) -> None:
    with after_nth(Members, "ask", 2, lambda: signal.raise_signal(signal.SIGINT)):
        done = shell.run("retry", "--machine", "order", "--json")
    assert done.status == 130
    assert [item["address"] for item in json.loads(done.out)] == ["order:1", "order:2"]
    total, stopped, *_ = done.err.splitlines()  # click ends the line that Ctrl-C was typed in
    assert total == "2 retried, 0 refused"
    id_ = id_of(done.err)
    assert stopped == (
        f"repair:{id_} is stopped: the command that began it was interrupted; to go on: fsmflow repair resume {id_}"
    )
    rest = shell.run("repair", "resume", id_)
    assert (rest.status, rest.out) == (0, "order:3  failed_from_charging -> charging\n")
    assert "1 retried, 0 refused" in rest.err


def test_a_second_ctrl_c_ends_what_runs_just_then(shell: Terminal, declined: None, one_by_one: None) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with after_nth(Members, "ask", 2, twice):
        done = shell.run("retry", "--machine", "order")
    assert (done.status, len(done.out.splitlines())) == (130, 1)
    assert shell.json("retry", "--machine", "order")[-1]["address"] == "order:3"
    retries = [sum(entry.trigger == "retry" for entry in Order.get(str(one)).history) for one in (1, 2, 3)]
    assert retries == [1, 1, 1]


def test_ctrl_c_before_anybody_is_asked_changes_nothing(
    shell: Terminal, declined: None, one_by_one: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "PAGE", 1)
    with after_nth(Members, "freeze", 1, lambda: signal.raise_signal(signal.SIGINT)):
        done = shell.run("retry", "--machine", "order")
    assert (done.status, done.out) == (130, "")
    assert f"repair:{id_of(done.err)} is cancelled; nothing was changed" in done.err
    assert Order.counts() == {"failed_from_charging": 3, "new": 1}


def test_what_can_be_told_no_more_stops_the_repair(shell: Terminal, declined: None, one_by_one: None) -> None:
    def gone(bar: Bar, text: str) -> None:
        raise OSError("no space left on device")

    with patch.object(Bar, "say", gone):
        assert shell.run("retry", "--machine", "order").status == 1
    (found,) = shell.json("repair", "list")
    assert (found["state"], found["under_way"], found["pending"]) == ("stopped", 1, 2)


def test_what_has_moved_on_since_it_was_selected_is_left_alone(shell: Terminal, declined: None) -> None:
    with after_nth(Members, "preview", 1, lambda: Order.get("2").retry()):
        done = shell.run("force", "--state", "failed_from_charging", "new")
    assert (done.status, len(done.out.splitlines())) == (0, 2)
    assert "1 had moved on since they were selected" in done.err
    assert Order.get("2").state == "charging"


def test_it_is_told_where_to_see_what_became_of_them(shell: Terminal, box: Sandbox, declined: None) -> None:
    done = shell.run("retry", "--machine", "order", "--set", "card=good", "--reason", "a new card")
    id_ = id_of(done.err)
    assert done.err.splitlines()[-1] == f"repair:{id_}: what became of them tells 'fsmflow repair show {id_}'"
    box.run()
    assert shell.ok("repair", "show", id_).splitlines()[-1] == "    3 in all: 3 recovered"
    assert [entry.key for entry in Order.get("1").history if entry.trigger == "retry"] == [f"repair:{id_}"]


def test_what_leads_to_no_step_is_over_without_a_worker(shell: Terminal, declined: None) -> None:
    for command in (("pause",), ("resume",), ("cancel",)):
        done = shell.run(*command, "--machine", "order", "--state", "new")
        assert (done.status, len(done.out.splitlines())) == (0, 1)
        assert shell.json("repair", "show", id_of(done.err))["state"] == "done"


def test_an_empty_selection_and_a_dry_run_leave_no_repair_behind(shell: Terminal, declined: None) -> None:
    done = shell.run("skip", "--machine", "order", "--state", "new")
    assert (done.status, done.out) == (0, "")
    assert "the selection has no entity that could be skipped" in done.err
    assert shell.json("skip", "--machine", "order", "--state", "new") == []
    shell.ok("retry", "--machine", "order", "--dry-run")
    assert shell.json("repair", "list") == []


def test_a_limit_holds_for_those_that_are_asked(shell: Terminal, declined: None) -> None:
    assert len(shell.json("retry", "--machine", "order", "--limit", "2")) == 2
    assert len(shell.json("retry", "--machine", "order", "--limit", "2")) == 1


def test_a_key_of_ones_own_is_that_of_each_entity(shell: Terminal, box: Sandbox, declined: None) -> None:
    shell.ok("retry", "--machine", "order", "--key", "mail-7")
    assert Order.get("1").history[-1].key == "mail-7"
    box.run()
    shell.ok("retry", "--machine", "order", "--key", "mail-7")
    assert Order.get("1").state == "failed_from_charging"


def test_a_selection_of_repairs_does_not_mean_the_one_that_acts(shell: Terminal, declined: None) -> None:
    shell.ok("repair", "--machine", "order", "--phase", "failed", "--dry-run", "--id", "night")
    assert [one["address"] for one in shell.json("cancel", "--machine", "repair")] == ["repair:night"]


def test_what_erased_ones_were_selected_by_is_not_kept(shell: Terminal, declined: None) -> None:
    selected = ("--machine", "order", "--state", "failed_from_charging", "--where", "card=bad")
    assert "'erase' cannot be taken back: say why" in shell.misused("erase", *selected, "--yes")
    done = shell.run("erase", *selected, "--where", "customer.no:=2", "--reason", "request 77", "--yes")
    assert (done.status, done.out) == (0, "order:2  failed_from_charging, as it was\n")
    plan = shell.json("repair", "show", id_of(done.err))["plan"]
    assert plan["selection"] == {"machine": "order", "states": ["failed_from_charging"]}
    assert "bad" not in shell.ok("history", f"repair:{id_of(done.err)}", "--json")
    assert Order.get("2").data == {}


def test_a_step_of_the_repair_itself_that_fails_is_told(shell: Terminal, declined: None) -> None:
    def broken(*args: Any) -> None:
        raise LookupError("no such page")

    with patch.object(Members, "next", broken):
        done = shell.run("retry", "--machine", "order")
    assert (done.status, done.out) == (1, "")
    assert "has failed itself: LookupError: no such page; to go on: fsmflow repair resume" in done.err


def test_a_bar_is_drawn_on_a_terminal_alone(shell: Terminal, declined: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in shell.run("pause", "--machine", "order").err
    monkeypatch.setattr("fsmflow.cli.selection.can_show", lambda as_json: True)
    done = shell.run("resume", "--machine", "order")
    assert (done.status, len(done.out.splitlines())) == (0, 4)


def test_a_retry_of_those_that_wait_names_the_pause_of_those_that_are_held(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = Terminal(capsys, monkeypatch)
    with sandbox(machines=[Payout]) as box:
        for number in range(2):
            Payout.start(number).trigger("go")
        box.run()
        Payout.get("1").pause()
        for options in ((), ("--dry-run",)):
            done = shell.run("retry", "payout:0", "payout:1", *options)
            assert done.status == 1
            assert "payout:1 is in 'paying': 'retry' was refused: a pause holds its job; 'resume' first" in done.err
        assert Payout.get("0").history[-1].kind == "hurried"
        done = shell.run("retry", "--waiting")
        assert (done.status, done.out) == (0, "")
        assert "payout:1 and maybe others would wait too, but a pause holds them: 'resume' first" in done.err
        assert "a pause holds" not in shell.run("retry", "--waiting", "--machine", "payout", "--where", "no=1").err
