"""A PgBouncer in front of the PostgreSQL server of the tests, which gives each transaction another connection."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from tests.support.eventually import eventually
from tests.support.servers import short_folder

#: Few, so that each client meets what others have left behind on them.
_SERVERS = 3


class Pooler:
    """A PgBouncer that runs, on a folder of its own. ``url``: of the database behind it."""

    def __init__(self, program: str, folder: str, url: str) -> None:
        self._folder, self._port, self._account = Path(folder), free_port(), _account()
        self._name = urlsplit(url).path.lstrip("/")
        self.url = f"postgresql://anybody@127.0.0.1:{self._port}/{self._name}"
        if self._account is not None:
            shutil.chown(folder, self._account)
        command = [program, str(self._write(url))]
        self._process = subprocess.Popen(
            command, user=self._account, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def _write(self, url: str) -> Path:
        parts = urlsplit(url)
        server = (
            f"host={parts.hostname} port={parts.port or 5432} dbname={self._name} user={unquote(parts.username or '')}"
        )
        server += f" password={unquote(parts.password)}" if parts.password else ""
        settings = self._folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n{self._name} = {server}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self._port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = {_SERVERS}\nlogfile = {self._folder}/log\n"
            f"server_login_retry = 1\nquery_wait_timeout = 5\n"
        )
        if self._account is not None:
            shutil.chown(settings, self._account)
        return settings

    def lead_to(self, url: str) -> None:
        """From now on the same database of another server is behind it, as a callback of Patroni's says."""
        self._write(url)
        self._process.send_signal(signal.SIGHUP)

    def close(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def pooler(url: str) -> Iterator[Pooler]:
    """A PgBouncer in front of a database, which pools transactions. Skips the test where there is none."""
    program = _program()
    if program is None:
        pytest.skip("pgbouncer is not installed; 'python scripts/test.py' does so where it can")
    with tempfile.TemporaryDirectory(prefix="fsmflow-", dir=short_folder()) as folder:
        made = Pooler(program, folder, url)
        try:
            eventually(lambda: _answers(made.url), what="an answer of PgBouncer")
            yield made
        finally:
            made.close()


def keeps_prepared() -> bool:
    """Whether the PgBouncer that there is keeps prepared statements, as it is shipped: from 1.24 on."""
    told = subprocess.run([str(_program()), "--version"], check=True, capture_output=True, text=True).stdout
    major, minor = told.split()[1].split(".")[:2]
    return (int(major), int(minor)) >= (1, 24)


def _program() -> str | None:
    return shutil.which("pgbouncer", path=os.pathsep.join([*os.get_exec_path(), "/usr/sbin"]))


@contextlib.contextmanager
def pooled(url: str) -> Iterator[str]:
    """The URL of the same database, behind a PgBouncer that pools transactions."""
    with pooler(url) as made:
        yield made.url


def _answers(url: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError), contextlib.closing(psycopg.connect(url, connect_timeout=2)):
        return True
    return False


def _account() -> str | None:
    """Whom it runs as where this process is root, which it refuses."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
