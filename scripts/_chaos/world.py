"""One installation under chaos: database, Valkey, the proxies before them, hosts, and the client's settings."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL

import _servers
import fsmflow
from _chaos import plain
from _chaos.hosts import Host
from _chaos.island import DATABASE, REDIS, islands
from _chaos.load import FAR_URL, LEDGER, MANY
from _chaos.proxy import Proxy
from _chaos.servers import Database, MariaDatabase, PostgresDatabase, Valkey, database, small_disk
from _packages import Unavailable
from fsmflow.engine import runtime
from fsmflow.settings import current as settings
from fsmflow.store.store import create_store

ROOT = Path(__file__).resolve().parent.parent.parent
HOSTS = 2
_PATHS = (".", "scripts", "scripts/_chaos/clock")
_TAIL_BYTES = 4096
_JUST_NOW_S = 0.1


@dataclass(frozen=True)
class RedisServer:
    """A Valkey server, and the proxy by which all but the faults reach it."""

    valkey: Valkey
    proxy: Proxy

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.proxy.port}/0"


@dataclass
class World:
    """What the faults act upon. ``skipped``: kinds of faults that cannot be had here, and why."""

    folder: Path
    disk: Path
    database: Database
    #: That of all queues, and then that of the queue ``far``, where there is one.
    redis: list[RedisServer]
    database_proxy: Proxy | None
    system: System
    processes: int
    hosts: list[Host] = field(default_factory=list)
    #: Whose turn it is to lose a link: one host after the other.
    turns: Iterator[int] = field(default_factory=itertools.count)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def has_links(self) -> bool:
        """Whether the hosts are in a network, of which links can be cut."""
        return any(host.island is not None for host in self.hosts)

    @property
    def effects(self) -> Path:
        return self.folder / "effects"

    def busy(self) -> list[int]:
        """The pids of workers that have begun a run just now, the latest first."""
        with contextlib.suppress(FileNotFoundError), self.effects.open("rb") as file:
            file.seek(max(0, self.effects.stat().st_size - _TAIL_BYTES))
            # The first line may be cut off by the look at the end alone, and the last one half written.
            runs = [json.loads(line) for line in file.read().splitlines(keepends=True)[1:] if line.endswith(b"\n")]
            recent = [run["pid"] for run in reversed(runs) if run["at"] > time.monotonic() - _JUST_NOW_S]
            return list(dict.fromkeys(recent))
        return []

    def is_whole(self) -> bool:
        """Whether all workers of all hosts are at work, but for one that may be on its way."""
        return self.system.working(self) >= len(self.hosts) * self.processes * len(self.redis) - 1

    def logs(self) -> str:
        """All that the hosts and the client have logged."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*-*.log")))


@contextlib.contextmanager
def _disk() -> Iterator[Path]:
    """A folder for the database alone, which the account of a server can come to."""
    with tempfile.TemporaryDirectory(prefix="fsmflow-chaos-", dir=_servers.fast_folder()) as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@contextlib.contextmanager
def world(
    kind: str, folder: Path, system: System, *, processes: int, redis: int = 1, hosts: int = 0, far_s: float = 0.0
) -> Iterator[World]:
    """A world on a kind of database, its tables made, its hosts started. ``redis``: so many Redis servers, two at
    most. ``hosts``: so many of them, each a network namespace, of which the last is ``far_s`` from the servers. Raises
    Unavailable."""
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / path) for path in _PATHS)}
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(_disk())
        no_disk = small_disk(disk)
        stack.callback(subprocess.run, ["umount", "--lazy", str(disk)], capture_output=True, check=False)
        store = stack.enter_context(database(kind, disk))
        servers = [stack.enter_context(_redis(folder, paths)) for _ in range(redis)]
        database_proxy, url = None, store.url
        if isinstance(store, PostgresDatabase | MariaDatabase):
            database_proxy = stack.enter_context(Proxy(store.port, paths))
            url = store.through(database_proxy.port)
        made = World(folder, disk, store, servers, database_proxy, system, processes)
        if no_disk is not None:
            made.skipped["disk-full"] = no_disk
        environment = {
            **paths,
            "CHAOS_EFFECTS": str(made.effects),
            "FSMFLOW_DATABASE_URL": url,
            **dict(zip(("FSMFLOW_REDIS_URL", FAR_URL), [server.url for server in servers], strict=False)),
            "FSMFLOW_MACHINES": "_chaos.load",
            "FSMFLOW_HOME": str(folder),
        }
        os.environ.update(environment)  # this process is a client of both
        system.settle(made)
        stack.callback(runtime.close)
        net = _in_network(made, environment, hosts, far_s) if hosts else _beside_the_servers(made, environment)
        stack.enter_context(net)
        for host in made.hosts:
            stack.callback(host.lose, all_at_once=True)
            host.start()
        yield made


@contextlib.contextmanager
def _redis(folder: Path, environment: dict[str, str]) -> Iterator[RedisServer]:
    valkey = Valkey(folder)
    valkey.start()
    try:
        with Proxy(valkey.port, environment) as proxy:
            yield RedisServer(valkey, proxy)
    finally:
        valkey.kill()


@contextlib.contextmanager
def _beside_the_servers(made: World, environment: dict[str, str]) -> Iterator[None]:
    command = made.system.command(environment["FSMFLOW_REDIS_URL"], made.processes)
    made.hosts += [Host(f"host-{number}", made.folder, command, environment) for number in range(HOSTS)]
    yield


@contextlib.contextmanager
def _in_network(made: World, environment: dict[str, str], count: int, far_s: float) -> Iterator[None]:
    """Hosts by islands, and a process on each that asks the database all the time. Raises Unavailable."""
    if made.database_proxy is None or not isinstance(made.database, PostgresDatabase | MariaDatabase):
        raise Unavailable("hosts in a network take a database that is a server")
    ports = {DATABASE: made.database_proxy.port, REDIS: made.redis[0].proxy.port}
    with islands(count, ports, environment, far_s=far_s) as found, contextlib.ExitStack() as stack:
        for island in found:
            url = made.database.through(island.port(DATABASE), island.address(DATABASE))
            redis_url = f"redis://{island.address(REDIS)}:{island.port(REDIS)}/0"
            theirs = {**environment, "FSMFLOW_DATABASE_URL": url, "FSMFLOW_REDIS_URL": redis_url}
            command = made.system.command(redis_url, made.processes)
            made.hosts.append(Host(island.name, made.folder, command, theirs, island))
            notes = made.folder / f"{island.name}.probe"
            probe = island.command([sys.executable, "-m", "_chaos.probe", url, str(notes)])
            stack.callback(_end, subprocess.Popen(probe, env=theirs, preexec_fn=_servers.dies_with_parent(SIGKILL)))
        yield


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@dataclass(frozen=True)
class System:
    """What is put under chaos: what a host runs, what is made ready before, and how many workers are at work."""

    command: Callable[[str, int], list[str]]
    settle: Callable[[World], None]
    working: Callable[[World], int]


def _settle_fsmflow(made: World) -> None:
    logging.basicConfig(filename=made.folder / "the-client.log", format="%(asctime)s %(levelname)-7s %(message)s")
    fsmflow.configure()
    create_store(settings()).link.forget_connection()
    made.database.rows(f"CREATE TABLE {LEDGER} (voyage INTEGER NOT NULL)")


def _settle_plain_rq(made: World) -> None:
    for statement in plain.TABLES:
        made.database.rows(statement)


def _fsmflow(redis_url: str, processes: int) -> list[str]:
    beside = ["--concurrency", MANY] if MANY is not None else []
    return [sys.executable, "-m", "fsmflow.cli", "worker", "--processes", str(processes), *beside]


def _plain_rq(redis_url: str, processes: int) -> list[str]:
    worker = [sys.executable, "-m", "rq.cli", "worker", plain.QUEUE, "--url", redis_url, "--quiet"]
    return [sys.executable, "-m", "_chaos.keeper", str(processes), *worker, "--maintenance-interval", "10"]


def _working_fsmflow(made: World) -> int:
    started = set(map(int, re.findall(r"worker\.started: process (\d+)", made.logs())))
    return len(started & {pid for host in made.hosts for pid in host.workers()})


def _working_plain_rq(made: World) -> int:
    return sum(len(host.workers()) >= made.processes for host in made.hosts) * made.processes


FSMFLOW = System(_fsmflow, _settle_fsmflow, _working_fsmflow)
PLAIN_RQ = System(_plain_rq, _settle_plain_rq, _working_plain_rq)
