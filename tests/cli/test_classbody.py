"""``fsmflow types``: lines for triggers without a type, in the file of their machine and nowhere else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fsmflow
from fsmflow.cli.classbody import with_lines
from fsmflow.testing import sandbox
from tests.support.loans import Loan
from tests.support.terminal import Terminal

SOURCE = '''\
"""Machines."""

from fsmflow import Machine, State


class Odd(Machine):
    """Has no types."""

    initial   = "a"
    states = ["a", State("z", final=True)]
    transitions = [
        ["go_on", "a", "z"],   # as it stands
        ["stop_it", "a", "z"],
    ]

    def helps(self): return 1
'''
WRITTEN = SOURCE.replace("import Machine, State\n", "import Machine, State\nfrom fsmflow import Trigger\n").replace(
    "    ]\n\n    def", "    ]\n\n    go_on: Trigger[object]\n    stop_it: Trigger[object]\n\n    def"
)


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Without a box: the machines are those of the settings."""
    return Terminal(capsys, monkeypatch)


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "odd_machines.py"
    path.write_text(SOURCE)
    path.chmod(0o640)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield path
    sys.modules.pop("odd_machines", None)


def test_what_would_be_added_is_shown_and_then_written(odd: Path, shell: Terminal) -> None:
    machine: Any = importlib.import_module("odd_machines").Odd
    fsmflow.configure(machines=[machine])
    told = shell.ok("types", "odd")
    assert "+    go_on: Trigger[object]" in told
    assert odd.read_text() == SOURCE
    assert shell.json("types")["missing"] == {"odd": ["go_on", "stop_it"]}
    shell.ok("types", "odd", "--write")
    assert odd.read_text() == WRITTEN
    assert odd.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in odd.parent.glob("*.py")] == [odd.name]
    del sys.modules["odd_machines"]
    written: Any = importlib.import_module("odd_machines").Odd
    fsmflow.configure(machines=[written])
    assert shell.ok("types") == "every trigger has a type\n"
    with sandbox(machines=[written]):
        assert written.start("1").go_on(any_thing=[1]).payload == {"any_thing": [1]}


def test_lines_go_after_those_that_are_there_and_the_form_stays() -> None:
    source = (SOURCE.replace("import Machine, State", "import Machine, State, Trigger as T")).replace("\n", "\r\n")
    first = with_lines(source, "Odd", ["go_on"])
    assert first.replace("\r\n", "").count("\n") == 0
    again = with_lines(first.replace("T[object]", "T[Trigger]"), "Odd", ["stop_it"])
    assert "    go_on: T[Trigger]\r\n    stop_it: T[object]\r\n" in again
    whole = with_lines("import fsmflow\nclass A(fsmflow.Machine):\n  initial = 'a'", "A", ["x"])
    assert whole.endswith("  initial = 'a'\n\n  x: fsmflow.Trigger[object]")
    with pytest.raises(fsmflow.ConfigurationError, match="is not written out in its file"):
        with_lines(SOURCE, "Other", ["x"])


def test_check_names_what_has_no_type_beside_others(shell: Terminal, tmp_path: Path) -> None:
    class Half(Loan):
        """One trigger more than its base has types for."""

        name = "half"
        transitions = [*Loan.transitions, ["more", "open", None]]

    fsmflow.configure(machines=[Half], home=str(tmp_path))
    assert "'more' has no type, as other triggers have: 'fsmflow types half --write' adds it" in shell.ok("check")
