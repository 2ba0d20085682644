"""Failure groups are counted by the very commit of each failure: once, by whoever fails, and nobody waits for long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import fsmflow
from fsmflow import Machine, State, failures, settings
from fsmflow.engine import runtime as runtime_of
from fsmflow.settings import Settings
from fsmflow.store.listing import Filter
from fsmflow.store.store import create_store
from fsmflow.store.tables import FAILURE, SIGHTING
from fsmflow.testing import Sandbox
from fsmflow.verify import verify
from tests.support.concurrency import in_processes
from tests.support.plans import plans_of
from tests.support.sandbox import every_database, sandbox

__all__ = ["every_database"]

FAILING = 25


class Order(Machine):
    """Fails by hand, without a job that would have to be run."""

    initial = "new"
    states = ["new", State("charging", job="charge"), "other", State("paid", final=True)]
    transitions = [
        ["charge_it", "new", "charging"],
        ["done", "charging", "paid"],
        ["give_up", "charging", "failed_from_charging"],
        ["step_aside", "new", "other"],
        ["step_back", "other", "new"],
    ]

    def charge(self) -> None:
        """Nothing to charge."""


@pytest.fixture
def box(every_database: None) -> Iterator[Sandbox]:
    with sandbox(machines=[Order]) as box:
        yield box


def failed(entity_id: str) -> Any:
    order = Order.start(entity_id)
    order.trigger("charge_it")
    order.trigger("give_up")
    return order


def statements(box: Sandbox) -> Any:
    return patch.object(box.database, "execute_sql", wraps=box.database.execute_sql)


def touched(seen: Any) -> list[str]:
    """What was done to the tables of failure groups."""
    texts = [call.args[0] for call in seen.call_args_list]
    return [text.split()[0] for text in texts if FAILURE in text or SIGHTING in text]


def test_a_failure_is_counted_by_its_own_commit_and_costs_one_statement_once_it_is_known(box: Sandbox) -> None:
    first = Order.start("1")
    first.trigger("charge_it")
    with statements(box) as seen:
        first.trigger("give_up")
    assert touched(seen) == ["INSERT", "INSERT"]
    second = Order.start("2")
    with statements(box) as seen:
        second.trigger("charge_it")
    assert touched(seen) == [], "what does not fail writes nothing"
    with statements(box) as seen:
        second.trigger("give_up")
    assert touched(seen) == ["UPDATE"]
    (group,) = failures.groups()
    assert (group.count, group.seen, group.sample) == (2, 2, "order:1")


def test_what_is_rolled_back_was_not_seen(box: Sandbox) -> None:
    order = Order.start("1")
    order.trigger("charge_it")
    with box.database.atomic() as caller:
        order.trigger("give_up")
        caller.rollback()
    assert failures.groups(every=True) == []
    order.refresh().trigger("give_up")
    (group,) = failures.groups()
    assert (group.count, group.seen) == (1, 1)


def test_those_that_are_started_in_a_failure_are_counted_together(box: Sandbox) -> None:
    Order.start("0", state="failed_from_charging")
    Order.start_many([(str(number), None) for number in range(1, 6)], state="failed_from_charging")
    (group,) = failures.groups()
    assert (group.count, group.seen) == (6, 6)
    assert verify(box._runtime.store, box._runtime.machines.all()).violations == []


def test_a_group_that_was_deleted_is_made_anew(box: Sandbox) -> None:
    failed("1")
    for table in (FAILURE, SIGHTING):
        box.database.execute_sql(f"DELETE FROM {table}")
    (told,) = failures.groups()
    assert (told.count, told.sample) == (1, "order:1"), "what rests is told, whatever is known of it"
    report = verify(box._runtime.store, box._runtime.machines.all())
    assert [found.invariant for found in report.violations] == ["failure-grouped"]
    failed("2")
    (group,) = failures.groups()
    assert (group.count, group.seen, group.sample) == (2, 1, "order:2")


def test_what_rests_is_found_by_the_index_of_what_has_failed(tmp_path: Path) -> None:
    store = create_store(Settings(database_url=f"sqlite:///{tmp_path}/fsmflow.db"))
    for asked in (
        lambda store: store.groups.resting(),
        lambda store: store.groups.resting(machine="order"),
        lambda store: store.groups.resting(fingerprints=["abc"]),
        lambda store: list(store.listing.find(Filter(failed=True, fingerprints=["abc"], branches=True))),
    ):
        plan = plans_of(store, asked)
        assert "fsmflow_entity_failing" in plan
        assert "SCAN e\n" not in f"{plan}\n"
    store.link.forget_connection()


def fail_many(number: int, database_url: str) -> str | None:
    """In a process of its own: let entities fail, and tell what went wrong."""
    fsmflow.configure(database_url=database_url, redis_url="redis://127.0.0.1:1", machines=[Order])
    try:
        for each in range(FAILING):
            failed(f"{number}-{each}")
    except Exception as error:  # noqa: BLE001 - it is told to the parent
        return f"{type(error).__name__}: {error}"
    finally:
        runtime_of.close()
    return None


def test_eight_processes_that_fail_at_once_for_one_new_reason_make_one_group(database_url: str) -> None:
    create_store(Settings(database_url=database_url)).link.forget_connection()
    assert in_processes(8, fail_many, database_url) == [None] * 8
    before = settings.chosen()
    fsmflow.configure(database_url=database_url, redis_url="redis://127.0.0.1:1", machines=[Order])
    try:
        runtime = runtime_of.current()
        (group,) = failures.groups()
        assert (group.count, group.seen, len(runtime.store.groups.all())) == (8 * FAILING, 8 * FAILING, 1)
        assert verify(runtime.store, runtime.machines.all()).violations == []
    finally:
        runtime_of.close()
        settings.choose(before)
