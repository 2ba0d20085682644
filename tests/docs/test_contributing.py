"""What CONTRIBUTING.md names is there: links, scripts, folders of tests, and each check that is run."""

from __future__ import annotations

import re

import pytest

from tests.support.paths import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CHECKS = re.findall(r"^    \"(\w+)\": \[", (ROOT / "scripts" / "test.py").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE))
def test_what_it_links_to_is_there(link: str) -> None:
    assert (ROOT / link).is_file()


@pytest.mark.parametrize("place", sorted(set(re.findall(r"(?:scripts|tests|fsmflow)/[a-z_/]+(?:\.py)?", PAGE))))
def test_the_files_and_folders_that_it_names_are_there(place: str) -> None:
    assert (ROOT / place).exists()


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m (tests\.[a-z.]+)", PAGE))))
def test_the_attacks_that_it_names_can_be_run(module: str) -> None:
    assert (ROOT / module.replace(".", "/") / "__main__.py").is_file()


def test_each_check_has_a_line() -> None:
    assert CHECKS
    table = PAGE.partition("## The checks")[2].partition("## ")[0]
    assert [name for name in CHECKS if f"| {name} |" not in table] == []


def test_lines_are_short_enough_to_be_read() -> None:
    assert [line for line in PAGE.splitlines() if len(line) > 120 and not line.startswith("|")] == []
