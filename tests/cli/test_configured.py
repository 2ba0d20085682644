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


FOREIGN = """
class Connection:
    __module__ = "mysql.connector.connection_cext"
    server_version = (8, 0, 30)

    def close(self):
        pass


class ConnectorDatabase(peewee.MySQLDatabase):
    def _connect(self):
        return Connection()


db = ConnectorDatabase("shop")
"""


def fsmflow(folder: Path, *arguments: str) -> str:
    ended = run(folder, *arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "fsmflow.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_every_command_works_on_the_database_that_the_machines_configure(tmp_path: Path) -> None:
    (tmp_path / "machines.py").write_text(MACHINES)
    assert "shop.db" in fsmflow(tmp_path, "init")
    fsmflow(tmp_path, "start", "order", "1")
    assert "order:1" in fsmflow(tmp_path, "list")
    assert "order:1 is in new" in fsmflow(tmp_path, "explain", "order:1")
    assert not (tmp_path / ".fsmflow" / "fsmflow.db").exists()


def test_a_driver_that_fsmflow_does_not_work_with_is_refused_in_one_line(tmp_path: Path) -> None:
    ours = 'db = peewee.SqliteDatabase("shop.db")\n'
    (tmp_path / "machines.py").write_text(MACHINES.replace(ours, FOREIGN))
    for arguments in (["init"], ["check", "--database"], ["list"], ["worker", "--burst"]):
        ended = run(tmp_path, *arguments)
        assert ended.returncode != 0
        assert "fsmflow does not work with the database driver mysql.connector.connection_cext; install" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert ended.stderr.count("\n") == 1
