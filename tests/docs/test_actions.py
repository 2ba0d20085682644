"""The table of operators' actions, and all that is made from it or has to agree with it."""

from __future__ import annotations

import inspect

import click
import pytest

from fsmflow import Machine
from fsmflow.cli.actions import ACTION_COMMANDS
from fsmflow.decision.actions import ACTIONS, Action
from fsmflow.decision.happenings import Asked, Triggered
from tests.support.paths import ROOT

each_action = pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)


def test_the_page_for_operators_has_the_table_as_it_is_made() -> None:
    rows = [f"| `{_called(action)}` | {action.where} | {action.does} |" for action in ACTIONS.values()]
    table = "\n".join(["| command | where | what it does |", "|---|---|---|", *rows])
    page = (ROOT / "docs" / "how-to" / "operate.md").read_text(encoding="utf-8")
    assert table in page, f"docs/how-to/operate.md has to have this table:\n{table}"


def _called(action: Action) -> str:
    places = [place.upper() for place in ("state", "event") if place in action.options]
    return " ".join([action.name, *places])


@each_action
def test_a_handle_has_a_typed_method_with_the_options_of_the_action(action: Action) -> None:
    parameters = inspect.signature(getattr(Machine, action.name)).parameters
    assert set(parameters) == {"self", "actor", "reason", "key", *action.options}
    assert all(
        parameter.annotation is not inspect.Parameter.empty for name, parameter in parameters.items() if name != "self"
    )


@each_action
def test_the_command_line_has_a_command_with_the_options_of_the_action(action: Action) -> None:
    command = ACTION_COMMANDS[action.name]
    names = {option for parameter in command.params for option in parameter.opts}
    assert ("--epoch" in names, "--new-key" in names, "--set" in names) == tuple(
        option in action.options for option in ("epoch", "new_key", "data")
    )
    assert {"--actor", "--reason", "--key", "--dry-run", "--json", "--where"} <= names
    arguments = [parameter.human_readable_name for parameter in command.params if isinstance(parameter, click.Argument)]
    assert arguments == ["[ADDRESS]...", *(place.upper() for place in ("state", "event") if place in action.options)]
    assert all(example in (command.help or "") for example in action.examples)


@each_action
def test_what_is_asked_is_a_happening_that_decide_knows(action: Action) -> None:
    options = {name: value for name, value in {"state": "packing", "event": 7}.items() if name in action.options}
    asked = action.asks(actor=None, reason="why", key="once", **options)
    assert isinstance(asked, Asked)
    assert isinstance(asked, action.happening)
    assert (asked.reason, asked.key) == ("why", "once")
    if isinstance(asked, Triggered):
        assert asked.trigger == action.name
