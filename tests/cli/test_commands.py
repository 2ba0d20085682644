"""The command line as a user meets it: each test runs ``python -m fsmflow.cli`` in a folder with its own machines."""

from __future__ import annotations

import inspect
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest

from fsmflow.cli.main import COMMANDS
from tests.support.paths import ROOT

CLI = ("-m", "fsmflow.cli")
RETRY = (str(ROOT / "scripts" / "retry.py"),)
NOWHERE = {
    "postgres": "postgresql://ada:sesame@127.0.0.1:1/shop",
    "mysql": "mysql://ada:sesame@127.0.0.1:1/shop",
    "redis": "redis://ada:sesame@127.0.0.1:1/0",
}

MACHINES = '''
from fsmflow import Machine, State

class Order(Machine):
    """Charge; large orders are reviewed."""

    initial = "pending"
    states = [
        "pending",
        State("charging", job="charge"),
        State("review", timeout=86_400),
        State("shipped", final=True),
    ]
    transitions = [
        ["submit", "pending", "charging", "has_amount"],
        ["rate", "pending", None],
        ["done", "charging", "review", "is_large"],
        ["done", "charging", "shipped"],
        {"trigger": "approve", "source": "review", "dest": "shipped", "roles": ["manager"]},
        ["timeout", "review", "shipped"],
        ["price", "pending", "=", "is_cheap"],
    ]

    def has_amount(self):
        return "amount" in self.data

    def is_large(self):
        return self.data["amount"] > 1000

    def is_cheap(self):
        return self.data["price"] < 10

    def charge(self):
        error = self.data.get("error")
        if error == "slow":
            raise TimeoutError("the gateway is slow")
        if error == "card":
            raise ValueError(f"card of order {self.entity_id} was declined")
        return {"charged": True}

class Refund(Machine):
    initial = "asked"
    states = ["asked", State("paid", final=True)]
    transitions = [["pay", "asked", "paid"]]
'''

PING = """
from fsmflow import Machine, State

class Ping(Machine):
    initial = "on"
    states = [State("on", timeout=5), State("off", final=True)]
    transitions = [["timeout", "on", "off"]]
"""


@dataclass
class Shop:
    """A folder with ``machines.py``, and the command line in it."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, program: tuple[str, ...] = CLI, text: str | None = None) -> Done:
        command = [sys.executable, *program, *arguments]
        ended = subprocess.run(
            command, cwd=self.folder, env=self.environment, input=text, capture_output=True, text=True, timeout=60
        )
        return Done(ended.returncode, ended.stdout, ended.stderr)

    @property
    def environment(self) -> dict[str, str]:
        own = {"PYTHONPATH": str(ROOT), "FSMFLOW_HOME": str(self.folder / "home")}
        return {**os.environ, **own, **self.variables}

    def ok(self, *arguments: str, text: str | None = None) -> str:
        """What it prints; it does as asked."""
        done = self.run(*arguments, text=text)
        assert done.status == 0, done
        return done.out

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "--json"))

    def refused(self, *arguments: str) -> str:
        """The error; it is told in one line, and the exit status is 1."""
        done = self.run(*arguments)
        assert (done.status, done.err.count("\n")) == (1, 1), done
        assert done.err.startswith("Error: ")
        return done.err

    def misused(self, *arguments: str) -> str:
        """What it says; the exit status is 2."""
        done = self.run(*arguments)
        assert (done.status, done.out) == (2, ""), done
        assert "Traceback" not in done.err
        return done.err

    def states(self) -> dict[str, str]:
        return {found["address"]: found["state"] for found in self.json("list")}


@dataclass
class Done:
    status: int
    out: str
    err: str


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop without any order."""
    (tmp_path / "machines.py").write_text(MACHINES)
    return Shop(tmp_path)


@pytest.fixture(scope="module")
def busy_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a shop whose worker has run: 1 and 2 were too slow, 3 declined, 4 is in review, 5 was not sent."""
    busy = Shop(tmp_path_factory.mktemp("busy"))
    (busy.folder / "machines.py").write_text(MACHINES)
    for number, error in (("1", "slow"), ("2", "slow"), ("3", "card"), ("4", ""), ("5", "")):
        busy.ok("start", "order", number, "amount:=1500", f"error={error}")
        if number != "5":
            busy.ok("trigger", f"order:{number}", "submit")
    busy.ok("worker", "--burst", "--processes", "1")
    return busy.folder


@pytest.fixture
def busy(busy_day: Path, tmp_path: Path) -> Shop:
    """A copy of the busy shop that a test may change."""
    shutil.copytree(busy_day, tmp_path / "shop", ignore=shutil.ignore_patterns("valkey*", "*.lock"))
    return Shop(tmp_path / "shop")


# Starting and triggering


def test_init_says_where_the_tables_are_and_whether_redis_answers(shop: Shop) -> None:
    assert shop.ok("init").splitlines() == [
        f"the tables of fsmflow are ready in sqlite:///{shop.folder}/home/fsmflow.db",
        "Redis answers (the embedded server)",
    ]
    assert shop.json("init")["redis"]["answers"] is True


def test_start_takes_text_json_and_a_file_and_single_fields_win(shop: Shop) -> None:
    (shop.folder / "order.json").write_text('{"amount": 1, "lines": [1, 2], "url": "a"}')
    started = shop.json("start", "order", "7", "--data", "@order.json", "amount:=5", "note=a=b", "url=http://x/?a:=1")
    assert started["data"] == {"amount": 5, "lines": [1, 2], "note": "a=b", "url": "http://x/?a:=1"}
    assert (started["address"], started["state"], started["epoch"]) == ("order:7", "pending", 1)


def test_start_takes_data_from_standard_input(shop: Shop) -> None:
    assert shop.ok("start", "order", "7", "--data", "@-", text='{"amount": 2}') == "order:7  pending\n"
    assert shop.json("show", "7")["data"] == {"amount": 2}


def test_start_refuses_an_entity_that_exists_unless_told_to_take_it(shop: Shop) -> None:
    shop.ok("start", "order", "7", "--key", "mail-1")
    assert "order:7 exists already, in 'pending'" in shop.refused("start", "order", "7")
    assert shop.ok("start", "order", "7", "--if-exists", "return") == "order:7  pending\n"
    assert shop.ok("start", "order", "7", "--key", "mail-1") == "order:7  pending\n"


def test_start_of_an_unknown_machine_is_refused_with_a_suggestion(shop: Shop) -> None:
    assert "no machine 'ordre'; did you mean 'order'?" in shop.refused("start", "ordre", "7")


@pytest.mark.parametrize(
    ("entity_id", "why"), [("", "empty"), ("a" * 201, "201 characters"), ("a\tb", "control"), ("a/b", "has a '/'")]
)
def test_ids_that_cannot_be_stored_are_refused(shop: Shop, entity_id: str, why: str) -> None:
    assert why in shop.refused("start", "order", entity_id)
    assert why in shop.refused("show", f"order:{entity_id}")


def test_data_over_256_kilobytes_is_refused(shop: Shop) -> None:
    (shop.folder / "big.json").write_text(json.dumps({"text": "x" * 262_144}))
    assert "262,144 are allowed" in shop.refused("start", "order", "7", "--data", "@big.json")
    assert shop.json("list") == []


@pytest.mark.parametrize(
    "wrong",
    [
        ("amount",),
        ("=5",),
        ("amount:={",),
        ("--data", "{"),
        ("--data", "[1]"),
        ("--data", "@nofile"),
        ("--role", "manager"),
    ],
)
def test_malformed_data_is_wrong_usage_and_is_named(shop: Shop, wrong: tuple[str, ...]) -> None:
    assert wrong[-1].removeprefix("@") in shop.misused("start", "order", "7", *wrong) or wrong[-1] in ("{", "manager")


def test_trigger_moves_an_entity_and_prints_the_entry(shop: Shop) -> None:
    shop.ok("start", "refund", "r1")
    moved = shop.json("trigger", "refund:r1", "pay", "amount:=3", "--actor", "ada", "--reason", "called")
    assert (moved["address"], moved["state"], moved["phase"], moved["epoch"]) == ("refund:r1", "paid", "finished", 2)
    entry = moved["entry"]
    assert (entry["kind"], entry["source"], entry["dest"], entry["seq"]) == ("transition", "asked", "paid", 2)
    assert (entry["actor"], entry["reason"], entry["payload"]) == ("ada", "called", {"amount": 3})


def test_trigger_of_an_internal_transition_says_that_the_state_stays(shop: Shop) -> None:
    shop.ok("start", "order", "7")
    assert shop.ok("trigger", "order:7", "rate", "stars:=5") == "order:7  pending, internal\n"


def test_a_repeated_key_changes_nothing_again(shop: Shop) -> None:
    shop.ok("start", "order", "7")
    first = shop.json("trigger", "order:7", "rate", "--key", "mail-1")
    assert shop.json("trigger", "order:7", "rate", "--key", "mail-1") == first
    assert len(shop.json("history", "order:7")) == 2


def test_a_refusal_names_the_guard_and_what_is_allowed(shop: Shop) -> None:
    shop.ok("start", "order", "7")
    told = shop.refused("trigger", "order:7", "submit")
    assert "guard 'has_amount' is false" in told
    assert "Allowed now: rate" in told


def test_an_unknown_trigger_is_refused_with_a_suggestion(shop: Shop) -> None:
    shop.ok("start", "order", "7")
    assert "has no trigger 'sumbit'; did you mean 'submit'?" in shop.refused("trigger", "order:7", "sumbit")


def test_a_guard_that_raises_is_told_in_one_line_with_its_place(shop: Shop) -> None:
    shop.ok("start", "order", "7")
    told = shop.refused("trigger", "order:7", "price")
    assert "KeyError: 'price' (raised in is_cheap, " in told


def test_a_payload_cannot_have_the_names_that_trigger_takes(shop: Shop) -> None:
    assert "a field 'reason'" in shop.misused("trigger", "order:7", "submit", "reason=x")


def test_roles_are_given_with_actor_and_role(busy: Shop) -> None:
    assert "needs an actor with one of the roles manager" in busy.refused("trigger", "order:4", "approve")
    assert "'bob' has none" in busy.refused("trigger", "order:4", "approve", "--actor", "bob", "--role", "clerk")
    moved = busy.ok("trigger", "order:4", "approve", "--actor", "bob", "--role", "clerk", "--role", "manager")
    assert moved == "order:4  review -> shipped\n"


# Looking


def test_list_shows_states_and_failures_as_aligned_text(busy: Shop) -> None:
    lines = busy.ok("list").splitlines()
    assert lines[0].split("  ")[0] == "ADDRESS"
    assert len(lines) == 6
    assert "failed_from_charging" in lines[1]
    assert lines[1].endswith("TimeoutError: the gateway is slow")
    assert "\t" not in busy.ok("list")


def test_list_as_json_is_an_array_of_entities_without_their_data(busy: Shop) -> None:
    found = busy.json("list", "--machine", "order", "--state", "failed_*", "--state", "review")
    assert [item["address"] for item in found] == ["order:1", "order:2", "order:3", "order:4"]
    first = found[0]
    assert (first["state"], first["phase"], first["paused"]) == ("failed_from_charging", "failed", False)
    assert first["failure"]["error_type"] == "TimeoutError"
    assert first["since"].endswith("Z")
    assert "data" not in first


def test_list_filters_by_phase_and_says_when_there_is_more(busy: Shop) -> None:
    assert len(busy.json("list", "--phase", "waiting")) == 2
    done = busy.run("list", "--limit", "2", "--json")
    assert len(json.loads(done.out)) == 2
    assert "there are more" in done.err
    assert len(busy.json("list", "--limit", "0")) == 5


def test_list_refuses_unknown_machines_states_and_phases(shop: Shop) -> None:
    assert "no machine 'nosuch'" in shop.refused("list", "--machine", "nosuch")
    assert "no machine has a state 'pendin'; did you mean 'pending'?" in shop.refused("list", "--state", "pendin")
    assert "machine 'order' has no state 'paid'" in shop.refused("list", "--machine", "order", "--state", "paid")
    assert "'nosuch' is not one of" in shop.misused("list", "--phase", "nosuch")


def test_entities_of_a_machine_that_the_code_lacks_are_still_seen(shop: Shop) -> None:
    shop.ok("start", "refund", "r1")
    (shop.folder / "machines.py").write_text(MACHINES.replace("class Refund", "class Payback"))
    assert shop.states() == {"refund:r1": "asked"}
    assert shop.json("list", "--machine", "refund")[0]["machine"] == "refund"
    assert shop.json("show", "r1")["allowed"] == []
    assert "no machine 'refund'" in shop.refused("cancel", "refund:r1")


def test_show_prints_what_is_known_of_an_entity(busy: Shop) -> None:
    text = busy.ok("show", "order:1")
    assert "failed_from_charging (failed)" in text
    assert "TimeoutError: the gateway is slow" in text
    assert "Traceback" not in text
    assert "Traceback" in busy.ok("show", "order:1", "--traceback")
    assert "timer, next at " in busy.ok("show", "order:4")


def test_show_as_json_is_one_object(busy: Shop) -> None:
    found = busy.json("show", "1")
    assert {"address", "state", "phase", "epoch", "data", "failure", "paused", "work", "allowed"} <= found.keys()
    assert (found["address"], found["epoch"], found["work"]) == ("order:1", 3, None)
    assert found["data"] == {"amount": 1500, "error": "slow"}
    assert (found["failure"]["attempts"], found["failure"]["state"]) == (1, "charging")
    assert found["failure"]["traceback"].startswith("Traceback")
    assert found["allowed"] == ["retry", "cancel"]


def test_a_bare_id_is_enough_where_only_one_machine_has_it(shop: Shop) -> None:
    shop.ok("start", "order", "7")
    assert shop.json("show", "7")["address"] == "order:7"
    shop.ok("start", "refund", "7")
    assert "the id '7' is that of 2 entities: order:7, refund:7" in shop.refused("show", "7")
    assert "8 does not exist" in shop.refused("show", "8")
    assert "order:8 does not exist" in shop.refused("show", "order:8")
    assert "no machine 'nosuch'" in shop.refused("show", "nosuch:8")


def test_explain_says_what_an_entity_waits_for(busy: Shop) -> None:
    assert "waiting for: somebody to retry it" in busy.ok("explain", "order:1")
    explained = busy.json("explain", "order:4")
    assert (explained["state"], explained["allowed"]) == ("review", ["cancel"])
    assert explained["next_at"] > explained["since"]


def test_history_lists_all_entries_or_the_last_ones(busy: Shop) -> None:
    entries = busy.json("history", "order:1")
    assert [(entry["seq"], entry["trigger"]) for entry in entries] == [(1, None), (2, "submit"), (3, "fail")]
    assert entries[2]["failure"]["error_type"] == "TimeoutError"
    done = busy.run("history", "order:1", "--limit", "1")
    assert len(done.out.splitlines()) == 2
    assert "charging -> failed_from_charging" in done.out
    assert "2 earlier entries are not shown" in done.err


def test_failures_are_grouped_and_say_what_to_type(busy: Shop) -> None:
    slow, declined = busy.json("failures", "--machine", "order")
    assert (slow["count"], slow["state"], slow["error_type"]) == (2, "failed_from_charging", "TimeoutError")
    assert (declined["count"], declined["example"]) == (1, "order:3")
    assert slow["retry"] in busy.ok("failures")
    assert slow["retry"].startswith("fsmflow retry --machine order --state failed_from_charging --error ")
    assert "no machine 'nosuch'" in busy.refused("failures", "--machine", "nosuch")


def test_stats_counts_entities_and_work(busy: Shop) -> None:
    found = busy.json("stats")
    assert found["counts"] == {"order": {"failed_from_charging": 3, "pending": 1, "review": 1}}
    assert found["entities"] == 5
    assert found["queues"] == [{"name": "default", "listening": False}]
    assert (found["redis"]["answers"], found["due"], found["active"]) == (True, 0, 0)
    assert "queue default: no worker listens" in busy.ok("stats")


def test_stats_names_the_queues_of_all_machines_in_their_order(shop: Shop) -> None:
    slow = MACHINES.replace('job="charge"', 'job="charge", queue="slow"')
    second = PING.replace("timeout=5", "job=lambda ping: None, queue=lambda ping: 'eu'")
    (shop.folder / "machines.py").write_text(slow + second.replace('["timeout"', '["done"'))
    assert [queue["name"] for queue in shop.json("stats")["queues"]] == ["slow", "default"]


def test_check_notes_what_is_worth_a_look_and_is_content(shop: Shop) -> None:
    lines = shop.ok("check").splitlines()
    assert "machine order: no worker listens on queue 'default' now" in lines
    assert any(line.startswith("machine order: job 'charge' in state 'charging' has no retry") for line in lines)
    found = shop.json("check")["machines"]
    assert [item["machine"] for item in found] == ["order", "refund"]


def test_check_of_a_machine_that_needs_nothing_says_so(shop: Shop) -> None:
    (shop.folder / "machines.py").write_text(PING)
    assert shop.ok("check") == "machine ping: nothing to note\n"


def test_check_reports_every_fault_of_a_definition(shop: Shop) -> None:
    broken = MACHINES.replace('"done", "charging", "shipped"', '"done", "charging", "shiped"')
    (shop.folder / "machines.py").write_text(broken.replace('job="charge"', 'job="chrge"'))
    done = shop.run("check")
    assert done.status == 1
    assert "did you mean 'shipped'?" in done.err
    assert "did you mean 'charge'?" in done.err
    assert "Traceback" not in done.err


# Acting on many


def test_retry_re_enters_the_failed_step_and_the_worker_finishes_it(busy: Shop) -> None:
    before = busy.json("show", "order:1")["epoch"]
    assert busy.ok("retry", "1", "--set", "error=", "--set", "amount:=5") == (
        "order:1  failed_from_charging -> charging\n"
    )
    busy.ok("worker", "--burst", "--processes", "1", "--log-level", "error")
    after = busy.json("show", "order:1")
    assert (after["state"], after["epoch"], after["data"]["charged"]) == ("shipped", before + 2, True)


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


def test_a_retry_with_a_key_is_done_once(busy: Shop) -> None:
    busy.ok("retry", "order:1", "--key", "once")
    busy.ok("retry", "order:1", "--key", "once")
    assert [entry["key"] for entry in busy.json("history", "order:1")[3:]] == ["once"]


def test_a_selection_by_age_leaves_out_what_is_younger(busy: Shop) -> None:
    assert busy.json("retry", "--older", "1d", "--dry-run") == []
    assert len(busy.json("retry", "--older", "0s", "--dry-run")) == 3
    assert "'soon' is no duration" in busy.misused("retry", "--older", "soon")


@pytest.mark.parametrize("command", ["retry", "cancel"])
def test_entities_have_to_be_named_or_selected_not_both(shop: Shop, command: str) -> None:
    assert "which entities?" in shop.misused(command)
    assert "not both" in shop.misused(command, "order:7", "--machine", "order")


def test_pause_and_resume_hold_and_let_go(busy: Shop) -> None:
    assert busy.ok("pause", "order:4", "--reason", "a call") == "order:4  review, paused\n"
    assert busy.json("show", "order:4")["work"]["held"] is True
    assert busy.ok("pause", "order:4") == "order:4  review, as it was\n"
    assert busy.ok("resume", "order:4") == "order:4  review, no longer paused\n"
    assert [entry["kind"] for entry in busy.json("history", "order:4")[-2:]] == ["paused", "resumed"]


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


def test_many_are_started_from_a_pipe_and_json_lines(shop: Shop) -> None:
    lines = '{"id": "a", "amount": 1}\n{"id": "b"}\n'
    assert shop.ok("start", "order", "--from", "-", text=lines) == "2 started\n"
    assert (
        shop.ok("start", "order", "--from", "-", "--if-exists", "return", text=lines) == "0 started, 2 there already\n"
    )
    assert shop.states() == {"order:a": "pending", "order:b": "pending"}


def test_cancel_ends_what_has_not_finished(busy: Shop) -> None:
    busy.ok("cancel", "--machine", "order", "--phase", "failed", "--reason", "given up")
    assert list(busy.states().values()).count("cancelled") == 3
    assert "'cancel' was refused" in busy.refused("cancel", "order:1")
    assert busy.json("cancel", "--state", "cancelled") == []


def test_the_script_does_what_the_command_does(busy: Shop) -> None:
    assert busy.run("--help", program=RETRY).status == 0
    assert busy.run(program=RETRY).status == 2
    assert busy.run("order:5", program=RETRY).status == 1
    done = busy.run("--machine", "order", "--error", "Timeout*", "--dry-run", program=RETRY)
    assert (done.status, len(done.out.splitlines())) == (0, 2)
    assert busy.run("1", program=RETRY).out == "order:1  failed_from_charging -> charging\n"


def test_the_script_without_packages_says_what_to_do(shop: Shop) -> None:
    (shop.folder / "scripts").mkdir()
    script = shutil.copy(RETRY[0], shop.folder / "scripts")
    (shop.folder / "fsmflow").mkdir()
    (shop.folder / "fsmflow" / "__init__.py").write_text("import a_package_that_is_missing")
    done = shop.run("order:1", program=(script,))
    assert done.status == 1
    assert "No module named 'a_package_that_is_missing'" in done.err
    assert (done.err.count("\n"), "-m venv" in done.err) == (1, True)


# Running, and what can go wrong around it


def test_reconcile_looks_after_what_is_due(shop: Shop) -> None:
    (shop.folder / "machines.py").write_text(PING.replace("timeout=5", "timeout=0"))
    shop.ok("start", "ping", "7")
    assert shop.ok("reconcile") == "looked after 1 due row\n"
    assert shop.states() == {"ping:7": "off"}
    assert shop.json("reconcile")["rows"] == 0


def test_a_worker_without_machines_says_where_it_looked(shop: Shop) -> None:
    (shop.folder / "machines.py").write_text("")
    assert "FSMFLOW_MACHINES" in shop.refused("worker")
    assert "FSMFLOW_MACHINES" in shop.refused("check")


def test_a_worker_refuses_wrong_options(shop: Shop) -> None:
    shop.misused("worker", "--processes", "0")
    assert "'a,,b'" in shop.misused("worker", "--queues", "a,,b")


def test_a_worker_finishes_and_ends_well_on_ctrl_c(shop: Shop) -> None:
    command = [sys.executable, *CLI, "worker", "--processes", "1"]
    with subprocess.Popen(
        command, cwd=shop.folder, env=shop.environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as worker:
        assert worker.stderr is not None
        seen = next(line for line in worker.stderr if "worker.started" in line)
        worker.send_signal(signal.SIGINT)
        rest = worker.stderr.read()
    assert worker.returncode == 0, seen + rest
    assert "Traceback" not in rest


def test_ctrl_c_ends_quietly_with_130(shop: Shop) -> None:
    pipe = shop.folder / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, *CLI, "start", "order", "7", "--data", "@pipe"]
    with subprocess.Popen(command, cwd=shop.folder, env=shop.environment, stderr=subprocess.PIPE, text=True) as started:
        with pipe.open("w"):  # opens once the command reads from it
            started.send_signal(signal.SIGINT)
            started.wait(30)
        assert started.stderr is not None
        assert (started.returncode, started.stderr.read().strip()) == (130, "")


@pytest.mark.parametrize("arguments", [("list", "--json"), ("draw", "order")])
def test_a_reader_that_goes_away_is_no_error(busy: Shop, arguments: tuple[str, ...]) -> None:
    with subprocess.Popen(
        [sys.executable, *CLI, *arguments],
        cwd=busy.folder,
        env=busy.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.close()
        assert listing.stderr.read() == ""


@pytest.mark.parametrize(
    ("kind", "command"), [("postgres", "list"), ("postgres", "worker"), ("mysql", "init"), ("mysql", "retry order:1")]
)
def test_a_database_that_does_not_answer_is_told_in_one_line(shop: Shop, kind: str, command: str) -> None:
    shop.variables["FSMFLOW_DATABASE_URL"] = NOWHERE[kind]
    told = shop.refused(*command.split())
    assert "127.0.0.1" in told
    assert "sesame" not in told


@pytest.mark.parametrize("url", ["oracle://x/y", "sqlite:////nosuch/folder/x.db"])
def test_a_database_url_that_cannot_be_used_is_told_in_one_line(shop: Shop, url: str) -> None:
    shop.variables["FSMFLOW_DATABASE_URL"] = url
    shop.refused("list")


def test_tables_that_are_missing_are_made_by_init(shop: Shop) -> None:
    shop.variables["FSMFLOW_DATABASE_URL"] = f"sqlite:///{shop.folder}/shop.db?timeout=3"
    assert "run 'fsmflow init' once" in shop.refused("list")
    assert f"sqlite:///{shop.folder}/shop.db\n" in shop.ok("init")
    assert shop.json("list") == []


def test_without_redis_all_but_jobs_goes_on(busy: Shop) -> None:
    busy.variables["FSMFLOW_REDIS_URL"] = NOWHERE["redis"]
    told = busy.ok("init")
    assert "Redis does not answer (redis://ada:***@127.0.0.1:1/0)" in told
    assert "sesame" not in told
    assert busy.ok("retry", "order:1") == "order:1  failed_from_charging -> charging\n"
    assert busy.json("stats")["redis"]["answers"] is False
    assert busy.json("check")["skipped"].startswith("whether workers listen was not checked")
    assert "Redis does not answer" in busy.refused("reconcile")
    assert "Redis does not answer" in busy.refused("worker", "--burst")


def test_a_redis_url_that_cannot_be_used_is_told_in_one_line(shop: Shop) -> None:
    shop.variables["FSMFLOW_REDIS_URL"] = "http://127.0.0.1:1/0"
    assert "the Redis URL cannot be used" in shop.refused("worker")


def test_a_home_that_cannot_be_made_is_told_in_one_line(shop: Shop) -> None:
    (shop.folder / "file").write_text("")
    shop.variables["FSMFLOW_HOME"] = str(shop.folder / "file" / "home")
    for command in ("init", "list", "worker"):
        assert "FSMFLOW_HOME" in shop.refused(command)


def test_a_machines_module_that_cannot_be_imported_is_told_in_one_line(shop: Shop) -> None:
    (shop.folder / "machines.py").write_text("import a_package_that_is_missing")
    assert "a_package_that_is_missing" in shop.refused("check")
    (shop.folder / "machines.py").write_text("class Order(:\n")
    assert "SyntaxError" in shop.refused("worker")


def test_the_current_folder_is_searched_for_machines_first(shop: Shop) -> None:
    done = shop.run("check", "--json", program=("-P", *CLI))
    assert [item["machine"] for item in json.loads(done.out)["machines"]] == ["order", "refund"]


def test_output_that_the_terminal_cannot_encode_is_escaped(shop: Shop) -> None:
    shop.ok("start", "order", "Ω", "name=Zoë Ω")
    shop.variables["PYTHONIOENCODING"] = "latin-1"
    assert shop.ok("list").splitlines()[1].startswith("order:\\u03a9 ")
    assert shop.json("show", "Ω")["data"] == {"name": "Zoë Ω"}


def test_arguments_that_are_no_utf_8_are_refused(shop: Shop) -> None:
    shop.refused("start", "order", "\udcff")
    shop.refused("start", "order", "7", "name=\udcff")
    shop.refused("show", "order:\udcff")
    shop.refused("list", "--machine", "\udcff")


def test_version_help_and_unknown_commands() -> None:
    shop = Shop(ROOT)
    assert shop.ok("--version").startswith("fsmflow, version ")
    assert "No such command 'jump'" in shop.misused("jump", "order:1")
    assert "Exit status: 0 done, 1 refused or failed, 2 wrong usage." in shop.ok("--help")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_every_command_has_a_help_text_with_an_example(command: click.Command) -> None:
    assert f"\b\n  fsmflow {command.name}" in inspect.cleandoc(command.help or "")
