"""The HTTP API as programs meet it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx2

from fsmflow import Actor
from tests.support.website import ADA, site_of


class Program:
    """Asks the API for ``actor``."""

    def __init__(self, client: httpx2.Client) -> None:
        self.client = client

    def ask(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        """The JSON of an answer, which has to have this status. ``headers``: ``if_match="3"`` is ``If-Match: 3``."""
        return self.answer(method, path, body, status, **headers).json()

    def answer(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> httpx2.Response:
        """The whole answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent: Any = {"json": {} if body is None else body} if method in ("POST", "PUT") else {}
        answer = self.client.request(method, f"/api/v1{path}", headers=named, **sent)
        assert answer.status_code == status, answer.text
        kind = "application/json" if status < 400 else "application/problem+json"
        assert answer.headers["content-type"] == kind
        return answer

    def get(self, path: str, status: int = 200) -> Any:
        return self.ask("GET", path, status=status)

    def post(self, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        return self.ask("POST", path, body, status, **headers)


@contextlib.contextmanager
def programs() -> Iterator[Callable[..., Program]]:
    """What makes a program of an actor: all of them ask one server, which knows them by a header."""
    actors: dict[str, Actor] = {}
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(site_of(lambda request: actors.get(request.headers.get("who", ""))))

        def program(actor: Actor = ADA) -> Program:
            name = f"{actor.name}-{len(actors)}"
            actors[name] = actor
            client = httpx2.Client(base_url=site.url, headers={"Who": name}, timeout=30)
            stack.callback(client.close)
            return Program(client)

        yield program
