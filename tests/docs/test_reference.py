"""The reference of machines has all that they can do, what is needed first at its head."""

from __future__ import annotations

import re

from fsmflow import Machine
from fsmflow.definition.compile import DECLARATIONS
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "reference" / "machine.md").read_text(encoding="utf-8")
LISTED = re.findall(r"^        - (\w+)$", PAGE, re.MULTILINE)
#: What a class declares is in the table of the page.
DECLARED = {"name", "initial", "states", "transitions"}


def test_it_begins_with_how_an_entity_is_started_and_found() -> None:
    assert LISTED[:3] == ["start", "get", "find"]


def test_it_lists_all_that_a_machine_can_do() -> None:
    assert set(LISTED) == {name for name in dir(Machine) if not name.startswith("_")} - DECLARED
    assert len(LISTED) == len(set(LISTED))


def test_it_lists_the_names_that_are_taken() -> None:
    (listed,) = re.findall(r"These are taken, and all .*?:\n\n(.*?)\.\n\n", PAGE, re.DOTALL)
    assert re.findall(r"`(\w+)`", listed) == [
        name for name in dir(Machine) if not name.startswith("_") and name not in DECLARATIONS
    ]
