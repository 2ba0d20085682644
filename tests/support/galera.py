"""Three MariaDB servers in a Galera cluster, and one address that leads to whichever of them is the writer."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from tests.support.eventually import eventually
from tests.support.pgbouncer import free_port
from tests.support.servers import bind_to_us, short_folder

_PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")
_LIMIT_S = 120.0


class Node:
    """One of the three."""

    def __init__(self, folder: Path, number: int, account: str | None, ports: list[int]) -> None:
        self.port, self._data = free_port(), folder / f"node-{number}"
        self._data.mkdir()
        accounts = folder / "accounts.sql"
        accounts.write_text("CREATE OR REPLACE USER fsmflow@'127.0.0.1';\nGRANT ALL ON *.* TO fsmflow@'127.0.0.1';\n")
        if account is not None:
            shutil.chown(self._data, account)
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={self._data}", "--skip-test-db"]
        subprocess.run(install, check=True, capture_output=True, timeout=_LIMIT_S, user=account)
        others = ",".join(f"127.0.0.1:{port}" for port in ports[:number])
        command = [str(shutil.which("mariadbd")), "--no-defaults", f"--datadir={self._data}", f"--port={self.port}"]
        command += [f"--socket={self._data}/socket", "--bind-address=127.0.0.1", "--skip-name-resolve"]
        command += ["--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--innodb-flush-log-at-trx-commit=0"]
        command += ["--wsrep-on=ON", f"--wsrep-provider={_PROVIDER}", f"--wsrep-cluster-address=gcomm://{others}"]
        command += [f"--wsrep-provider-options=base_port={ports[number]}; ist.recv_addr=127.0.0.1:{ports[number] + 1}"]
        command += ["--wsrep-node-address=127.0.0.1", "--wsrep-sst-method=rsync", "--innodb-buffer-pool-size=32M"]
        command += [f"--wsrep-sst-receive-address=127.0.0.1:{ports[number] + 2}"]
        command += [f"--init-file={accounts}"] if number == 0 else []
        with open(folder / f"node-{number}.log", "wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", user=account,
                preexec_fn=bind_to_us(),
            )  # fmt: skip

    def members(self) -> int:
        """How many are in its cluster; 0 while it takes nothing."""
        with contextlib.suppress(pymysql.Error), contextlib.closing(self.connect()) as connection:
            with connection.cursor() as cursor:
                cursor.execute("SHOW STATUS WHERE Variable_name IN ('wsrep_cluster_size', 'wsrep_ready')")
                found = dict(cursor.fetchall())
            return int(found["wsrep_cluster_size"]) if found["wsrep_ready"] == "ON" else 0
        return 0

    def connect(self) -> pymysql.Connection:
        return pymysql.connect(host="127.0.0.1", port=self.port, user="fsmflow", connect_timeout=2, autocommit=True)

    def crash(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


class Writer:
    """An address that leads to one node: new connections to the one that was named last."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, node: Node) -> None:
        self._node = node

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                there, _ = self._listener.accept()
                try:
                    here = socket.create_connection(("127.0.0.1", self._node.port))
                except OSError:
                    there.close()
                    continue
                for source, dest in ((there, here), (here, there)):
                    threading.Thread(target=_pass_on, args=(source, dest), daemon=True).start()


def _pass_on(source: socket.socket, dest: socket.socket) -> None:
    with contextlib.suppress(OSError), source, dest:
        while data := source.recv(65_536):
            dest.sendall(data)


def _three_free() -> int:
    """The first of three ports in a row that nobody listens on: for the group, what a node missed, and all of it."""
    while True:
        first = free_port()
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in range(first, first + 3):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


@contextlib.contextmanager
def galera() -> Iterator[tuple[list[Node], Writer]]:
    """The three, and the writer's address, which leads to the first. Skips the test where something is missing."""
    if not _PROVIDER.exists() or not all(map(shutil.which, ("mariadbd", "mariadb-install-db", "rsync"))):
        pytest.skip("Galera is not installed: apt-get install mariadb-server galera-4 rsync")
    account = "mysql" if os.geteuid() == 0 else None
    ports = [_three_free() for _ in range(3)]
    with tempfile.TemporaryDirectory(prefix="fsmflow-", dir=short_folder(), ignore_cleanup_errors=True) as made:
        folder = Path(made)
        folder.chmod(0o755)
        nodes: list[Node] = []
        try:
            for number in range(3):
                node = Node(folder, number, account, ports)
                nodes.append(node)
                eventually(lambda: nodes[-1].members() == len(nodes), within=_LIMIT_S, what="one more node")
            with contextlib.closing(Writer(nodes[0])) as writer:
                yield nodes, writer
        finally:
            for node in nodes:
                node.crash()
