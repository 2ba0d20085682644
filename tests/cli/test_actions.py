"""What operators do from the command line, and what it shows of fan-outs, undo, messages and kept events.

In this process and in a sandbox; that the command is a program of its own is shown by test_cli.py.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fsmflow import Machine, Retry, State
from fsmflow.cli import bulk
from fsmflow.engine.registry import Registry
from fsmflow.store.tables import ENTITY
from fsmflow.testing import Sandbox, sandbox
from tests.support.terminal import Terminal

failing: set[Any] = set()


class Order(Machine):
    """Packs line by line, has somebody asked, and ships by a machine of its own."""

    initial = "new"
    states = [
        State("new", defer=["approve"]),
        State("charging", job="charge", undo="refund"),
        State("packing", job="pack", each="lines", undo="unpack"),
        State("asking", job="ask", wait=True, timeout=3_600),
        State("shipping", machine="shipment", each="lines", limit=1),
        State("shipped", final=True),
    ]
    transitions = [
        ["go", "new", "charging"],
        ["done", "charging", "packing"],
        ["done", "packing", "asking"],
        ["approve", "asking", "shipping"],
        ["timeout", "asking", "shipped"],
        ["done", "shipping", "shipped"],
    ]

    def charge(self) -> dict[str, Any]:
        if self.data.get("card") == "bad":
            raise ValueError(f"card of {self.entity_id} was declined")
        return {"charged": True}

    def refund(self) -> None: ...

    def pack(self, item: Any) -> Any:
        if item in failing:
            raise ValueError(f"no box for {item}")
        return {"box": item}

    def unpack(self) -> None: ...

    def ask(self) -> None:
        self.send("remind", after=600)
        self.send("answer", to="order:nobody")


class Shipment(Machine):
    initial = "sending"
    states = [State("sending", job="send_it", retry=Retry(max=1, interval=60, jitter=0)), State("arrived", final=True)]
    transitions = [["done", "sending", "arrived"]]

    def send_it(self) -> None:
        if "lost" in failing:
            raise ConnectionError("no lorry")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    failing.clear()


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(machines=[Order, Shipment]) as box:
        yield box


@pytest.fixture
def shell(box: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch)


@pytest.fixture
def packing(box: Sandbox) -> Order:
    """An order of which 2 of 10 branches have failed."""
    failing.update({2, 5})
    order = Order.start("1", lines=list(range(10)))
    order.go()
    box.run()
    assert order.refresh().state == "failed_from_packing"
    return order


# Fan-outs


def test_show_tells_of_branches_and_of_what_could_be_undone(shell: Terminal, packing: Order) -> None:
    text = shell.ok("show", "order:1")
    assert "branches  8 of 10 done, 2 failed, 0 running" in text
    assert "failed    order:1/packing/2 in failed_from_packing: ValueError: no box for 2" in text
    assert "undoable  packing, charging" in text
    found = shell.json("show", "1")
    assert found["progress"] == {"done": 8, "failed": 2, "running": 0, "total": 10}
    assert [branch["address"] for branch in found["failed_branches"]] == ["order:1/packing/2", "order:1/packing/5"]
    assert found["undoable"] == ["packing", "charging"]
    assert found["allowed"] == ["retry", "cancel", "undo"]


def test_branches_are_shown_under_their_address_or_their_id(shell: Terminal, packing: Order) -> None:
    found = shell.json("show", "order:1/packing/2")
    assert (found["state"], found["parent"], found["item"]) == ("failed_from_packing", "order:1", 2)
    assert found["allowed"] == ["retry", "cancel"]
    assert shell.json("show", "1/packing/3")["result"] == {"box": 3}
    assert "parent    order:1  failed_from_packing" in shell.ok("show", "order:1/packing/2")
    assert [entry["trigger"] for entry in shell.json("history", "order:1/packing/2")] == [None, "fail"]
    explained = shell.json("explain", "order:1/packing/2")
    assert explained["waiting_for"] == "somebody to retry it (or order:1), once the cause is mended"
    assert "order:1/packing/99 does not exist" in shell.refused("show", "order:1/packing/99")
    assert "has a '/'" in shell.refused("show", "order:1/packing")


def test_a_retry_of_a_branch_runs_that_branch_alone(shell: Terminal, box: Sandbox, packing: Order) -> None:
    failing.clear()
    assert shell.ok("retry", "order:1/packing/2") == "order:1/packing/2  failed_from_packing -> packing\n"
    box.run()
    assert packing.refresh().state == "failed_from_packing"
    assert str(packing.progress) == "9 of 10 done, 1 failed, 0 running"
    assert shell.ok("skip", "order:1/packing/5", "--reason", "by hand") == (
        "order:1/packing/5  failed_from_packing -> done\n"
    )
    box.run()
    assert packing.refresh().state == "asking"


def test_children_have_addresses_and_are_selected_with_branches(shell: Terminal, box: Sandbox) -> None:
    failing.add("lost")
    Order.start("1", {"lines": ["a", "b"]}, state="asking").approve()
    box.run()
    box.advance(minutes=3)
    child = "shipment:order:1/shipping/0"
    assert shell.json("show", child)["parent"] == "order:1"
    assert shell.json("show", child.removeprefix("shipment:"))["address"] == child
    assert [item["address"] for item in shell.json("list", "--branches")] == [
        "order:1",
        child,
        "shipment:order:1/shipping/1",
    ]
    assert shell.json("list", "--machine", "shipment") == []
    failing.clear()
    done = shell.json("retry", "--machine", "shipment", "--branches", "--error", "Conn*")
    assert [item["state"] for item in done] == ["sending"] * 2
    box.run()
    assert Order.get("1").state == "shipped"


def test_a_branch_that_waits_for_its_turn_says_so(shell: Terminal, box: Sandbox) -> None:
    failing.add("lost")
    Order.start("1", {"lines": ["a", "b"]}, state="asking").approve()
    told = shell.json("explain", "order:1")
    assert told["waiting_for"] == "a worker to make its branches from queue 'default'"
    box.run()
    told = shell.json("explain", "order:1")
    children = "shipment:order:1/shipping/0, shipment:order:1/shipping/1"
    assert told["waiting_for"] == f"2 of 2 branches: {children}"
    assert (told["blocked_by"], told["next_at"]) == (None, None)
    assert "work      waiting for its branches" in shell.ok("show", "order:1")
    queued = shell.json("explain", "shipment:order:1/shipping/1")
    assert queued["waiting_for"] == "its turn, as order:1 runs only so many branches at once"
    box.advance(minutes=1)
    told = shell.json("explain", "order:1")
    assert told["waiting_for"] == "1 of 2 branches: shipment:order:1/shipping/1"
    assert told["blocked_by"].startswith(
        "1 branch has failed (shipment:order:1/shipping/0), the first of them with Conn"
    )


def test_a_branch_is_drawn_as_the_small_machine_that_it_is(
    shell: Terminal, packing: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsmflow.cli.overview.machines", lambda: Registry([Order, Shipment]))
    text = shell.ok("draw", "order:1/packing/2")
    assert "class failed_from_packing current" in text
    assert "charging" not in text


def test_failures_counts_parents_once_and_tells_of_branches_apart(shell: Terminal, packing: Order) -> None:
    parents, branches = shell.json("failures")
    assert (parents["count"], parents["error_type"], parents["branches"]) == (1, "BranchesFailed", False)
    assert (branches["count"], branches["error_type"], branches["branches"]) == (2, "ValueError", True)
    assert branches["retry"].endswith("--branches")
    assert "2 x order:failed_from_packing (branches) ValueError: no box for" in shell.ok("failures")


def test_explain_counts_the_branches_that_are_waited_for(shell: Terminal, box: Sandbox) -> None:
    failing.add(2)
    Order.start("1", {"lines": [1, 2, 3]}, state="packing")
    explained = shell.json("explain", "order:1")
    assert explained["waiting_for"].startswith("'resume' to start the work of this state")
    assert shell.ok("resume", "order:1") == "order:1  packing, working\n"
    box.run()
    failed = shell.json("explain", "order:1")
    assert failed["waiting_for"].endswith("that runs the 1 of 3 branches that failed")
    assert "order:1/packing/1" in failed["blocked_by"]


# What is kept, sent and lost


def test_what_is_kept_sent_and_lost_is_shown(shell: Terminal, box: Sandbox) -> None:
    Order.start("1", lines=[])
    assert shell.ok("trigger", "order:1", "approve", "--reason", "in advance") == "order:1  new, deferred\n"
    assert shell.json("show", "1")["deferred"][0]["trigger"] == "approve"
    assert "kept      approve, since " in shell.ok("show", "1")
    assert shell.json("explain", "1")["deferred"] == ["approve"]
    assert "kept:        approve" in shell.ok("explain", "1")
    Order.start("2", {}, state="asking").resume()
    assert shell.ok("force", "order:2", "asking") == "order:2  asking -> asking\n"
    box.run()
    found = shell.json("show", "2")
    assert (found["state"], found["phase"]) == ("asking", "waiting")
    (sent,) = found["sent"]
    assert (sent["trigger"], sent["to"]) == ("remind", "order:2")
    (lost,) = found["undelivered"]
    assert (lost["trigger"], lost["to"]) == ("answer", "order:nobody")
    text = shell.ok("show", "2")
    assert "sent      remind to order:2, due at " in text
    assert "lost      answer to order:nobody: order:nobody" in text
    explained = shell.json("explain", "2")
    assert explained["waiting_for"] == "a trigger as the answer, as job 'ask' has returned, or 'timeout' by itself"
    assert "answer to order:nobody" in explained["undelivered"][0]
    assert "undelivered: answer to order:nobody" in shell.ok("explain", "2")


# Skip, rewind, undo, force


@pytest.fixture
def declined(box: Sandbox) -> None:
    """Orders 1 to 3 have failed in charging; 4 is new."""
    for number in (1, 2, 3):
        Order.start(number, card="bad", lines=[], customer={"no": number}).go()
    Order.start(4, lines=[])
    box.run()


def test_skip_goes_on_as_if_the_step_had_been_done(shell: Terminal, declined: None) -> None:
    assert shell.ok("skip", "order:1", "--actor", "ada", "--reason", "paid in cash") == (
        "order:1  failed_from_charging -> packing\n"
    )
    entry = shell.json("history", "order:1")[-1]
    assert (entry["kind"], entry["actor"], entry["reason"]) == ("skipped", "ada", "paid in cash")
    assert "only a step that has failed can be skipped" in shell.refused("skip", "order:4")


def test_rewind_goes_back_to_where_it_has_been(shell: Terminal, declined: None) -> None:
    assert shell.ok("rewind", "order:1", "new") == "order:1  failed_from_charging -> new\n"
    assert shell.json("history", "order:1")[-1]["kind"] == "rewound"
    assert "it has not been in 'shipped'; 'force' enters any state" in shell.refused("rewind", "order:2", "shipped")
    assert "has no state 'nwe'; did you mean 'new'?" in shell.refused("rewind", "order:2", "nwe")
    assert "it has not been in 'shipped'" in shell.refused("rewind", "order:2", "shipped", "--dry-run")


def test_force_enters_any_state(shell: Terminal, declined: None) -> None:
    assert shell.ok("force", "order:4", "shipped", "--reason", "by hand") == "order:4  new -> shipped\n"
    assert shell.json("history", "order:4")[-1]["kind"] == "forced"
    assert "has no state 'shiped'; did you mean 'shipped'?" in shell.refused("force", "order:1", "shiped")


def test_undo_takes_back_what_was_done(shell: Terminal, box: Sandbox, declined: None) -> None:
    planned = shell.run("undo", "order:1", "order:4", "--dry-run")
    assert planned.out == "would undo order:1  failed_from_charging -> undoing_charging\n"
    assert "order:4 is in 'new': 'undo' was refused" in planned.err
    assert shell.ok("undo", "order:1", "--key", "once", "--epoch", "3") == (
        "order:1  failed_from_charging -> undoing_charging\n"
    )
    explained = shell.json("explain", "order:1")
    assert explained["waiting_for"] == (
        "a worker to run attempt 1 of job 'refund' (to undo 'charging') from queue 'default'"
    )
    box.run()
    assert Order.get("1").state == "undone"
    assert shell.json("undo", "--machine", "order", "--state", "undone") == []


def test_an_epoch_that_is_past_is_refused(shell: Terminal, declined: None) -> None:
    for command in (["retry"], ["cancel"], ["undo"]):
        assert "it was seen at epoch 1 and is now at epoch 3" in shell.refused(*command, "order:1", "--epoch", "1")
    assert "seen at epoch 9" in shell.refused("trigger", "order:4", "go", "--epoch", "9")
    assert "give one address" in shell.misused("cancel", "--machine", "order", "--epoch", "1")


def test_a_retry_takes_edited_data_and_a_new_key(shell: Terminal, box: Sandbox, declined: None) -> None:
    before = Order.get("1").event
    shell.ok("retry", "order:1", "--data", "card=good", "--data", "amount:=5", "--new-key")
    box.run()
    assert Order.get("1").data["amount"] == 5
    assert Order.get("1").data["charged"] is True
    assert Order.get("1").event != before
    assert "--where to select by data, or --set to change data" in shell.misused(
        "retry", "--machine", "order", "--data", "customer.no:=2"
    )
    shell.ok("retry", "--machine", "order", "--where", "customer.no:=2", "--set", "card=good")
    assert [Order.get(number).state for number in (2, 3)] == ["charging", "failed_from_charging"]


# Selections and bulk


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
    assert "neither name=text nor name:=json" in shell.misused("list", "--where", "customer")


def test_refusals_are_grouped_with_counts_and_an_example(shell: Terminal, declined: None) -> None:
    done = shell.run("rewind", "--state", "failed_from_*", "asking")
    assert (done.status, done.out) == (1, "")
    grouped, total = done.err.splitlines()
    assert grouped.startswith("Error: 3 were refused like this one: order:1 is in 'failed_from_charging'")
    assert total == "0 rewound, 3 refused"
    results = json.loads(shell.run("rewind", "--state", "failed_from_*", "asking", "--json").out)
    assert [result["done"] for result in results] == [False] * 3


def test_more_kinds_of_refusals_than_are_kept_are_counted(
    shell: Terminal, declined: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "_KINDS", 1)
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


def test_a_bulk_action_that_is_interrupted_reports_and_goes_on_when_run_again(
    shell: Terminal, declined: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Order.retry
    calls: list[int] = []

    def retry(self: Order, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, **options)

    monkeypatch.setattr(Order, "retry", retry)
    done = shell.run("retry", "--machine", "order", "--json")
    assert done.status == 130
    assert [item["address"] for item in json.loads(done.out)] == ["order:1"]
    assert "1 retried, 0 refused" in done.err
    assert "the same command goes on with the rest" in done.err
    assert [item["address"] for item in shell.json("retry", "--machine", "order")] == ["order:2", "order:3"]


def test_what_has_moved_on_since_it_was_selected_is_left_alone(
    shell: Terminal, declined: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = bulk.handle

    def handle(definition: Any, snapshot: Any) -> Any:
        if snapshot.entity_id == "2":
            Order.get("2").retry()
        return original(definition, snapshot)

    monkeypatch.setattr(bulk, "handle", handle)
    done = shell.run("force", "--state", "failed_from_charging", "new")
    assert (done.status, len(done.out.splitlines())) == (0, 2)
    assert "1 had moved on since they were selected" in done.err
    assert Order.get("2").state == "charging"


def test_a_bar_is_drawn_on_a_terminal_alone(shell: Terminal, declined: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in shell.run("pause", "--machine", "order").err
    monkeypatch.setattr("fsmflow.cli.bulk.can_show", lambda as_json: True)
    done = shell.run("resume", "--machine", "order")
    assert (done.status, len(done.out.splitlines())) == (0, 4)


# Starting many


def test_start_adopts_in_mid_life(shell: Terminal) -> None:
    assert shell.ok("start", "order", "9", "--state", "charging") == "order:9  charging\n"
    found = shell.json("show", "9")
    assert (found["phase"], found["work"]) == ("waiting", None)
    assert "has no state 'chargin'; did you mean 'charging'?" in shell.refused(
        "start", "order", "8", "--state", "chargin"
    )
    assert "which entity?" in shell.misused("start", "order")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_start_takes_json_lines(shell: Terminal, folder: Path) -> None:
    lines = [{"id": 1, "lines": [1]}, {"id": "b", "note": "Ω", "shop": "own"}]
    (folder / "x.jsonl").write_text("\ufeff" + "\n\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    assert shell.ok("start", "order", "--from", "x.jsonl", "--dry-run") == "2 would be started\n"
    assert shell.json("list") == []
    assert shell.ok("start", "order", "--from", "x.jsonl", "shop=web", "--actor", "ada") == "2 started\n"
    assert Order.get("1").data == {"lines": [1], "shop": "web"}
    assert Order.get("b").data == {"note": "Ω", "shop": "own"}
    assert "order:1 exists already" in shell.refused("start", "order", "--from", "x.jsonl")
    assert "order:1 exists already" in shell.refused("start", "order", "--from", "x.jsonl", "--dry-run")
    again = shell.json("start", "order", "--from", "x.jsonl", "--if-exists", "return")
    assert again == {"machine": "order", "started": 0, "already_there": 2, "dry_run": False}


def test_start_takes_csv_with_json_columns(shell: Terminal, folder: Path) -> None:
    (folder / "x.csv").write_text('id,customer,amount:,note\n7,ada,1500,"two\nlines"\n8,bob,,\n')
    assert shell.ok("start", "order", "--from", "x.csv", "--state", "asking") == "2 started\n"
    assert Order.get("7").data == {"customer": "ada", "amount": 1500, "note": "two\nlines"}
    assert Order.get("8").data == {"customer": "bob", "note": ""}
    assert Order.get("8").state == "asking"


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("x.jsonl", '{"id": 1}\n{"id": 2', "x.jsonl, line 2: it is not JSON"),
        ("x.jsonl", '{"id": 1}\n[2]', "line 2: '[2]' is no object with \"id\""),
        ("x.jsonl", '{"id": "a/b"}', "line 1: the id 'a/b' has a '/'"),
        ("x.jsonl", '{"id": null}', "line 1: the id None"),
        ("x.csv", "name\n1", "line 1: a CSV begins with the names of its columns"),
        ("x.csv", "id,a,a\n1,2,3", "column 'a' is there twice"),
        ("x.csv", "id,a\n1", "line 2: it has 1 cells; there are 2 columns"),
        ("x.csv", "id,a:\n1,{", "line 2: column 'a:' is not JSON"),
        ("x.csv", 'id,a\n1,"b" c', "line 2: "),
    ],
)
def test_what_a_file_has_wrong_is_named_with_its_line(
    shell: Terminal, folder: Path, name: str, text: str, why: str
) -> None:
    (folder / name).write_text(text)
    assert why in shell.refused("start", "order", "--from", name)
    assert shell.json("list") == []


def test_start_from_what_cannot_be_read_is_wrong_usage(shell: Terminal, folder: Path) -> None:
    assert "nofile" in shell.misused("start", "order", "--from", "nofile")
    assert "--key is for one entity" in shell.misused("start", "order", "--from", "x", "--key", "k")
    (folder / "x.jsonl").write_bytes(b'{"id": "\xff"}')
    assert "line 1: 'utf-8'" in shell.refused("start", "order", "--from", "x.jsonl")
    assert os.listdir(folder) == ["x.jsonl"]


def test_start_reads_from_a_pipe_by_its_name(shell: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsmflow.cli.start._PAGE", 1)
    os.mkfifo(folder / "pipe")
    writer = threading.Thread(target=lambda: (folder / "pipe").write_text('{"id": 1}\n{"id": 2}\n'))
    writer.start()
    assert shell.ok("start", "order", "--from", "pipe") == "2 started\n"
    writer.join()


def test_a_load_that_is_interrupted_says_how_to_go_on(
    shell: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsmflow.cli.start._PAGE", 2)
    lines = [json.dumps({"id": number}) for number in range(3)]
    (folder / "x.jsonl").write_text("\n".join([*lines, "{"]))
    assert "2 were started before; '--if-exists return' goes on" in shell.refused("start", "order", "--from", "x.jsonl")
    (folder / "x.jsonl").write_text("\n".join(lines))
    assert shell.ok("start", "order", "--from", "x.jsonl", "--if-exists", "return") == "1 started, 2 there already\n"
