"""``list``, ``show``, ``explain`` and ``history``, of entities, branches and children."""

from __future__ import annotations

import json

import pytest

from fsmflow import release
from fsmflow.release import Release
from fsmflow.testing import Sandbox
from tests.cli.orders import Order
from tests.cli.shop import MACHINES, Shop
from tests.support.interruptions import execute_next
from tests.support.terminal import Terminal
from tests.support.traces import failing


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


def test_list_compares_sorts_and_goes_on_after_an_entity(shop: Shop) -> None:
    for number, amount in enumerate((30, 10, 20)):
        shop.ok("start", "order", f"n{number}", f"amount:={amount}")

    def ids(*words: str) -> list[str]:
        return [item["address"] for item in shop.json("list", "--machine", "order", *words)]

    assert ids("--where", "amount:>=20") == ["order:n0", "order:n2"]
    assert ids("--where", "amount:>10", "--where", "amount:<30") == ["order:n2"]
    assert ids("--order=-amount") == ["order:n0", "order:n2", "order:n1"]
    assert ids("--order", "amount", "--after", "order:n2") == ["order:n0"]
    assert ids("--after", "n0") == ["order:n1", "order:n2"]
    assert "amount > None compares nothing" in shop.misused("list", "--where", "amount:>null")


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


def test_show_tells_of_branches_and_of_what_could_be_undone(shell: Terminal, packing: Order) -> None:
    text = shell.ok("show", "order:1")
    assert "branches  8 of 10 done, 2 failed, 0 running" in text
    assert "failed    order:1/packing/2 in failed_from_packing: ValueError: no box for 2" in text
    assert "undoable  packing, charging" in text
    found = shell.json("show", "1")
    assert found["progress"] == {"done": 8, "failed": 2, "running": 0, "total": 10, "cancelled": 0}
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
    assert told["waiting_for"].startswith(
        f"2 of 2 branches: {children}; {children.split(',')[0]} waits out an interval"
    )
    assert told["blocked_by"] is None
    assert told["next_at"] == shell.json("explain", "shipment:order:1/shipping/0")["next_at"]
    assert "work      waiting for its branches" in shell.ok("show", "order:1")
    queued = shell.json("explain", "shipment:order:1/shipping/1")
    assert queued["waiting_for"] == "its turn, as order:1 runs only so many branches at once"
    box.advance(minutes=1)
    told = shell.json("explain", "order:1")
    assert told["waiting_for"].startswith(
        "1 of 2 branches: shipment:order:1/shipping/1; shipment:order:1/shipping/1 waits"
    )
    assert told["blocked_by"].startswith("1 branch has failed (shipment:order:1/shipping/0) with Conn")


def test_a_branch_says_by_whose_pause_it_is_held(shell: Terminal, box: Sandbox) -> None:
    Order.start("1", {"lines": ["a", "b"]}, state="asking").approve()
    execute_next(box)
    shell.ok("pause", "order:1")
    held = "the pause of order:1, which holds its branches too; resume of order:1 lets them go on"
    child = "shipment:order:1/shipping/0"
    assert shell.json("explain", child)["blocked_by"] == held
    assert f"blocked   {held}" in shell.ok("show", child)
    assert shell.json("show", "order:1")["blocked"] == "a pause; resume lets it go on"
    shell.ok("resume", "order:1")
    shell.ok("pause", child)
    assert shell.json("explain", child)["blocked_by"] == "a pause; resume lets it go on"


def test_explain_counts_the_branches_that_are_waited_for(shell: Terminal, box: Sandbox) -> None:
    failing.add(2)
    Order.start("1", {"lines": [1, 2, 3]}, state="packing")
    explained = shell.json("explain", "order:1")
    assert explained["waiting_for"].startswith("'resume' to start the work of this state")
    assert shell.ok("resume", "order:1") == "order:1  packing, working\n"
    box.run()
    failed = shell.json("explain", "order:1")
    assert failed["waiting_for"].endswith("that runs the one of 3 branches that failed")
    assert "order:1/packing/1" in failed["blocked_by"]


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
    assert (
        explained["waiting_for"]
        == "a trigger as the answer, as job 'ask' has returned: approve, cancel; or 'timeout' by itself"
    )
    assert "answer to order:nobody" in explained["undelivered"][0]
    assert "undelivered: answer to order:nobody" in shell.ok("explain", "2")


def test_history_and_show_tell_where_other_code_wrote_it(
    box: Sandbox, shell: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Order.start("1", lines=[])
    mine = order.history[-1].release
    assert "release" not in shell.ok("history", "order:1")
    assert "release" not in shell.ok("show", "order:1")
    monkeypatch.setattr(release._Noted, "release", Release(name="2030-02"))
    order.pause()
    order.resume()
    first, second, third = shell.ok("history", "order:1").splitlines()[1:]
    assert second.endswith("release 2030-02")
    assert "release" not in first + third
    assert f"2030-02 wrote the last line of its history; the code here is {mine}" in shell.ok("show", "order:1")
    assert [line["release"] for line in shell.json("history", "order:1")] == [mine, "2030-02", "2030-02"]
