"""What a measurement stands on: a folder, a Valkey server, and new databases on servers that were found or started."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

import psycopg
import pymysql

import _servers
from _chaos.servers import Valkey
from _packages import Unavailable
from _servers import MariaDB, Postgres, Server

ROOT: Final = Path(__file__).resolve().parent.parent.parent
_SERVERS: Final[dict[str, type[Server]]] = {"postgres": Postgres, "mysql": MariaDB}
_KINDS: Final = {"postgresql": "postgres", "postgres": "postgres", "mysql": "mysql"}


class Stand:
    """Gives each run what it needs, and takes it all away in the end."""

    def __init__(self, folder: Path, given: str | None = None) -> None:
        """``folder``: on the disk that is to be measured. ``given``: the URL of a database on a server that is there
        already; its account is allowed to create databases."""
        self.folder = folder
        self.redis = Valkey(folder)
        self._urls = {} if given is None else {_kind(given): given}
        self._reasons: dict[str, str] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Stand:
        self.redis.start()
        self._stack.callback(self.redis.kill)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """What every program of a run is started with."""
        here = [str(ROOT), str(ROOT / "scripts")]
        foreign = ("FSMFLOW_", "BENCH_")
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
            "PYTHONPATH": os.pathsep.join(here),
            "PYTHONUNBUFFERED": "1",
            "BENCH_REDIS_URL": self.redis.url,
            "FSMFLOW_REDIS_URL": self.redis.url,
            "FSMFLOW_HOME": str(self.folder / "home"),
            "FSMFLOW_MACHINES": "_peers.machines,_bench_machines",
        }

    def empty_redis(self) -> None:
        """Each run begins with an empty one."""
        with contextlib.closing(self.redis.client()) as client:
            client.flushall()

    def database(self, kind: str) -> str:
        """The URL of a new database. Raises Unavailable where there is no server of this kind."""
        name = f"bench_{secrets.token_hex(6)}"
        if kind == "sqlite":
            return f"sqlite:///{self.folder}/{name}.db"
        server = urlsplit(self._server(kind))
        _execute(kind, server, f"CREATE DATABASE {name}")
        self._stack.callback(_drop, kind, server, name)
        return server._replace(path=f"/{name}").geturl()

    def writes(self, kind: str, rows: int) -> Iterator[Callable[[], object]]:
        """Commits of a row each, on a connection that is there. Raises Unavailable."""
        url = self.database(kind)
        with contextlib.closing(connect(kind, url)) as connection:
            cursor = connection.cursor()
            cursor.execute("CREATE TABLE bench (id INTEGER PRIMARY KEY)")
            for number in range(rows):
                yield functools.partial(cursor.execute, f"INSERT INTO bench (id) VALUES ({number})")

    def size(self, kind: str, url: str) -> int | None:
        """How many bytes a database takes, its indexes and what is not yet cleaned up included; None where nobody says
        that exactly."""
        if kind == "sqlite":
            return sum(path.stat().st_size for path in self.folder.glob(f"{Path(urlsplit(url).path).name}*"))
        if kind != "postgres":
            return None
        with contextlib.closing(connect(kind, url)) as connection:
            (found,) = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            return int(found)

    def _server(self, kind: str) -> str:
        """Where one runs: as it is given, as the environment names it, or started in the folder."""
        if kind in self._reasons:
            raise Unavailable(self._reasons[kind])
        if kind not in self._urls:
            try:
                self._urls[kind] = os.environ.get(_SERVERS[kind].variable) or self._started(kind)
            except Unavailable as error:
                self._reasons[kind] = str(error)
                raise
        return self._urls[kind]

    def _started(self, kind: str) -> str:
        server = _SERVERS[kind]()
        if not server.programs and (why := _servers.install([server])):
            raise Unavailable(why)
        self.folder.chmod(0o755)  # for the account of the server
        return self._stack.enter_context(_servers.running(server, str(self.folder))).server.url()


def _kind(url: str) -> str:
    scheme = urlsplit(url).scheme
    if scheme not in _KINDS:
        raise SystemExit(f"--database takes the URL of a server, as postgresql://... or mysql://..., not {scheme}:")
    return _KINDS[scheme]


def connect(kind: str, url: str) -> Any:
    """A connection of the driver's to a server, which commits by itself."""
    return _connect(kind, urlsplit(url))


def _connect(kind: str, at: SplitResult) -> Any:
    if kind == "sqlite":
        connection = sqlite3.connect(at.path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("PRAGMA synchronous = full")
        return connection
    if kind == "postgres":
        return psycopg.connect(at.geturl(), autocommit=True)
    account: dict[str, Any] = {"host": at.hostname, "port": at.port or 3306, "user": at.username}
    return pymysql.connect(**account, password=unquote(at.password or ""), database=at.path[1:], autocommit=True)


def _execute(kind: str, at: SplitResult, sql: str) -> None:
    with contextlib.closing(_connect(kind, at)) as connection, connection.cursor() as cursor:
        cursor.execute(sql)


def _drop(kind: str, at: SplitResult, name: str) -> None:
    _execute(kind, at, f"DROP DATABASE IF EXISTS {name}{' WITH (FORCE)' if kind == 'postgres' else ''}")
