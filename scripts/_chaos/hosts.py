"""Hosts of a chaos run: each a supervisor with its worker processes, of one deployment and one clock."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import _servers
from _chaos.island import Island
from _chaos.servers import is_alive

NEWEST = 2
_ENDS_WITHIN_S = 60.0


class Host:
    """One host. Whatever becomes of its processes, ``start`` makes it anew, under a log of the same name."""

    def __init__(
        self,
        name: str,
        folder: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        island: Island | None = None,
    ) -> None:
        self.name = name
        #: Where it is in the network, if that is not where the servers are.
        self.island = island
        #: From the next start on: of the machines, and by how much its wall clock is wrong.
        self.version, self.shift_s = NEWEST, 0
        self._command = list(command) if island is None else island.command(command)
        self._environment = {**environment, "CHAOS_HOST": name}
        self._log = folder / f"{name}.log"
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the supervisor; it ends with the thread that calls this."""
        environment = {**self._environment, "CHAOS_VERSION": str(self.version), "CHAOS_SHIFT_S": str(self.shift_s)}
        with self._log.open("ab") as log:
            started = subprocess.Popen(
                self._command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_servers.dies_with_parent(signal.SIGKILL),
            )
        with self._lock:
            self._process = started

    @property
    def pid(self) -> int | None:
        """Of the supervisor; None while there is none."""
        with self._lock:
            return self._process.pid if self._process is not None and self._process.poll() is None else None

    def workers(self) -> list[int]:
        """The pids of all that the supervisor has started, and these: workers, and whatever they run jobs in."""
        return _descendants(self.pid)

    def lose(self, *, all_at_once: bool) -> None:
        """SIGKILL of the supervisor, and of all that it started where the whole host is lost."""
        pid, workers = self.pid, self.workers()
        for victim in [pid, *(workers if all_at_once else [])]:
            signal_to(victim, signal.SIGKILL)
        self._wait()

    def end(self) -> None:
        """SIGTERM, and wait until the running steps have ended; SIGKILL if they do not."""
        signal_to(self.pid, signal.SIGTERM)
        self._wait()

    def _wait(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def signal_to(pid: int | None, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended."""
    if pid is not None and is_alive(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _descendants(pid: int | None) -> list[int]:
    children: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [one for child in children for one in (child, *_descendants(child))]
