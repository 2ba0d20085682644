"""``fsmflow erase``: it asks first, says why, and takes a selection."""

from __future__ import annotations

from fsmflow.testing import Sandbox
from tests.cli.orders import Order
from tests.support.terminal import Terminal


def test_it_needs_a_reason_and_asks_before_it_erases(box: Sandbox, shell: Terminal) -> None:
    Order.start("1", name="Ada").cancel()
    assert "say why, with --reason" in shell.misused("erase", "order:1", "--yes")
    why = ("--reason", "request 77", "--actor", "carol")
    assert "then say --yes" in shell.misused("erase", "order:1", *why)
    assert shell.ok("erase", "order:1", *why, "--dry-run") == "would erase order:1  cancelled, as it was\n"
    assert Order.get("1").data == {"name": "Ada"}
    assert shell.ok("erase", "order:1", *why, "--yes") == "order:1  cancelled, as it was\n"
    assert Order.get("1").data == {}
    assert "erased" in shell.ok("history", "order:1")


def test_those_of_a_selection_are_erased_in_the_state_that_is_named(box: Sandbox, shell: Terminal) -> None:
    for number in ("1", "2"):
        Order.start(number, name="Ada").cancel()
    Order.start("3", name="Ada")
    told = shell.run("erase", "--machine", "order", "--state", "cancelled", "--reason", "end of the term", "--yes")
    assert (told.status, "2 erased, 0 refused" in told.err) == (0, True)
    assert [Order.get(number).data for number in ("1", "2", "3")] == [{}, {}, {"name": "Ada"}]
