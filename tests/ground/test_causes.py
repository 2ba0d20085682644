"""Where an error was raised, by its traceback as it is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fsmflow.causes import blocks, place_in
from fsmflow.errors import GuardError
from tests.support.paths import ROOT

NOTHING: dict[str, int] = {}
HERE = "tests/ground/test_causes.py"


def looks_up() -> None:
    NOTHING["totl"]


def decodes() -> None:
    json.loads("{")


def links() -> None:
    try:
        looks_up()
    except KeyError as error:
        raise ValueError("no total") from error


def guards() -> None:
    try:
        looks_up()
    except KeyError as error:
        raise GuardError("order:1", "open", "close", "is_ready", "raised") from error


def gathers() -> None:
    found: list[Exception] = []
    for raises in (looks_up, decodes):
        try:
            raises()
        except Exception as error:  # noqa: BLE001 - all of them are gathered
            found.append(error)
    raise ExceptionGroup("two", found)


def place_of(raises: Callable[[], None], kind: str) -> str | None:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever it raises
        raises()
    return place_in("".join(blocks(caught.value)), kind)


def line_of(text: str) -> str:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return f"{HERE}:{next(number for number, line in enumerate(lines, 1) if line.strip().startswith(text))}"


@pytest.mark.parametrize(
    ("raises", "kind", "line"),
    [
        (looks_up, "KeyError", 'NOTHING["totl"]'),
        (decodes, "JSONDecodeError", 'json.loads("{")'),  # raised in a library, which this line called
        (links, "ValueError", 'raise ValueError("no total")'),
        (guards, "KeyError", 'NOTHING["totl"]'),  # what is recorded of a guard is what it raised
        (gathers, "ExceptionGroup", "raise ExceptionGroup("),
    ],
)
def test_the_place_is_the_last_line_of_the_users_code(
    raises: Callable[[], None], kind: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert place_of(raises, kind) == line_of(line)


def test_a_file_that_is_elsewhere_is_told_with_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert place_of(looks_up, "KeyError") == line_of('NOTHING["totl"]').removeprefix("tests/")


@pytest.mark.parametrize(
    "file",
    [
        f"{ROOT}/fsmflow/codec.py",
        "/venv/lib/python3.12/site-packages/stripe/api.py",
        "/usr/lib/python3.12/json/decoder.py",
        "<string>",
    ],
)
def test_there_is_none_where_no_code_of_the_user_was_on_the_way(file: str) -> None:
    text = f'Traceback (most recent call last):\n  File "{file}", line 7, in load\n    load()\nKeyError: 1\n'
    assert place_in(text, "KeyError") is None


@pytest.mark.parametrize("text", ["", "KeyError: 1\n", "gone", 'Traceback (most recent call last):\n  File "x'])
def test_there_is_none_where_nothing_says_so(text: str) -> None:
    assert place_in(text, "KeyError") is None


def test_what_was_recorded_of_another_error_is_not_taken_for_its_place() -> None:
    assert place_of(looks_up, "BranchFailed") is None
