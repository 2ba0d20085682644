"""The records of decisions are whole, and what they name is there: modules, tests, headings, the line in the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT

FOLDER = ROOT / "docs" / "decisions"
INDEX = FOLDER / "index.md"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
HEADINGS = ["Chosen", "Why", "Rejected", "What it costs", "How we would notice that it was wrong", "Where it stands"]
#: Records are a page.
FEWEST, MOST = 30, 70
#: Of a module a record says where it is in fsmflow, of anything else where it is in the checkout.
PLACE = re.compile(r"`([a-z_./]+(?:\.py|\.cfg|/[a-z_]+))`")
TEST = re.compile(r"`(test_\w+)`")
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^ *def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}


def test_records_are_numbered_without_gaps() -> None:
    assert [int(path.name[:2]) for path in RECORDS] == list(range(1, len(RECORDS) + 1))


def test_the_index_has_a_line_for_each_record_in_order() -> None:
    lines = re.findall(r"^\| (\d+) \| \[.+\]\((.+)\) \| .+ \|$", INDEX.read_text(encoding="utf-8"), re.MULTILINE)
    assert lines == [(str(number), path.name) for number, path in enumerate(RECORDS, 1)]


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
class TestRecord:
    def test_it_has_its_number_and_all_that_a_record_tells(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(path.name[:2])}. ")
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert [heading for heading in headings if heading in HEADINGS] == HEADINGS

    def test_it_is_a_page(self, path: Path) -> None:
        assert FEWEST <= len(path.read_text(encoding="utf-8").splitlines()) <= MOST

    def test_the_modules_and_tests_that_it_names_are_there(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        stands = text.partition("## Where it stands")[2]
        assert PLACE.search(stands)
        assert TEST.search(stands)
        missing = [place for place in PLACE.findall(text) if not is_there(place)]
        missing += [name for name in TEST.findall(text) if name not in TESTS]
        assert missing == []


def is_there(place: str) -> bool:
    """Whether a module or folder is in fsmflow, or in the checkout."""
    return (ROOT / "fsmflow" / place).exists() or (ROOT / place).exists()
