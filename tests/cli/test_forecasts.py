"""``trigger --dry-run``: what it would lead to, for people and as JSON."""

from __future__ import annotations

from tests.cli.shop import Shop


def test_a_dry_run_tells_what_a_trigger_leads_to_and_changes_nothing(shop: Shop) -> None:
    shop.ok("start", "order", "7", "amount:=3")
    before = shop.json("show", "order:7")
    told = shop.ok("trigger", "order:7", "submit", "--dry-run")
    assert told.splitlines()[0].startswith("order:7 would go from pending to charging (working)")
    assert "job:         charge, on queue 'default'" in told
    found = shop.json("trigger", "order:7", "submit", "--dry-run")
    assert (found["allowed"], found["kind"], found["state"], found["job"]) == (True, "transition", "charging", "charge")
    after = shop.json("show", "order:7")
    assert after == before


def test_a_dry_run_of_what_is_refused_ends_with_status_1(shop: Shop) -> None:
    shop.ok("start", "order", "7")
    done = shop.run("trigger", "order:7", "submit", "--dry-run")
    assert (done.status, done.err) == (1, "dry run: nothing was written\n")
    assert done.out.startswith("it would be refused. order:7 is in 'pending'")
    assert "guard 'has_amount' is false" in done.out
    assert len(shop.json("history", "order:7")) == 1
