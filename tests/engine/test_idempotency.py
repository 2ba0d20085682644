"""The idempotency key of a step in an entity's life: what it outlasts, and what has another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fsmflow import Machine, State
from fsmflow.testing import Sandbox
from tests.support.deployments import deploy
from tests.support.sandbox import every_database, sandbox
from tests.support.traces import failing, ran

__all__ = ["every_database"]  # a fixture

pytestmark = pytest.mark.usefixtures("every_database")


class Sale(Machine):
    """Charges, perhaps more than once, packs in branches, and takes it back."""

    initial = "new"
    states = [
        State("new"),
        State("checking", job="act"),
        State("charging", job="act", undo="act"),
        State("packing", each="lines", job="act_on"),
        State("open"),
        State("over", final=True),
    ]
    transitions = [
        ["charge", ["new", "open"], "charging"],
        ["check", "new", "checking"],
        ["done", "checking", "charging"],
        ["done", "charging", "packing"],
        ["done", "packing", "open"],
        ["end", "open", "over"],
        {"trigger": "note", "source": "*", "dest": None},
    ]

    def act(self) -> None:
        ran.append(self.idempotency_key)
        if self.state in failing:
            raise ValueError("no")

    def act_on(self, line: str) -> None:
        ran.append(self.idempotency_key)
        if line in failing:
            raise ValueError("no")


def keys_of(box: Sandbox) -> list[str]:
    """The keys that jobs had until nothing is left to do, without the installation."""
    ran.clear()
    box.run()
    installation = box._runtime.store.installation
    assert all(key.startswith(f"{installation}:") for key in ran)
    return [key.removeprefix(f"{installation}:") for key in ran]


def test_each_step_has_a_key_of_its_own_that_says_what_it_is() -> None:
    with sandbox(machines=[Sale]) as box:
        sale = Sale.start("1", lines=["a", "b"])
        sale.trigger("charge")
        assert keys_of(box) == ["sale:1:charging.1", "sale:1~packing~0:packing.1", "sale:1~packing~1:packing.1"]
        sale.trigger("charge")
        assert keys_of(box) == ["sale:1:charging.2", "sale:1~packing.2~0:packing.1", "sale:1~packing.2~1:packing.1"]
        sale.undo()
        assert keys_of(box) == ["sale:1:undoing_charging.1", "sale:1:undoing_charging.2"]


def test_a_key_outlasts_whatever_becomes_of_an_attempt() -> None:
    with sandbox(machines=[Sale]) as box:
        sale = Sale.start("1", lines=[])
        failing.add("charging")
        sale.trigger("charge")
        assert keys_of(box) == ["sale:1:charging.1"]
        sale.trigger("note")
        sale.retry(data={"lines": []}).pause().resume()
        failing.clear()
        box.crash("charging", after_job=True)
        assert keys_of(box) == ["sale:1:charging.1"] * 2


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (lambda sale: sale.retry(new_key=True), "charging.1.new1"),
        (lambda sale: sale.rewind("charging"), "charging.2"),
        (lambda sale: sale.force("charging"), "charging.2"),
    ],
    ids=["new_key", "rewind", "force"],
)
def test_what_is_another_step_has_another_key(act: Callable[[Sale], Any], name: str) -> None:
    with sandbox(machines=[Sale]) as box:
        failing.add("charging")
        sale = Sale.start("1", lines=[])
        sale.trigger("charge")
        assert keys_of(box) == ["sale:1:charging.1"]
        act(sale)
        assert keys_of(box) == [f"sale:1:{name}"]
        sale.retry()
        assert keys_of(box) == [f"sale:1:{name}"]


def test_a_visit_is_called_the_same_whether_or_not_the_one_before_was_given_a_new_key() -> None:
    with sandbox(machines=[Sale]) as box:
        failing.add("charging")
        sale = Sale.start("1", lines=[])
        sale.trigger("charge")
        box.run()
        for number in (1, 2):
            sale.retry(new_key=True)
            assert keys_of(box) == [f"sale:1:charging.1.new{number}"]
        failing.clear()
        sale.retry()
        box.run()
        sale.refresh().trigger("charge")
        assert keys_of(box) == ["sale:1:charging.2"]


def test_of_a_fan_out_what_is_run_again_with_a_new_key_gets_one() -> None:
    with sandbox(machines=[Sale]) as box:
        failing.add("b")
        sale = Sale.start("1", lines=["a", "b"])
        sale.trigger("charge")
        box.run()
        sale.retry()
        assert keys_of(box) == ["sale:1~packing~1:packing.1"]
        sale.retry(new_key=True)
        assert keys_of(box) == ["sale:1~packing~1:packing.1.new1"]


def test_a_step_that_the_database_has_lost_has_its_key_again_and_no_other_entity_gets_it() -> None:
    """Rows are given out again after a restore or a lossy failover: what was the first entity's is the second's."""
    with sandbox(machines=[Sale]) as box:
        store = box._runtime.store
        Sale.start("1", lines=[]).trigger("charge")
        assert keys_of(box) == ["sale:1:charging.1"]
        for table in ("work", "history", "event", "entity"):
            store.link.write(lambda table=table: store.link.execute(f"DELETE FROM fsmflow_{table}"))  # type: ignore[misc]
        Sale.start("2", lines=[]).trigger("charge")
        assert keys_of(box) == ["sale:2:charging.1"]
        # Begun again, it may come there by another way.
        Sale.start("1", lines=[]).trigger("check")
        assert keys_of(box) == ["sale:1:checking.1", "sale:1:charging.1"]


class First(Machine):
    """As it was deployed first."""

    name = "claim"
    initial = "paying"
    states = [State("paying", job="act"), State("open"), State("over", final=True)]
    transitions = [["done", "paying", "open"], ["again", "open", "paying"], ["end", "open", "over"]]
    act = Sale.act


class Second(Machine):
    """With another name for its state."""

    name = "claim"
    initial = "settling"
    states = [State("settling", job="act"), State("open"), State("over", final=True)]
    transitions = [["done", "settling", "open"], ["again", "open", "settling"], ["end", "open", "over"]]
    renamed_states = {"paying": "settling"}
    act = Sale.act


class Third(Machine):
    """With a new state that has the old name."""

    name = "claim"
    initial = "settling"
    states = [*Second.states, State("paying", job="act")]
    transitions = [*Second.transitions, ["pay", "open", "paying"], ["done", "paying", "open"]]
    act = Sale.act


def test_a_deployment_that_renames_a_state_leaves_the_key_of_a_step_that_is_under_way() -> None:
    with sandbox(machines=[First]) as box:
        failing.add("paying")
        First.start("1")
        assert keys_of(box) == ["claim:1:paying.1"]
        deploy(box, Second)
        Second.get("1").retry(reason="whatever is written then is written under the new name")
        failing.add("settling")
        assert keys_of(box) == ["claim:1:paying.1"]
        failing.clear()
        Second.get("1").retry()
        assert keys_of(box) == ["claim:1:paying.1"]
        Second.get("1").trigger("again")
        assert keys_of(box) == ["claim:1:settling.1"]
        deploy(box, Third)
        Third.get("1").trigger("pay")
        assert keys_of(box) == ["claim:1:paying.2"]
