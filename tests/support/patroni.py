"""Two PostgreSQL servers in the care of Patroni, which keeps its mind in an etcd: one takes over from the other."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.eventually import eventually
from tests.support.pgbouncer import free_port
from tests.support.servers import bind_to_us, short_folder

_LIMIT_S = 90.0


class Member:
    """A PostgreSQL server, and the Patroni that started it."""

    def __init__(self, name: str, folder: Path, etcd: int, account: str | None) -> None:
        self.name, self.port, self._rest = name, free_port(), free_port()
        self.url = f"postgresql://fsmflow@127.0.0.1:{self.port}/postgres"
        self._data = folder / name
        settings = folder / f"{name}.json"
        settings.write_text(json.dumps(self._settings(etcd)))
        if account is not None:
            shutil.chown(settings, account)
        with open(f"{self._data}.log", "wb") as log:
            self._process = subprocess.Popen(
                [str(shutil.which("patroni")), str(settings)],
                env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", user=account, preexec_fn=bind_to_us(),
            )  # fmt: skip

    def _settings(self, etcd: int) -> dict[str, Any]:
        of_all = {
            "ttl": 20,
            "loop_wait": 1,
            "retry_timeout": 3,
            "synchronous_mode": True,
            "postgresql": {"parameters": {"unix_socket_directories": "", "fsync": "off"}},
        }
        local = [f"host {what} all 127.0.0.1/32 trust" for what in ("all", "replication")]
        here = f"127.0.0.1:{self.port}"
        return {
            "scope": "fsmflow",
            "name": self.name,
            "restapi": {"listen": f"127.0.0.1:{self._rest}", "connect_address": f"127.0.0.1:{self._rest}"},
            "etcd3": {"host": f"127.0.0.1:{etcd}"},
            "bootstrap": {"dcs": of_all, "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, {"auth": "trust"}]},
            "postgresql": {
                "listen": here,
                "connect_address": here,
                "data_dir": str(self._data),
                "bin_dir": sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1],
                "authentication": {"superuser": {"username": "fsmflow"}, "replication": {"username": "fsmflow"}},
                "pg_hba": local,
            },
        }

    def is_(self, role: str) -> bool:
        """Whether Patroni says that it is ``primary``, or ``sync``, the standby that is waited for."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self._rest}/{role}", timeout=2):
            return True
        return False

    def takes_writes(self) -> bool:
        """Whether it is a primary to whoever asks it."""
        with contextlib.suppress(psycopg.OperationalError):
            with psycopg.connect(
                f"host=127.0.0.1 port={self.port} user=fsmflow dbname=postgres connect_timeout=2"
            ) as connection:
                row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
            return row == (False,)
        return False

    def crash(self) -> None:
        """End both at once, as with the host."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self._data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGQUIT)


@contextlib.contextmanager
def patroni() -> Iterator[tuple[Member, Member]]:
    """The primary, and the standby that it waits for. Skips the test where something of it is not installed."""
    lacking = [name for name in ("patroni", "etcd") if shutil.which(name) is None]
    if lacking or not glob.glob("/usr/lib/postgresql/*/bin"):
        pytest.skip(f"{' and '.join(lacking) or 'PostgreSQL'} not installed: apt-get install patroni etcd-server")
    account = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="fsmflow-", dir=short_folder(), ignore_cleanup_errors=True) as made:
        folder = Path(made)
        if account is not None:
            shutil.chown(folder, account)
        with _etcd(folder) as etcd, contextlib.ExitStack() as stack:
            members = []
            for name, role in (("first", "primary"), ("second", "sync")):
                members.append(Member(name, folder, etcd, account))
                stack.callback(members[-1].crash)
                eventually(lambda: members[-1].is_(role), within=_LIMIT_S, what=f"a {role}")  # noqa: B023
            yield members[0], members[1]


@contextlib.contextmanager
def _etcd(folder: Path) -> Iterator[int]:
    """The port of an etcd of one member."""
    clients, peers = free_port(), free_port()
    there, peer = f"http://127.0.0.1:{clients}", f"http://127.0.0.1:{peers}"
    command = ["etcd", "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync"]
    command += ["--listen-client-urls", there, "--advertise-client-urls", there]
    command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
    command += ["--initial-cluster", f"default={peer}"]
    with open(folder / "etcd.log", "wb") as log, subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=bind_to_us()
    ) as process:  # fmt: skip
        try:
            yield clients
        finally:
            process.kill()
