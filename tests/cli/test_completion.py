"""A shell completes commands, options, machines, states and triggers."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from fsmflow import configure
from fsmflow.cli.main import cli
from fsmflow.testing import Sandbox
from tests.cli.orders import Order, Shipment
from tests.cli.shop import MACHINES
from tests.support.paths import ROOT


@pytest.fixture(autouse=True)
def orders(box: Sandbox) -> None:
    configure(machines=[Order, Shipment])


def completed(*words: str) -> list[str]:
    """What follows on these words; the last one is only begun."""
    *before, incomplete = words
    found = ShellComplete(cli, {}, "fsmflow", "_FSMFLOW_COMPLETE").get_completions(list(before), incomplete)
    return [item.value for item in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("st",), ["start", "stats"]),
        (("--ver",), ["--version"]),
        (("list", "--ph"), ["--phase"]),
        (("list", "--phase", "f"), ["failed", "finished"]),
        (("start", ""), ["order", "shipment"]),
        (("start", "sh"), ["shipment"]),
        (("list", "--machine", "o"), ["order"]),
        (("verify", "--machine", "o"), ["order"]),
        (("draw", "o"), ["order"]),
        (("trigger", "o"), ["order:"]),
        (("show", "sh"), ["shipment:"]),
        (("retry", "or"), ["order:"]),
        (("trigger", "order:1", "g"), ["go"]),
        (("trigger", "shipment:1", "g"), []),
        (("list", "--state", "failed_from_ch"), ["failed_from_charging"]),
        (("start", "order", "1", "--state", "cha"), ["charging"]),
        (("list", "--machine", "shipment", "--state", "cha"), []),
        (("force", "order:1", "cha"), ["charging"]),
        (("force", "shipment:1", "cha"), []),
        (("force", "--reason", "asked", "o"), ["order:"]),
    ],
)
def test_what_is_completed(words: tuple[str, ...], expected: list[str]) -> None:
    assert completed(*words) == expected


def test_what_the_engine_alone_fires_is_no_trigger_to_type() -> None:
    assert "go" in completed("trigger", "order:1", "")
    assert {"done", "fail"} & set(completed("trigger", "order:1", "")) == set()


def test_nothing_is_completed_where_the_machines_cannot_be_imported() -> None:
    configure(machines="there_is_no_such_module")
    assert completed("start", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_its_script(shell: str, tmp_path: Path) -> None:
    script = run(tmp_path, _FSMFLOW_COMPLETE=f"{shell}_source")
    assert "_FSMFLOW_COMPLETE" in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_what_is_typed(tmp_path: Path) -> None:
    (tmp_path / "machines.py").write_text(MACHINES)
    program = tmp_path / "fsmflow"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fsmflow.cli "$@"\n')
    program.chmod(0o755)
    typed = """eval "$(_FSMFLOW_COMPLETE=bash_source fsmflow)"
COMP_WORDS=(fsmflow start o); COMP_CWORD=2; _fsmflow_completion fsmflow; echo "${COMPREPLY[@]}"
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    shell = subprocess.run(
        ["bash", "-c", typed], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert shell.stdout.split() == ["order"]


def run(folder: Path, **variables: str) -> str:
    """What the command line prints, asked by a shell."""
    return subprocess.run(
        [sys.executable, "-c", "from fsmflow.cli.main import main; main()"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
