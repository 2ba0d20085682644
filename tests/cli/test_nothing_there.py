"""Where there is no database yet, whoever only asks, or is refused, leaves none behind."""

from __future__ import annotations

import pytest

from tests.cli.shop import Shop

COMMANDS = (
    "users add ann",
    "users list",
    "users disable ann",
    "users enable ann",
    "users logout ann",
    "users remove ann",
    "users password ann",
    "tokens make",
    "tokens list",
    "tokens revoke 5f2c7a9b01de",
    "hooks",
    "hooks list",
    "hooks show d15468a0",
    "hooks replay d15468a0",
    "hooks drop d15468a0",
    "waiting",
    "link order:1 submit --for ann@example.org --base-url https://shop.example",
    "repair list",
    "repair show 1",
    "repair stop 1 --reason x",
    "repair resume 1",
    "retry --machine order",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_finds_nothing_makes_no_database(shop: Shop, command: str) -> None:
    before = sorted(path.name for path in shop.folder.iterdir())
    shop.run(*command.split())
    assert sorted(path.name for path in shop.folder.iterdir()) == before
