"""The README's example, as a new user meets it: a fresh folder, the commands that the README names, a real worker."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
MARKED = re.compile(r'<!-- runs as a test -->\n```python title="machines.py"\n(.*?)```\n', re.DOTALL)
FSMFLOW = [sys.executable, "-m", "fsmflow.cli"]
PROGRAMS = {"fsmflow": FSMFLOW, "python": [sys.executable]}
LIMIT_S = 60.0


class NewUser:
    """Somebody who types what the README says into a shell, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ours = {"FSMFLOW_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
        self._environment = {**os.environ, **ours}
        self._worker: subprocess.Popen[bytes] | None = None

    def type(self, command: str) -> str:
        """Run a command that stands in the README; what it prints."""
        assert f"`{command}`" in README
        return self._run([*words(command)])

    def show(self, address: str) -> dict[str, Any]:
        """What ``fsmflow show`` tells programs about an entity."""
        found: dict[str, Any] = json.loads(self._run([*FSMFLOW, "show", address, "--json"]))
        return found

    def history(self, address: str) -> list[dict[str, Any]]:
        """What ``fsmflow history`` tells programs about an entity."""
        found: list[dict[str, Any]] = json.loads(self._run([*FSMFLOW, "history", address, "--json"]))
        return found

    def found(self, machines: str) -> str:
        """What ``fsmflow check`` says of the machines of these modules."""
        return self._run([*FSMFLOW, "check"], FSMFLOW_MACHINES=machines)

    def start(self, command: str) -> None:
        """Run a command that stands in the README, and leave it running."""
        assert f"`{command}`" in README
        with (self.folder / "worker.log").open("wb") as log:
            self._worker = subprocess.Popen(
                words(command),
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        """SIGTERM to what was left running; it exits with status 0."""
        if self._worker is not None:
            self._worker.terminate()
            try:
                assert self._worker.wait(LIMIT_S) == 0
            finally:
                self._worker.kill()
                self._worker.wait()

    def _run(self, command: list[str], **variables: str) -> str:
        run = subprocess.run(
            command,
            cwd=self.folder,
            env={**self._environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        return run.stdout


def words(command: str) -> list[str]:
    """A command as this machine has it: fsmflow need not be installed."""
    program, *rest = shlex.split(command)
    return [*PROGRAMS[program], *rest]


@pytest.fixture
def user(tmp_path: Path) -> Iterator[NewUser]:
    """A new user, whose processes end with the test."""
    made = NewUser(tmp_path)
    yield made
    made.stop()


def test_the_example_does_what_the_readme_says(user: NewUser) -> None:
    (example,) = MARKED.findall(README)
    (user.folder / "machines.py").write_text(example, encoding="utf-8")
    assert [user.type("python machines.py") for _ in range(2)] == ["signup:1 is in welcoming\n"] * 2
    user.start("fsmflow worker")
    failed = eventually(lambda: in_phase(user.show("signup:1"), "failed"), within=LIMIT_S, what="the failure")
    assert (failed["state"], failed["failure"]["attempts"]) == ("failed_from_welcoming", 2)
    explained = user.type("fsmflow explain signup:1")
    assert "failed_from_welcoming" in explained
    assert re.search(r"blocked by:\s+FileNotFoundError", explained)
    assert re.search(r"allowed now:.*\bretry\b", explained)
    (user.folder / "letter.txt").write_text("welcome aboard\n", encoding="utf-8")
    user.type("fsmflow retry signup:1")
    welcomed = eventually(lambda: in_phase(user.show("signup:1"), "finished"), within=LIMIT_S, what="the letter")
    assert (welcomed["state"], welcomed["data"]["letter"]) == ("welcomed", "Dear Ada, welcome aboard\n")
    assert user.type("fsmflow history signup:1").count("\n") == 1 + len(HISTORY)
    assert [entry["trigger"] or entry["kind"] for entry in user.history("signup:1")] == HISTORY
    assert user.type("python machines.py") == "signup:1 is in welcomed\n"
    (driving,) = re.findall(r'```python title="drive.py"\n(.*?)```', README, re.DOTALL)
    (user.folder / "drive.py").write_text(driving, encoding="utf-8")
    assert user.type("python drive.py").endswith(" is in welcomed\n")


def test_the_larger_examples_are_found_beside_ones_own(user: NewUser) -> None:
    (example,) = MARKED.findall(README)
    (user.folder / "machines.py").write_text(example, encoding="utf-8")
    assert "`cp -r /path/to/checkout/machines examples`" in README
    shutil.copytree(ROOT / "machines", user.folder / "examples")
    (modules,) = re.findall(r"`export FSMFLOW_MACHINES=([\w,]+)`", README)
    assert all(name in user.found(modules) for name in ("signup", "order", "podcast", "invitation"))


#: All that the README says has happened, in order.
HISTORY = ["start", "submit", "attempt_failed", "fail", "retry", "done"]


def in_phase(shown: dict[str, Any], phase: str) -> dict[str, Any] | None:
    """The entity, once it is in that phase."""
    return shown if shown["phase"] == phase else None


def test_the_example_is_short_enough_to_be_read() -> None:
    (example,) = MARKED.findall(README)
    assert len([line for line in example.splitlines() if line.strip()]) <= 30


@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?:)([^)#]+)\)", README))
def test_what_the_readme_links_to_is_there(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize("command", re.findall(r"^python (scripts/\S+)", README, re.MULTILINE))
def test_the_scripts_that_the_readme_names_are_there(command: str) -> None:
    assert (ROOT / command).is_file()
