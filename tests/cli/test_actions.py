"""``trigger``, and what operators do to one entity: retry, skip, rewind, force, undo, pause, resume."""

from __future__ import annotations

import shutil

from fsmflow.testing import Sandbox
from tests.cli.orders import Order
from tests.cli.shop import MACHINES, RETRY, Shop
from tests.support.terminal import Terminal
from tests.support.traces import failing


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
    assert shop.json("trigger", "order:7", "rate", "--key", "mail-1") == {**first, "repeated": True}
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


def test_a_callback_that_raises_is_told_in_one_line_with_its_name_its_machine_and_its_place(shop: Shop) -> None:
    rate = '{"trigger": "rate", "source": "pending", "dest": None, "before": "take_rate"}'
    machines = MACHINES.replace('["rate", "pending", None]', rate)
    method = '    def take_rate(self):\n        self.data["stars"] += 1\n\n    def charge'
    (shop.folder / "machines.py").write_text(machines.replace("    def charge", method))
    shop.ok("start", "order", "7")
    told = shop.refused("trigger", "order:7", "rate")
    named = "before callback 'take_rate' of 'rate' in state 'pending' of machine 'order'"
    assert told.startswith(f"Error: KeyError: 'stars' [{named}] (raised in take_rate, {shop.folder}/machines.py:")


def test_a_payload_may_have_the_names_of_options(shop: Shop) -> None:
    shop.ok("start", "order", "7")
    entry = shop.json("trigger", "order:7", "rate", "reason=x", "epoch:=9", "--reason", "called")["entry"]
    assert (entry["payload"], entry["reason"]) == ({"reason": "x", "epoch": 9}, "called")


def test_roles_are_given_with_actor_and_role(busy: Shop) -> None:
    assert "needs an actor with one of the roles manager" in busy.refused("trigger", "order:4", "approve")
    assert "'bob' has none" in busy.refused("trigger", "order:4", "approve", "--actor", "bob", "--role", "clerk")
    moved = busy.ok("trigger", "order:4", "approve", "--actor", "bob", "--role", "clerk", "--role", "manager")
    assert moved == "order:4  review -> shipped\n"


def test_retry_re_enters_the_failed_step_and_the_worker_finishes_it(busy: Shop) -> None:
    before = busy.json("show", "order:1")["epoch"]
    assert busy.ok("retry", "1", "--set", "error=", "--set", "amount:=5") == (
        "order:1  failed_from_charging -> charging\n"
    )
    busy.ok("worker", "--burst", "--processes", "1", "--log-level", "error")
    after = busy.json("show", "order:1")
    assert (after["state"], after["epoch"], after["data"]["charged"]) == ("shipped", before + 2, True)


def test_a_retry_with_a_key_is_done_once(busy: Shop) -> None:
    busy.ok("retry", "order:1", "--key", "once")
    busy.ok("retry", "order:1", "--key", "once")
    assert [entry["key"] for entry in busy.json("history", "order:1")[3:]] == ["once"]


def test_pause_and_resume_hold_and_let_go(busy: Shop) -> None:
    assert busy.ok("pause", "order:4", "--reason", "a call") == "order:4  review, paused\n"
    assert busy.json("show", "order:4")["work"]["held"] is True
    assert busy.ok("pause", "order:4") == "order:4  review, as it was\n"
    assert busy.ok("resume", "order:4") == "order:4  review, no longer paused\n"
    assert [entry["kind"] for entry in busy.json("history", "order:4")[-2:]] == ["paused", "resumed"]


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
    script = str(shutil.copy(RETRY[0], shop.folder / "scripts"))
    (shop.folder / "fsmflow").mkdir()
    (shop.folder / "fsmflow" / "__init__.py").write_text("import a_package_that_is_missing")
    done = shop.run("order:1", program=(script,))
    assert done.status == 1
    assert "No module named 'a_package_that_is_missing'" in done.err
    assert (done.err.count("\n"), "-m venv" in done.err) == (1, True)


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


def test_show_tells_of_the_last_edit_of_the_data(shell: Terminal, box: Sandbox, declined: None) -> None:
    assert "edited" not in shell.ok("show", "order:1")
    assert shell.json("show", "order:1")["edited"] is None
    shell.ok("retry", "order:1", "--set", "card=good", "--actor", "ada")
    box.run()
    at = box.now.strftime("%Y-%m-%d %H:%M:%S")
    assert f"  edited    {at} UTC by ada: card='good' (line 4 of its history)\n" in shell.ok("show", "order:1")
    edited = shell.json("show", "order:1")["edited"]
    assert (edited["seq"], edited["edit"]["changed"]) == (4, {"card": "good"})


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
