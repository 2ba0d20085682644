"""Real supervisors and worker processes for the tests, and the effects that jobs leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import fsmflow
from fsmflow.engine import runtime
from fsmflow.store.store import create_store
from tests.support.eventually import eventually
from tests.support.paths import ROOT

FLOWS = ("tests.support.process_flows", "tests.support.unruly_flows", "tests.support.loop_flows", "tests.support.tolls")
COMMAND = (sys.executable, "-m", "fsmflow.cli")


@dataclass(frozen=True)
class Effect:
    """What one run of a job left behind, outside of the database."""

    entity_id: str
    state: str
    attempt: int
    key: str
    pid: int
    at: float


class World:
    """One installation: its environment, its folder for effects and gates, its supervisors."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            **environment,
            "FSMFLOW_MACHINES": ",".join(FLOWS),
            "EFFECTS": str(folder),
            "PYTHONPATH": str(ROOT),
        }
        self.supervisors: list[Supervisor] = []

    def effects(self, entity_id: str, state: str | None = None) -> list[Effect]:
        """What the jobs of an entity have left behind, in order."""
        return [e for e in self.all_effects() if e.entity_id == entity_id and state in (None, e.state)]

    def all_effects(self) -> list[Effect]:
        """What all jobs have left behind, in order. A line that crosses a page of the file can be seen half written: it
        is left for the next look."""
        path = self.folder / "effects"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [Effect(**json.loads(line)) for line in lines if line.endswith("\n")]

    def effect(self, entity_id: str, state: str, attempt: int = 1, *, within: float = 30.0) -> Effect:
        """The effect of one attempt, waited for."""
        return eventually(
            lambda: next((e for e in self.effects(entity_id, state) if e.attempt == attempt), None),
            within=within,
            what=f"attempt {attempt} of {state!r} of {entity_id!r}",
        )

    def open(self, gate: str) -> None:
        """Let the jobs go on that wait at a gate."""
        (self.folder / gate).touch()

    def supervisor(self, *options: str, processes: int = 1) -> Supervisor:
        """A supervisor whose worker processes are ready."""
        started = Supervisor(self, ["worker", "--processes", str(processes), *options])
        self.supervisors.append(started)
        return started

    def close(self) -> None:
        for supervisor in self.supervisors:
            supervisor.kill()


class Supervisor:
    """A ``fsmflow worker`` process."""

    def __init__(self, world: World, arguments: list[str], command: Sequence[str] = COMMAND) -> None:
        self.log_path = world.folder / f"supervisor-{len(world.supervisors)}.log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *arguments],
                env=world.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL of the supervisor alone."""
        self.process.kill()
        self.process.wait()

    def ended(self, within: float = 30.0) -> int:
        """Its exit status, once it has ended."""
        return self.process.wait(timeout=within)

    def workers(self) -> list[int]:
        """The pids of its worker processes, the one standing by included."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


@contextmanager
def world(folder: Path, environment: Mapping[str, str]) -> Iterator[World]:
    """A world whose processes all end with it."""
    made = World(folder, environment)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def installation(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, database_url: str, redis_url: str
) -> Iterator[World]:
    """A world, with this process as its client."""
    fsmflow.configure(database_url=database_url, redis_url=redis_url, machines=FLOWS, home=folder)
    create_store(fsmflow.settings.current()).link.forget_connection()
    monkeypatch.setenv("EFFECTS", str(folder))
    with world(folder, {"FSMFLOW_DATABASE_URL": database_url, "FSMFLOW_REDIS_URL": redis_url}) as made:
        yield made
    runtime.close()
