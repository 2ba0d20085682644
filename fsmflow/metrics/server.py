"""A small HTTP server of its own for the same answers, where there is no web application that they could be part of."""

from __future__ import annotations

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final

from fsmflow import clock
from fsmflow.errors import ConfigurationError
from fsmflow.metrics.page import Page

#: So many are answered at once, and so long one may take to ask and to listen.
MOST_AT_ONCE: Final = 32
LIMIT_S: Final = 20.0


class _Handler(BaseHTTPRequestHandler):
    """One request, and the end of its connection."""

    server: Server
    server_version = "fsmflow"
    sys_version = ""
    timeout = 10.0

    def answer(self) -> None:
        answer = self.server.page.answer(self.command, self.path.partition("?")[0])
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body.encode())

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, format: str, *arguments: Any) -> None:
        """A scrape every few seconds is nothing to log."""


class Server(ThreadingHTTPServer):
    """Listens from the moment it is made. Raises ConfigurationError where it cannot."""

    daemon_threads = True

    def __init__(self, host: str, port: int, page: Page) -> None:
        self.page = page
        self._until_s: dict[socket.socket, float] = {}
        try:
            self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise ConfigurationError(
                f"cannot listen on {host} port {port}: {why}; name another one by --host and --port"
            ) from error

    @property
    def url(self) -> str:
        """Where the numbers are."""
        host, port = self.server_address[:2]
        name = host.decode() if isinstance(host, bytes) else host
        return f"http://{f'[{name}]' if ':' in name else name}:{port}/metrics"

    def server_bind(self) -> None:
        """Without asking for the name of this host, which may take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, unless too many are being answered."""
        if len(self._until_s) >= MOST_AT_ONCE:
            self.shutdown_request(request)
            return
        self._until_s[request] = clock.monotonic() + LIMIT_S
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._until_s.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called several times a second: end what takes too long."""
        now_s = clock.monotonic()
        for request, until_s in list(self._until_s.items()):
            if now_s > until_s:
                self._until_s.pop(request, None)
                _end(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """That whoever asked is gone before the answer was there is nothing to tell."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _end(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended by itself
