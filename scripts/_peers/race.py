"""One run of one peer: its chains are enqueued, its workers start, and what it took is counted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from _bench_marks import STEPS, count, marks
from _peers.catalogue import Peer
from _peers.counters import Counts, cpu_s, postgres_counts, redis_counts, spent
from _peers.stand import ROOT, Stand
from _servers import dies_with_parent, free_port

#: Where nothing has come for so long, nothing comes any more.
_PATIENCE_S: Final = 60.0
_STOPS_WITHIN_S: Final = 15.0
#: PostgreSQL tells what its sessions have done up to a second later.
_TOLD_WITHIN_S: Final = 1.2
#: Start-up and drain do not count: what is between the first tenth and the last twentieth of the steps does.
_FIRST: Final = 0.10
_LAST: Final = 0.95


class Silence(Exception):
    """A peer does not go on; the text is what it said last."""


class Entry(NamedTuple):
    """A peer with the Python of its environment."""

    peer: Peer
    python: Path


class Course:
    """The processes of a run, its marks and its log."""

    def __init__(self, stand: Stand, entry: Entry, name: str, **more: str) -> None:
        self.marks = stand.folder / f"{name}.marks"
        self._log = stand.folder / f"{name}.log"
        self._peer, self._python = entry
        self._environment = {
            **stand.environment,
            "BENCH_MARKS": str(self.marks),
            "BENCH_VARIANT": self._peer.variant,
            "BENCH_PORT": str(free_port()),
            **more,
        }
        self._workers: list[subprocess.Popen[bytes]] = []

    def run(self, verb: str, *numbers: int) -> None:
        """Run a part of the program to its end."""
        with self._log.open("ab") as log:
            command = self._program(verb, *numbers)
            done = subprocess.run(command, env=self._environment, stdout=log, stderr=log, cwd=ROOT, check=False)
        if done.returncode:
            raise Silence(f"{verb}: {self._said()}")

    @contextlib.contextmanager
    def attended(self) -> Iterator[None]:
        """The server that a peer needs, if it does."""
        started = [self._start(self._program("attend"))] if self._peer.attended else []
        try:
            yield
        finally:
            _stop(started)

    @contextlib.contextmanager
    def served(self, *options: str) -> Iterator[list[int]]:
        """The workers; of fsmflow one supervisor has them all, which takes these options. Gives their pids."""
        if self._peer.is_ours:
            worker = [sys.executable, "-m", "fsmflow.cli", "worker", "--log-level", "WARNING"]
            commands = [[*worker, "--processes", str(self._peer.workers), *options]]
        else:
            numbers = range(self._peer.workers)
            commands = [self._program("serve", number, self._peer.workers) for number in numbers]
        started: list[subprocess.Popen[bytes]] = []
        try:
            for command in commands:
                started.append(self._start(command))
                self._workers.append(started[-1])
            yield [worker.pid for worker in started]
        finally:
            _stop(started)
            self._workers = [worker for worker in self._workers if worker not in started]

    def wait_for(self, wanted: int, *, patience_s: float = _PATIENCE_S) -> None:
        """Return once there are so many marks. Raises Silence where for so long none comes."""
        found, since = count(self.marks), time.monotonic()
        while found < wanted:
            time.sleep(0.02)
            if (now := count(self.marks)) != found:
                found, since = now, time.monotonic()
            elif all(worker.poll() is not None for worker in self._workers):
                raise Silence(f"its workers ended after {found} of {wanted} steps: {self._said()}")
            elif time.monotonic() > since + patience_s:
                raise Silence(f"{found} of {wanted} steps came, and then none for {patience_s:.0f} s: {self._said()}")

    def _program(self, verb: str, *numbers: int) -> list[str]:
        words = [self._peer.program, verb, *map(str, numbers)]
        return [str(self._python), "-m", "_peers.program", *words]

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
                preexec_fn=dies_with_parent(signal.SIGKILL),
            )

    def _said(self) -> str:
        return self._log.read_text(errors="replace").strip()[-1500:] or "it said nothing"


def race(stand: Stand, entry: Entry, chains: int, name: str) -> dict[str, float]:
    """Steps a second, and what each has cost. Raises Silence, and Unavailable where there is no such database."""
    peer, more = entry.peer, {"BENCH_CHAINS": str(chains)}
    if peer.setting:
        more[peer.setting] = "1"
    if peer.database:
        more["BENCH_DATABASE_URL"] = more["FSMFLOW_DATABASE_URL"] = stand.database(peer.database)
    stand.empty_redis()
    course = Course(stand, entry, name, **more)
    with course.attended():
        course.run("enqueue", chains)
        url = more["BENCH_DATABASE_URL"] if peer.database == "postgres" else ""
        before, size = told(url), stand.size(peer.database, more.get("BENCH_DATABASE_URL", ""))
        with course.served() as pids:
            found = watched(stand, course, pids, chains * STEPS, redis=peer.redis)
        after, grown = told(url), stand.size(peer.database, more.get("BENCH_DATABASE_URL", ""))
    disk = {} if size is None or grown is None else {"disk_bytes": (grown - size) / (chains * STEPS)}
    return {**found, **of_postgres(before, after, chains * STEPS), **disk}


def watched(stand: Stand, course: Course, pids: Sequence[int], steps: int, *, redis: bool) -> dict[str, float]:
    """Looks on while so many steps are done; what they came to without start-up and drain."""
    already = count(course.marks)

    def counted() -> tuple[int, Counts]:
        with contextlib.closing(stand.redis.client()) as client:
            return count(course.marks), {
                "cpu_ms": 1000 * cpu_s(pids),
                **(redis_counts(client) if redis else {}),
            }

    course.wait_for(already + max(1, int(steps * _FIRST)))
    first, before = counted()
    course.wait_for(already + max(2, int(steps * _LAST)))
    last, after = counted()
    course.wait_for(already + steps)
    return {"steps_per_s": rate(marks(course.marks)[-steps:]), **spent(before, after, max(1, last - first))}


def rate(moments: Sequence[float]) -> float:
    """How many came in a second."""
    first, last = int(len(moments) * _FIRST), int(len(moments) * _LAST) - 1
    return (last - first) / (moments[last] - moments[first])


def told(url: str) -> Counts:
    """What PostgreSQL has counted so far in this database; nothing without one."""
    if not url:
        return {}
    time.sleep(_TOLD_WITHIN_S)
    return postgres_counts(url)


def of_postgres(before: Counts, after: Counts, steps: int) -> dict[str, float]:
    """What each step has cost of that."""
    found = spent(before, after, steps)
    updates, hot = found.pop("updates", 0.0), found.pop("hot", 0.0)
    return {**found, **({"hot_share": hot / updates} if updates else {})}


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Each had a session of its own; what is left in it after its end is killed."""
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(_STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
