"""Another host, as a network namespace with a link to this one that can be taken down. Takes root on Linux."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

_BUFFER = 65_536
_TAKEN: list[socket.socket] = []


class Host:
    """It reaches what runs here by ``address`` alone."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.address = f"10.231.{number}.1"
        self._theirs = f"10.231.{number}.2"
        self._link = f"v{name}"

    def command(self, *words: str) -> list[str]:
        """What runs a program on that host."""
        return ["ip", "netns", "exec", self.name, *words]

    def appear(self) -> None:
        """Make it, and its link."""
        peer = f"w{self.name}"
        _ip("netns", "add", self.name)
        _ip("link", "add", self._link, "type", "veth", "peer", "name", peer)
        _ip("link", "set", peer, "netns", self.name)
        _ip("addr", "add", f"{self.address}/30", "dev", self._link)
        _ip("link", "set", self._link, "up")
        for words in (("addr", "add", f"{self._theirs}/30", "dev", peer), ("link", "set", peer, "up")):
            _ip("netns", "exec", self.name, "ip", *words)

    def vanish(self) -> None:
        """From now on no packet comes through."""
        _ip("link", "set", self._link, "down")

    def remove(self) -> None:
        """Take away what there is of it."""
        for words in (("link", "del", self._link), ("netns", "del", self.name)):
            subprocess.run(["ip", *words], check=False, capture_output=True)

    def serve(self, target: tuple[str, int] | str) -> int:
        """A port of ``address`` that leads to a server here, given by host and port or by the path of its socket."""
        listener = socket.create_server((self.address, 0))
        _TAKEN.append(listener)
        threading.Thread(target=_accept, args=(listener, target), daemon=True).start()
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def other_host() -> Iterator[Host]:
    """A host of its own. Skips the test where there are no network namespaces to be had."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces take root and the program 'ip'")
    host = Host(f"fsm{secrets.token_hex(3)}", secrets.randbelow(250) + 1)
    try:
        try:
            host.appear()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        yield host
    finally:
        host.remove()
        while _TAKEN:
            taken = _TAKEN.pop()
            with contextlib.suppress(OSError):
                taken.shutdown(socket.SHUT_RDWR)  # whoever waits in it goes on
            taken.close()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _accept(listener: socket.socket, target: tuple[str, int] | str) -> None:
    with contextlib.suppress(OSError):
        while True:
            there, _ = listener.accept()
            if isinstance(target, str):
                here = socket.socket(socket.AF_UNIX)
                here.connect(target)
            else:
                here = socket.create_connection(target)
            _TAKEN.extend((there, here))
            for pair in ((there, here), (here, there)):
                threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _pass_on(source: socket.socket, dest: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_BUFFER):
            dest.sendall(data)
    for end in (source, dest):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
