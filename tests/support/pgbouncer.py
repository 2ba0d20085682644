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


@contextlib.contextmanager
def pooled(url: str) -> Iterator[str]:
    """The URL of the same database, behind a PgBouncer that pools transactions. Skips the test where there is none."""
    program = shutil.which("pgbouncer", path=os.pathsep.join([*os.get_exec_path(), "/usr/sbin"]))
    if program is None:
        pytest.skip("pgbouncer is not installed; 'python scripts/test.py' does so where it can")
    parts = urlsplit(url)
    name, port = parts.path.lstrip("/"), _free_port()
    server = f"host={parts.hostname} port={parts.port or 5432} dbname={name} user={unquote(parts.username or '')}"
    with tempfile.TemporaryDirectory(prefix="fsmflow-", dir=short_folder()) as folder:
        settings = Path(folder) / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n{name} = {server} password={unquote(parts.password or '')}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = {_SERVERS}\nlogfile = {folder}/log\n"
        )
        account = _account()
        if account is not None:
            shutil.chown(folder, account)
            shutil.chown(settings, account)
        with subprocess.Popen(
            [program, str(settings)], user=account, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                there = f"postgresql://anybody@127.0.0.1:{port}/{name}"
                eventually(lambda: _answers(there), what="an answer of PgBouncer")
                yield there
            finally:
                process.send_signal(signal.SIGKILL)


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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
