"""What a type checker tells users: what is right is understood, and what is wrong is told, line by line."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import fsmflow
from tests.support.paths import ROOT

HERE = Path(__file__).parent
RIGHT, WRONG = HERE / "right.py", HERE / "wrong.py"


def test_right_lines_have_their_types_and_wrong_ones_their_errors(tmp_path: Path) -> None:
    # The last of these says that a line is wrong which is not: so it is seen that mypy tells.
    untrue = tmp_path / "untrue.py"
    untrue.write_text("total: int = 1  # type: ignore[assignment]\n", encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--no-error-summary", str(RIGHT), str(WRONG), str(untrue)]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    # Without its folder: mypy repeats from its cache what it said of a file of this name before.
    told = checked.stdout.rpartition("/")[2]
    assert checked.stdout.count("\n") == 1
    assert told == 'untrue.py:1: error: Unused "type: ignore" comment  [unused-ignore]\n'


def test_each_wrong_line_names_the_error_that_it_is_to_get() -> None:
    calls = re.findall(
        r"^    (?!with |def )(.+)$", WRONG.read_text(encoding="utf-8").partition("def ")[2], re.MULTILINE
    )
    assert len(calls) > 60
    assert [call for call in calls if not re.search(r"  # type: ignore\[[a-z-]+\]$", call)] == []


def test_each_public_name_has_its_right_lines() -> None:
    public = {name for name in fsmflow.__all__ if not is_error(getattr(fsmflow, name))}
    assert public <= set(re.findall(r"\w+", RIGHT.read_text(encoding="utf-8")))


def is_error(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, BaseException)
