"""The page on containers: its files fit together, and what they run starts, works and stops as it says.

No container engine is needed. The commands run as first processes of a namespace, with read-only files where the page
says so, against the servers of the tests.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.test_pages import blocks_of
from tests.running.test_containers import APART, needs, read_only
from tests.support.eventually import eventually
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "how-to" / "docker.md"
FILES = {block.title: block.body for block in blocks_of(PAGE.read_text(encoding="utf-8"), PAGE.name) if block.title}
PROGRAMS = {"fsmflow": ["-m", "fsmflow.cli"], "uvicorn": ["-m", "uvicorn"], "python": []}
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """What the compose file says of each service."""
    found: dict[str, Any] = yaml.safe_load(FILES["compose.yaml"])["services"]
    return found


def here(command: list[str], port: str = "8000") -> list[str]:
    """A command as this machine has it: its programs need not be installed, and a port may be taken."""
    program, *rest = (word.replace("8000", port) for word in command)
    return [sys.executable, *PROGRAMS[program], *rest]


class Containers:
    """The folder of the page, and what runs in it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._environment = {**os.environ, **environment, "PYTHONPATH": f"{folder}:{ROOT}", "FSMFLOW_RELEASE": "1.4.0"}
        self._processes: list[subprocess.Popen[bytes]] = []
        for name in ("machines.py", "api.py"):
            (folder / name).write_text(FILES[name], encoding="utf-8")

    def run(self, command: list[str]) -> str:
        """Run a command to its end; what it prints."""
        ended = subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, check=True, timeout=LIMIT_S
        )
        return ended.stdout

    def start(self, command: list[str], *, before: tuple[str, ...]) -> subprocess.Popen[bytes]:
        """Leave a command running, as the first process of a namespace of its own."""
        with (self.folder / "log").open("ab") as log:
            started = subprocess.Popen(
                [*before, *APART, *command],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._processes.append(started)
        return started

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture
def containers(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Containers]:
    """The folder of the page, with the servers of the tests; whatever runs in it ends with the test."""
    made = Containers(tmp_path, {"FSMFLOW_DATABASE_URL": database_url, "FSMFLOW_REDIS_URL": redis_url})
    yield made
    made.close()


def stopped(process: subprocess.Popen[bytes]) -> int:
    """Its exit status after SIGTERM to the first process inside, as an engine sends it."""
    (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(first), signal.SIGTERM)
    return process.wait(LIMIT_S)


@pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
def test_what_the_services_run_starts_works_and_stops_as_the_page_says(
    services: dict[str, Any], containers: Containers
) -> None:
    before = read_only(containers.folder)
    needs(APART, "a process namespace")
    needs(before, "a mount namespace")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    assert "are ready" in containers.run(here(services["init"]["command"]))
    worker = containers.start(here(services["worker"]["command"]), before=before)
    web = containers.start(here(services["web"]["command"], port), before=before)
    probe, *check = services["web"]["healthcheck"]["test"]
    assert probe == "CMD"
    healthy = here(check, port)
    eventually(lambda: is_well(containers, healthy), within=LIMIT_S, what="a web application in good health")
    assert placed(port) == {"state": "charging"}
    eventually(lambda: placed(port) == {"state": "shipped"}, within=LIMIT_S, what="a shipped order")
    history = json.loads(containers.run(here(["fsmflow", "history", "order:7", "--json"])))
    assert {line["release"] for line in history} == {"1.4.0"}
    assert [stopped(process) for process in (worker, web)] == [0, 0]
    assert not (containers.folder / ".fsmflow").exists()


def placed(port: str) -> dict[str, str]:
    """What the web application answers to an order, which may be placed again."""
    order = urllib.request.Request(f"http://127.0.0.1:{port}/orders/7?amount=20", method="PUT")
    with urllib.request.urlopen(order) as answer:
        told: dict[str, str] = json.load(answer)
        return told


def is_well(containers: Containers, check: list[str]) -> bool:
    try:
        containers.run(check)
    except subprocess.CalledProcessError:
        return False
    return True


def test_the_files_fit_together(services: dict[str, Any]) -> None:
    steps = [line.split(maxsplit=1) for line in FILES["Dockerfile"].splitlines()]
    copied = {name for word, rest in steps if word == "COPY" for name in rest.split()[:-1]}
    assert copied == {"wheels", "requirements.txt", "machines.py", "api.py"}
    assert {word for word, _ in steps} <= {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ARG", "ENV", "CMD"}
    assert [json.loads(rest) for word, rest in steps if word == "CMD"] == [["fsmflow", "worker"]]
    ours = {name: service for name, service in services.items() if "build" in service}
    assert set(ours) == {"init", "worker", "dashboard", "web"}
    assert all(service["read_only"] for service in ours.values())
    waits = {name: set(service.get("depends_on", ())) for name, service in services.items()}
    assert waits == {
        "db": set(),
        "valkey": set(),
        "init": {"db"},
        "worker": {"init"},
        "dashboard": {"init"},
        "web": {"init"},
    }
    urls = [ours["init"]["environment"][name] for name in ("FSMFLOW_DATABASE_URL", "FSMFLOW_REDIS_URL")]
    assert ["@db/" in urls[0], "//valkey:" in urls[1]] == [True, True]
