"""TLS in front of a server that has none: a certificate made for the test, and a proxy that ends the encryption."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

#: What a PostgreSQL client sends to ask for TLS.
_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


def certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """A certificate for ``name`` that signs itself, and its key."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True, timeout=30)
    return cert, key


class Proxy:
    """Takes TLS connections and hands on what is said in them. ``begun`` counts those whose handshake succeeded."""

    def __init__(self, files: tuple[Path, Path], connect: Callable[[], socket.socket], *, postgres: bool) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*files)
        self._connect = connect
        self._postgres = postgres
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.begun = 0

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def close(self) -> None:
        # A thread that waits in accept() is not woken by close() alone.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _talk(self, client: socket.socket) -> None:
        with client:
            if self._postgres:
                if client.recv(8, socket.MSG_WAITALL) != _SSL_REQUEST:
                    return
                client.sendall(b"S")
            with contextlib.suppress(OSError), self._context.wrap_socket(client, server_side=True) as inside:
                self.begun += 1
                with self._connect() as server:
                    back = threading.Thread(target=_hand_on, args=(server, inside), daemon=True)
                    back.start()
                    _hand_on(inside, server)
                    back.join()


def _hand_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def encrypted(
    files: tuple[Path, Path], connect: Callable[[], socket.socket], *, postgres: bool = False
) -> Iterator[Proxy]:
    """A proxy that runs."""
    proxy = Proxy(files, connect, postgres=postgres)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join(10)


def unix_socket(path: str) -> socket.socket:
    """A connection to a server on a unix socket."""
    made = socket.socket(socket.AF_UNIX)
    made.connect(path)
    return made
