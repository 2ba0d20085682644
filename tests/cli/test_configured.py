"""Machines that configure a database of their own are asked for it by every command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

MACHINES = """
import peewee
import fsmflow
from fsmflow import Machine, State

db = peewee.SqliteDatabase("shop.db")
fsmflow.configure(database=db)


class Order(Machine):
    initial = "new"
    states = ["new", State("over", final=True)]
    transitions = [["end", "new", "over"]]
"""


def fsmflow(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "fsmflow.cli", *arguments]
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_every_command_works_on_the_database_that_the_machines_configure(tmp_path: Path) -> None:
    (tmp_path / "machines.py").write_text(MACHINES)
    assert "shop.db" in fsmflow(tmp_path, "init")
    fsmflow(tmp_path, "start", "order", "1")
    assert "order:1" in fsmflow(tmp_path, "list")
    assert "order:1 is in new" in fsmflow(tmp_path, "explain", "order:1")
    assert not (tmp_path / ".fsmflow" / "fsmflow.db").exists()
