"""The words of the code are where the page says, each once, and none is a word of the glossary for users as well."""

from __future__ import annotations

import re

import pytest

from tests.support.paths import ROOT

LINE = re.compile(r"^\| (?P<word>[^|]+) \| (?P<meaning>[^|]+) \| `(?P<place>[^`]+)` \|$", re.MULTILINE)
WORDS = (ROOT / "docs" / "words.md").read_text(encoding="utf-8")
LINES = LINE.findall(WORDS)


def test_each_line_is_a_word_its_meaning_and_its_place() -> None:
    rows = [line for line in WORDS.splitlines() if line.startswith("| ") and line != "| word | meaning | where |"]
    assert len(rows) == len(LINES)


def test_each_word_has_one_meaning() -> None:
    words = [word for word, _, _ in LINES]
    assert len(words) == len(set(words))
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    for_users = set(re.findall(r"^\| ([^|]+) \|", glossary, re.MULTILINE))
    assert set(words) & for_users == set()


@pytest.mark.parametrize(("word", "place"), [(word, place) for word, _, place in LINES])
def test_what_the_word_names_is_where_the_page_says(word: str, place: str) -> None:
    assert (ROOT / "fsmflow" / place).is_file() or (ROOT / place).is_file(), word
