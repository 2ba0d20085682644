"""What is said in Python is said by the same words on the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import click
import pytest

from fsmflow import DataError, Machine, UnknownState
from fsmflow.cli.catalogue import CATALOGUE
from fsmflow.decision.actions import ACTIONS
from tests.cli.orders import Order
from tests.support.terminal import Terminal

#: Of which machine, and which entity: in Python that is the class and the handle; how it is printed; what narrows.
OF_THE_COMMAND_LINE = {"machine", "json", "role", "help", "from", "dry-run", "set", "yes"}
#: What a program gives by its place, and what only a program has.
OF_PYTHON = {"fields", "within"}


def options_of(name: str) -> set[str]:
    (command,) = [entry.load() for entry in CATALOGUE if entry.name == name]
    options = [option for option in command.params if isinstance(option, click.Option)]
    return {word.removeprefix("--") for option in options for word in option.opts if word.startswith("--")}


def parameters_of(method: Callable[..., Any]) -> set[str]:
    every = inspect.signature(method).parameters.values()
    named = [one.name for one in every if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return {name.replace("_", "-") for name in named} - {"self", *OF_PYTHON}


SELECTING = parameters_of(Order.find) | {"where"}


def test_find_and_list_take_the_same() -> None:
    assert options_of("list") - OF_THE_COMMAND_LINE == parameters_of(Order.find)


def test_start_takes_the_same() -> None:
    assert options_of("start") - OF_THE_COMMAND_LINE == parameters_of(Machine.start) | {"data"}


def test_trigger_takes_the_same() -> None:
    assert options_of("trigger") - OF_THE_COMMAND_LINE == parameters_of(Machine.trigger) | {"data"}


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_takes_the_same(name: str) -> None:
    parameters = parameters_of(getattr(Machine, name))
    assert parameters <= options_of(name)
    assert options_of(name) - parameters - OF_THE_COMMAND_LINE <= SELECTING


def test_a_phase_that_is_asked_for_as_a_state_is_named(shell: Terminal, declined: None) -> None:
    hint = "'failed' is a phase: say phase='failed', or --phase failed"
    assert hint in shell.refused("list", "--state", "failed")
    assert hint in shell.refused("list", "--machine", "order", "--state", "failed")
    assert hint in shell.refused("retry", "--state", "failed")
    with pytest.raises(UnknownState, match="say phase='failed'"):
        next(Order.find(state="failed"))


def test_a_state_that_is_asked_for_as_a_phase(declined: None) -> None:
    with pytest.raises(DataError, match=r"it is one of waiting, .*; a state is state="):
        Order.find(phase="charging")


@pytest.mark.parametrize("word", ["--data", "--where"])
def test_data_and_where_select_alike_where_nothing_is_changed(shell: Terminal, declined: None, word: str) -> None:
    assert [one["entity_id"] for one in shell.json("list", word, "customer.no:=3")] == ["3"]
    assert [one.entity_id for one in Order.find(data={"customer.no": 3})] == ["3"]
