"""The web served by itself, by uvicorn."""

from __future__ import annotations

import logging
import socket
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from fsmflow.errors import ConfigurationError

#: So many connections at once; whoever looks on live holds one.
MOST_AT_ONCE: Final = 1_000
_BACKLOG: Final = 128


class Server:
    """Listens from the moment it is made. Raises ConfigurationError where it cannot."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._socket = _listening(host, port)
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        # No access log: the paths of some requests hold what only they may know.
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=MOST_AT_ONCE,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=3,
        )
        self._server = uvicorn.Server(config)

    @property
    def url(self) -> str:
        """Where it is."""
        host, port = self._socket.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    def serve(self) -> None:
        """Answer until SIGTERM or SIGINT, or until ``end`` is called in another thread."""
        self._server.run(sockets=[self._socket])

    def end(self) -> None:
        """Answer no more."""
        self._server.should_exit = True


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise _cannot(host, port, error) from error
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        raise _cannot(host, port, error) from error
    found.set_inheritable(True)
    return found


def _cannot(host: str, port: int, error: Exception) -> ConfigurationError:
    why = getattr(error, "strerror", None) or error
    return ConfigurationError(f"cannot listen on {host} port {port}: {why}; name another one by --host and --port")
