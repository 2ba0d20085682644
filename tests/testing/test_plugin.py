"""The fixture that pytest finds once fsmflow is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import fsmflow


def test_the_fixture(tmp_path: Path) -> None:
    """It may be opened more than once, and all are left with the test."""
    (tmp_path / "test_of_a_user.py").write_text(
        """
from fsmflow import Machine, State
from fsmflow.engine.runtime import stand_in

class Job(Machine):
    initial = "new"
    states = ["new", State("doing", job="do"), State("over", final=True)]
    transitions = [["go", "new", "doing"], ["done", "doing", "over"]]

    def do(self):
        pass

def test_one(fsmflow_sandbox):
    box = fsmflow_sandbox(machines=[Job])
    Job.start("1").go()
    assert box.run() == 1
    fsmflow_sandbox([Job])
    assert list(Job.find()) == []

def test_two():
    assert stand_in() is None
"""
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:fsmflow"]
    command += ["-p", "fsmflow.testing.plugin", "test_of_a_user.py"]
    path = {"PYTHONPATH": str(Path(fsmflow.__file__).parent.parent)}
    ran = subprocess.run(command, cwd=tmp_path, env={**os.environ, **path}, capture_output=True, text=True, timeout=60)
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr
