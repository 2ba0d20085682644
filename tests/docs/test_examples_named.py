"""The example machines are named alike wherever they are counted."""

from __future__ import annotations

import importlib
import pkgutil
import re

import machines
from fsmflow import Machine
from tests.support.paths import ROOT

COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def example_modules() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(machines.__path__)}


def example_machines() -> set[str]:
    """The names of the machines that the examples' modules define."""
    modules = [importlib.import_module(f"machines.{name}") for name in example_modules()]
    return {
        kind.name
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Machine) and kind.__module__ == module.__name__
    }


def test_the_package_counts_and_names_its_machines_and_what_they_call() -> None:
    told = machines.__doc__ or ""
    assert told.startswith(f"{COUNTS[len(example_machines())].capitalize()} machines")
    assert set(re.findall(r"``(\w+)``", told)) == example_machines() | example_modules()


def test_the_changelog_counts_and_names_the_same_machines() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    entry = re.search(r"^- (\w+) example machines: (.*?);", changelog, re.MULTILINE | re.DOTALL)
    assert entry is not None
    assert entry[1].lower() == COUNTS[len(example_machines())]
    assert set(re.findall(r"`(\w+)`", entry[2])) == example_machines()
