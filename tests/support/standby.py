"""Two PostgreSQL servers, the second one a standby of the first by streaming replication."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.eventually import eventually
from tests.support.servers import bind_to_us, short_folder

_HOSTED = "host=127.0.0.1 user=fsmflow dbname=postgres connect_timeout=2"


class Server:
    """One of the two, on a folder of its own."""

    def __init__(self, programs: Path, folder: Path, account: str | None) -> None:
        self.programs, self.data, self.account = programs, folder, account
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, program: str, *options: object) -> None:
        """Run one of PostgreSQL's programs, as who owns the folder."""
        command = [str(self.programs / program), *map(str, options)]
        subprocess.run(command, check=True, capture_output=True, timeout=60, cwd="/", user=self.account)

    def start(self, **settings: str) -> None:
        """Start it, and return once it answers."""
        ours = {"port": str(self.port), "listen_addresses": "127.0.0.1", "unix_socket_directories": "", **settings}
        command = [str(self.programs / "postgres"), "-D", str(self.data)]
        command += [f"--{name}={value}" for name, value in ours.items()]
        with open(f"{self.data}.log", "wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", user=self.account,
                preexec_fn=bind_to_us(),
            )  # fmt: skip
        eventually(lambda: self.ask("SELECT 1"), what="an answer of PostgreSQL")

    def ask(self, sql: str) -> Any:
        """The first value of its answer; None while it does not answer."""
        with contextlib.suppress(psycopg.OperationalError):
            with psycopg.connect(f"{_HOSTED} port={self.port}", autocommit=True) as connection:
                row = connection.execute(sql.encode()).fetchone()
            return None if row is None else row[0]
        return None

    def crash(self) -> None:
        """End it at once: nothing is written any more."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(timeout=30)
            self._process = None


@contextlib.contextmanager
def pair(names: str) -> Iterator[tuple[Server, Server]]:
    """A primary and its standby, which the primary waits for if ``names``, its synchronous_standby_names, says so."""
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not programs:
        pytest.skip("PostgreSQL is not installed; 'python scripts/test.py' does so where it can")
    account = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="fsmflow-", dir=short_folder(), ignore_cleanup_errors=True) as folder:
        if account is not None:
            shutil.chown(folder, account)
        first, second = (Server(Path(programs[-1]), Path(folder, name), account) for name in ("first", "second"))
        try:
            first.run(
                "initdb", "-D", first.data, "-U", "fsmflow", "--auth=trust", "--no-sync", "--locale=C", "-E", "UTF8"
            )
            first.start(synchronous_standby_names=names)
            copied = f"{_HOSTED.replace('dbname=postgres ', '')} port={first.port}"
            second.run(
                "pg_basebackup", "-D", second.data, "-d", copied, "-R", "-X", "stream", "-c", "fast", "--no-sync"
            )
            second.start(synchronous_standby_names="")
            eventually(lambda: first.ask("SELECT state FROM pg_stat_replication") == "streaming", what="a standby")
            yield first, second
        finally:
            for server in (first, second):
                server.crash()
