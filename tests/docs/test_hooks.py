"""What git runs at each commit: checks of scripts/test.py, by the same commands, and the form of the message."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

CONFIG = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
HOOKS = dict(re.findall(r"^ +- id: (\w+)\n(?:.*\n)*? +entry: (.+)$", CONFIG, re.MULTILINE))
SUBJECT = "Say why a commit is made"


def checks() -> dict[str, str]:
    """The commands of scripts/test.py, as one types them."""
    source = (ROOT / "scripts" / "test.py").read_text(encoding="utf-8")
    table = re.search(r"^CHECKS = \{\n(.*?)^\}", source, re.MULTILINE | re.DOTALL)
    assert table is not None
    found = {}
    for name, command in re.findall(r'^    "([\w ]+)": \[(.+)\],$', table[1], re.MULTILINE):
        words = command.replace("sys.executable", '"python"')
        found[name] = " ".join(re.findall(r'"([^"]+)"', words))
    return found


@pytest.mark.parametrize("name", ["style", "format", "imports", "floors", "spelling"])
def test_a_hook_runs_the_command_of_the_check(name: str) -> None:
    assert HOOKS[name] == checks()[name]


def test_nothing_is_fetched_and_nothing_else_is_run() -> None:
    assert re.findall(r"repo: (.+)", CONFIG) == ["local"]
    assert set(re.findall(r"language: (.+)", CONFIG)) == {"system"}
    assert set(HOOKS) <= {*checks(), "message"}


def told(message: str, folder: Path) -> list[str]:
    """What the hook says to a message, and by its exit status that it is refused."""
    path = folder / "message"
    path.write_text(message, encoding="utf-8")
    command = [sys.executable, *HOOKS["message"].split()[1:], str(path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == bool(run.stderr)
    return run.stderr.splitlines()


@pytest.mark.parametrize(
    "message",
    [
        f"{SUBJECT}\n",
        f"{SUBJECT}\n\nBecause a reader asks.\n",
        f"\n# a comment of git's\n{SUBJECT}\n\n{'b' * 100}\n",
        f"{'s' * 72}\n",
        f"{SUBJECT}\n\nbody\n# ------------------------ >8 ------------------------\n{'d' * 100}\n",
        f"fixup! {'s' * 72}\n",
        "",
    ],
)
def test_a_message_that_is_well_formed(message: str, tmp_path: Path) -> None:
    assert told(message, tmp_path) == []


def test_a_subject_that_is_too_long(tmp_path: Path) -> None:
    expected = ["the subject has 73 characters; 72 are allowed: the why goes into the body"]
    assert told("s" * 73, tmp_path) == expected
    assert told(f"# a comment\n\n{'ö' * 73}\n\nbody\n", tmp_path) == expected


def test_a_body_right_below_the_subject(tmp_path: Path) -> None:
    assert told(f"{SUBJECT}\nbody\n", tmp_path) == ["a blank line belongs between the subject and the body"]
