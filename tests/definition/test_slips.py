"""Attributes of a class that look like settings and are none are refused; constants and methods of the user are not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fsmflow import DefinitionError, Machine, Retry, State


def work(machine: Machine) -> None:
    """A job that does nothing."""


BODY: dict[str, Any] = {
    "initial": "open",
    "states": ["open", State("packing", job=work), State("shut", final=True)],
    "transitions": [["go", "open", "packing"], ["done", "packing", "shut"]],
}


def made(**attributes: Any) -> type[Machine]:
    return type("Door", (Machine,), {**BODY, **attributes})


def faults_of(**attributes: Any) -> tuple[str, ...]:
    with pytest.raises(DefinitionError) as caught:
        made(**attributes)
    return tuple(caught.value.faults)


@pytest.mark.parametrize(
    ("name", "value", "near"),
    [
        ("retries", 3, "State(..., retry=Retry(max=3))"),
        ("max_retries", 3, "State(..., retry=Retry(max=3))"),
        ("retry_policy", Retry(max=3), "State(..., retry=Retry("),
        ("timeout", 30, "State(..., timeout=30)"),
        ("timeouts", timedelta(days=1), "State(..., timeout="),
        ("delay", 1.5, "State(..., delay=1.5)"),
        ("queue", "slow", "State(..., queue='slow')"),
        ("limit", 20, "State(..., limit=20)"),
        ("transactional", True, "State(..., transactional=True)"),
        ("at_most_onc", True, "State(..., at_most_once=True)"),
        ("branch_failures", "stop", "State(..., branch_failure='stop')"),
        ("cron", "0 3 * * *", "did you mean 'schedule'?"),
        ("schedul", "0 3 * * *", "did you mean 'schedule'?"),
        ("on_failur", "undo", "did you mean 'on_failure'?"),
        ("catchup", "skip", "did you mean 'catch_up'?"),
        ("versoin", 2, "did you mean 'version'?"),
        ("rename_states", {"a": "open"}, "did you mean 'renamed_states'?"),
        ("send_as", ["clerk"], "did you mean 'sends_as'?"),
    ],
)
def test_what_looks_like_a_setting_is_refused_with_the_one_that_is_meant(name: str, value: Any, near: str) -> None:
    (fault,) = faults_of(**{name: value})
    assert fault.startswith(f"Door.{name} = ")
    assert near in fault
    assert fault.endswith(f"a constant of your own is {name.upper()}")


def test_a_misspelt_initial_is_named_beside_what_is_missing() -> None:
    faults = faults_of(initial=None, intial="open")
    assert any("Door.intial = 'open' is no setting of a machine; did you mean 'initial'?" in fault for fault in faults)


def test_a_retry_of_the_whole_machine_says_where_it_belongs() -> None:
    (fault,) = faults_of(retry=Retry(max=3))
    assert fault == (
        "Door.retry would hide Machine.retry, a method of fsmflow (a state takes that: State(..., "
        "retry=Retry(max=3))); choose another name, such as 'retry_door'"
    )


def test_so_is_one_of_a_base_of_the_users() -> None:
    class Base(Machine):
        retries = 3

    with pytest.raises(DefinitionError, match="Base.retries = 3 sets nothing"):
        type("Door", (Base,), BODY)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_amount", 1000),
        ("currency", "EUR"),
        ("names", ["ada", "bob"]),
        ("versions", [1, 2]),
        ("limits", {"small": 10}),
        ("jobs_per_day", 5),
        ("stages", ["a", "b"]),
        ("items", ("a",)),
        ("RETRIES", 3),
        ("_retries", 3),
        ("limit", "a sentence of the user's"),
        ("delay", None),
        ("schedules", ["0 3 * * *"]),
        ("pending", State("pending")),
        ("redact", ["card"]),
        ("version", 1),
        ("sends_as", ["clerk"]),
    ],
)
def test_a_constant_of_the_users_is_none_of_our_business(name: str, value: Any) -> None:
    made(**{name: value})


@pytest.mark.parametrize("name", ["retries", "timeout", "limit", "queue", "schedul"])
def test_a_method_or_property_may_have_such_a_name(name: str) -> None:
    for value in (lambda self: 3, property(lambda self: 3), staticmethod(lambda: 3), type("Inner", (), {})):
        made(**{name: value})


def test_a_constant_that_a_method_reads_is_one() -> None:
    class Loan(Machine):
        initial = "open"
        states = ["open", State("granted", final=True)]
        transitions = [["grant", "open", "granted", "is_small"]]
        limit = 500
        retries = 3
        timeout = 30

        def is_small(self) -> bool:
            return bool(self.data["amount"] < self.limit)

        @property
        def tries(self) -> list[int]:
            return [self.retries for _ in range(2)]

        @staticmethod
        def seconds() -> int:
            return Loan.timeout

    assert Loan.limit == 500
