"""The command line in this process, for what a sandbox shows faster than a process of its own."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from fsmflow.cli.main import cli, run


@dataclass
class Done:
    """What came of a command."""

    status: int
    out: str
    err: str


class Terminal:
    """Runs commands, and takes what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        monkeypatch.setattr(sys, "path", list(sys.path))

    def run(self, *arguments: str) -> Done:
        self._capsys.readouterr()
        status = run(cli, arguments, "fsmflow")
        captured = self._capsys.readouterr()
        return Done(status, captured.out, captured.err)

    def ok(self, *arguments: str) -> str:
        """What it prints; it does as asked."""
        done = self.run(*arguments)
        assert done.status == 0, done
        return done.out

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "--json"))

    def refused(self, *arguments: str) -> str:
        """The error; the exit status is 1."""
        done = self.run(*arguments)
        assert done.status == 1, done
        return done.err

    def misused(self, *arguments: str) -> str:
        """What it says; the exit status is 2."""
        done = self.run(*arguments)
        assert (done.status, done.out) == (2, ""), done
        return done.err
