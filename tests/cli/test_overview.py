"""``failures``, ``stats`` and ``check``: what is told of all machines at once."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from fsmflow.engine.registry import Registry
from fsmflow.testing import Sandbox
from tests.cli.orders import Order, Shipment
from tests.cli.shop import MACHINES, PING, Shop
from tests.support.interruptions import execute_next
from tests.support.terminal import Terminal
from tests.support.traces import failing


def test_failures_are_grouped_and_say_what_to_type(busy: Shop) -> None:
    slow, declined = busy.json("failures", "--machine", "order")
    assert (slow["count"], slow["state"], slow["error_type"]) == (2, "failed_from_charging", "TimeoutError")
    assert (declined["count"], declined["example"]) == (1, "order:3")
    assert slow["retry"] in busy.ok("failures")
    assert slow["retry"] == f"fsmflow retry --group {slow['group'][:8]}"
    assert "no machine 'nosuch'" in busy.refused("failures", "--machine", "nosuch")


def test_stats_counts_entities_and_work(busy: Shop) -> None:
    found = busy.json("stats")
    assert found["counts"] == {"order": {"failed_from_charging": 3, "pending": 1, "review": 1}}
    assert found["entities"] == 5
    (queue,) = found["queues"]
    assert (queue["name"], queue["listening"]) == ("default", False)
    assert re.fullmatch("fsmflow:[0-9a-f]{8}:default", queue["in_rq"])
    assert (found["redis"]["answers"], found["due"], found["active"]) == (True, 0, 0)
    assert f"queue default: no worker listens (in RQ: {queue['in_rq']})" in busy.ok("stats").splitlines()


def test_stats_names_the_queues_of_all_machines_in_their_order(shop: Shop) -> None:
    slow = MACHINES.replace('job="charge"', 'job="charge", queue="slow"')
    second = PING.replace("timeout=5", "job=lambda ping: None, queue=lambda ping: 'eu'")
    (shop.folder / "machines.py").write_text(slow + second.replace('["timeout"', '["done"'))
    assert [queue["name"] for queue in shop.json("stats")["queues"]] == ["slow", "default"]


def test_check_notes_what_is_worth_a_look_and_is_content(shop: Shop) -> None:
    lines = shop.ok("check").splitlines()
    assert lines[-1] == "no worker listens on queue 'default' now (jobs of order)"
    assert any(line.startswith("machine order: job 'charge' in state 'charging' has no retry") for line in lines)
    found = shop.json("check")["machines"]
    assert [item["machine"] for item in found] == ["order", "refund"]
    assert "no worker listens on queue 'default' now" in found[0]["notes"]


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


def test_a_branch_is_drawn_as_the_small_machine_that_it_is(
    shell: Terminal, packing: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsmflow.cli.draw.machines", lambda: Registry([Order, Shipment]))
    text = shell.ok("draw", "order:1/packing/2")
    assert "class failed_from_packing current" in text
    assert "charging" not in text


def test_branches_that_fail_for_one_reason_are_the_cause_of_their_parents_failure(
    shell: Terminal, packing: Order, box: Sandbox
) -> None:
    for entity_id, lines in (("ann", [2]), ("bob", [1, 2, 5, 6])):
        Order.start(entity_id, lines=lines).go()
    box.run()
    (parents,) = shell.json("failures")
    assert (parents["count"], parents["error_type"], parents["branches"]) == (3, "BranchesFailed", False)
    (cause,) = parents["causes"]
    assert (cause["count"], cause["error_type"]) == (5, "ValueError")
    told = shell.ok("failures")
    assert "3 x order:failed_from_packing BranchesFailed: " in told
    assert "    cause: 5 branches with ValueError, such as order:bob/packing/2: no box for 5\n" in told
    failing.clear()
    Order.start("4", card="bad", lines=[]).go()
    box.run()
    done = shell.run(*shlex.split(parents["retry"])[1:], "--json")
    assert {found["address"] for found in json.loads(done.out)} == {"order:1", "order:ann", "order:bob"}


def test_the_failure_of_a_parent_has_the_traceback_of_the_branch(shell: Terminal, packing: Order) -> None:
    told = shell.ok("show", "order:1", "--traceback")
    assert "BranchesFailed: ValueError: no box for 2 (the first of 2 branches that failed: order:1/packing/2, " in told
    assert "in pack\n" in told
    assert "ValueError: no box for 2" in told


def test_failed_branches_are_told_apart_while_their_parent_waits_for_others(shell: Terminal, box: Sandbox) -> None:
    failing.update({2, 5})
    Order.start("1", lines=[2, 3, 5]).go()
    for _ in range(4):  # the charge, the making of the branches, and two of these
        execute_next(box)
    (branches,) = shell.json("failures")
    assert (branches["count"], branches["error_type"], branches["branches"]) == (1, "ValueError", True)
    retried = shell.json(*shlex.split(branches["retry"])[1:], "--dry-run")
    assert [each["address"] for each in retried] == [branches["example"]]
    assert "1 x order:failed_from_packing (branches) ValueError: no box for 2" in shell.ok("failures")
