"""A folder with machines of its own, and the command line in it as a user meets it: each command is a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import stem
from tests.support.paths import ROOT
from tests.support.terminal import Done

CLI = ("-m", "fsmflow.cli")
RETRY = (str(ROOT / "scripts" / "retry.py"),)
NOWHERE = {
    "postgres": "postgresql://ada:sesame@127.0.0.1:1/shop",
    "mysql": "mysql://ada:sesame@127.0.0.1:1/shop",
    "redis": "redis://ada:sesame@127.0.0.1:1/0",
}
MACHINES = '''
from fsmflow import Machine, State

class Order(Machine):
    """Charge; large orders are reviewed."""

    initial = "pending"
    states = [
        "pending",
        State("charging", job="charge"),
        State("review", timeout=86_400),
        State("shipped", final=True),
    ]
    transitions = [
        ["submit", "pending", "charging", "has_amount"],
        ["rate", "pending", None],
        ["done", "charging", "review", "is_large"],
        ["done", "charging", "shipped"],
        {"trigger": "approve", "source": "review", "dest": "shipped", "roles": ["manager"]},
        ["timeout", "review", "shipped"],
        ["price", "pending", "=", "is_cheap"],
    ]

    def has_amount(self):
        return "amount" in self.data

    def is_large(self):
        return self.data["amount"] > 1000

    def is_cheap(self):
        return self.data["price"] < 10

    def charge(self):
        error = self.data.get("error")
        if error == "slow":
            raise TimeoutError("the gateway is slow")
        if error == "card":
            raise ValueError(f"card of order {self.entity_id} was declined")
        return {"charged": True}

class Refund(Machine):
    initial = "asked"
    states = ["asked", State("paid", final=True)]
    transitions = [["pay", "asked", "paid"]]
'''
PING = """
from fsmflow import Machine, State

class Ping(Machine):
    initial = "on"
    states = [State("on", timeout=5), State("off", final=True)]
    transitions = [["timeout", "on", "off"]]
"""


@dataclass
class Shop:
    """A folder with ``machines.py``, and the command line in it."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, program: tuple[str, ...] = CLI, text: str | None = None) -> Done:
        if program == CLI:
            return Done(*stem.run(arguments, cwd=self.folder, env=self.environment, text=text, timeout=60))
        command = [sys.executable, *program, *arguments]
        ended = subprocess.run(
            command, cwd=self.folder, env=self.environment, input=text, capture_output=True, text=True, timeout=60
        )
        return Done(ended.returncode, ended.stdout, ended.stderr)

    @property
    def environment(self) -> dict[str, str]:
        own = {"PYTHONPATH": str(ROOT), "FSMFLOW_HOME": str(self.folder / "home")}
        return {**os.environ, **own, **self.variables}

    def ok(self, *arguments: str, text: str | None = None) -> str:
        """What it prints; it does as asked."""
        done = self.run(*arguments, text=text)
        assert done.status == 0, done
        return done.out

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "--json"))

    def refused(self, *arguments: str) -> str:
        """The error; it is told in one line, and the exit status is 1."""
        done = self.run(*arguments)
        assert (done.status, done.err.count("\n")) == (1, 1), done
        assert done.err.startswith("Error: ")
        return done.err

    def misused(self, *arguments: str) -> str:
        """What it says; the exit status is 2."""
        done = self.run(*arguments)
        assert (done.status, done.out) == (2, ""), done
        assert "Traceback" not in done.err
        return done.err

    def states(self) -> dict[str, str]:
        return {found["address"]: found["state"] for found in self.json("list")}
