"""Whoever receives messages: a server of HTTP that answers as it is told to, and a mail server."""

from __future__ import annotations

import contextlib
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message as Mail
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(kw_only=True)
class Taken:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(kw_only=True)
class Receiver:
    """``answers`` are given in turn, the last one again and again: a status, headers and a body, or what writes to the
    socket itself."""

    url: str = ""
    taken: list[Taken] = field(default_factory=list)
    answers: list[Any] = field(default_factory=lambda: [(204, {}, b"")])


@contextlib.contextmanager
def receiver(*answers: Any, certificate: tuple[Path, Path] | None = None) -> Iterator[Receiver]:
    """A server of HTTP on this host, over TLS with a ``certificate`` and its key."""
    made = Receiver(answers=list(answers) or [(204, {}, b"")])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.taken.append(Taken(path=self.path, headers=dict(self.headers.items()), body=body))
            answer = made.answers.pop(0) if len(made.answers) > 1 else made.answers[0]
            if callable(answer):
                answer(self.connection)
                return
            status, headers, text = answer
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Whoever asks may have hung up."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "http" if certificate is None else "https"
        made.url = f"{scheme}://localhost:{server.server_port}/hooks?shop=7"
        with _served(server):
            yield made


@dataclass(kw_only=True)
class Post:
    """A mail server: what it was told, and the mails that it took. ``refuses`` are addresses that it does not know.
    With ``drops`` its answer to a sender has no end, and that is called before each line of it."""

    refuses: tuple[str, ...] = ()
    drops: Callable[[], object] | None = None
    port: int = 0
    said: list[str] = field(default_factory=list)
    mails: list[Mail] = field(default_factory=list)


class _Office(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, post: Post) -> None:
        super().__init__(("127.0.0.1", 0), _Clerk)
        self.post = post
        post.port = self.server_address[1]

    def handle_error(self, *_: object) -> None:
        """Whoever asks may have hung up."""


class _Clerk(socketserver.StreamRequestHandler):
    server: _Office

    def handle(self) -> None:
        post = self.server.post
        self._answer("220 post.example")
        while line := self.rfile.readline().decode().strip():
            post.said.append(line)
            if line == "data":
                self._answer("354 go on")
                post.mails.append(message_from_bytes(b"".join(iter(self.rfile.readline, b".\r\n"))))
                self._answer("250 taken")
            elif post.drops is not None and line.startswith("mail"):
                raw(*[b"250-wait\r\n"] * 10_000, then=post.drops)(self.connection)
            elif line.startswith("rcpt") and any(address in line for address in post.refuses):
                self._answer("550 nobody of that name")
            else:
                self._answer(_reply(line))

    def _answer(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextlib.contextmanager
def post_office(certificate: tuple[Path, Path] | None = None, **options: Any) -> Iterator[Post]:
    """A mail server on this host, which speaks as much as it has to; over TLS with a ``certificate`` and its key."""
    with _Office(made := Post(**options)) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        with _served(server):
            yield made


def _reply(line: str) -> str:
    known = {"ehlo": "250-post.example\r\n250 AUTH PLAIN", "AUTH": "235 welcome", "quit": "221 bye"}
    return known.get(line.partition(" ")[0], "250 yes")


@contextlib.contextmanager
def _served(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def raw(*pieces: bytes, then: Callable[[], object] = lambda: None) -> Callable[[Any], None]:
    """An answer that writes to the connection itself, piece by piece, with something done before each."""

    def write(connection: Any) -> None:
        with contextlib.suppress(OSError):
            for piece in pieces:
                then()
                connection.sendall(piece)

    return write
