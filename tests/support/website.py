"""The web as its users meet it: a real server on a port of its own, in a thread, over a real database."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import httpx2

from fsmflow import Actor
from fsmflow.web import create_app
from fsmflow.web.server import Server

#: Who asks in most tests: may do everything.
ADA = Actor("ada", ("manager", "operator"), teams="*")


def ada(request: Any) -> Actor:
    """An ``auth`` for which everybody is Ada."""
    return ADA


class Site:
    """The running web. ``client`` asks it as a browser does, from a page of its own."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.client = httpx2.Client(base_url=self.url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=30)

    def page(self, path: str, status: int = 200) -> str:
        """The text of a page, which has to have this status."""
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.text

    def post(self, path: str, status: int = 303, /, **fields: Any) -> httpx2.Response:
        """Send a form."""
        answer = self.client.post(path, data=fields)
        assert answer.status_code == status, answer.text
        return answer


@contextlib.contextmanager
def serving(app: Any) -> Iterator[Site]:
    """Serve an application until the end of the block."""
    server = Server(app, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve, name="site")
    thread.start()
    site = Site(server.url)
    try:
        yield site
    finally:
        site.client.close()
        server.end()
        thread.join()


@contextlib.contextmanager
def site_of(auth: Any = ada, **options: Any) -> Iterator[Site]:
    """The web for whoever ``auth`` says."""
    with serving(create_app(auth, **options)) as site:
        yield site
