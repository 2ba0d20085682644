"""The same as an ASGI application, to be served by itself or mounted in another one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fsmflow.metrics.page import Answer, Page

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class App:
    """An ASGI application, for asyncio. Reading goes on in threads, so the loop waits for nothing."""

    def __init__(self, page: Page | None = None) -> None:
        self._page = page or Page()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            answer = await asyncio.to_thread(self._page.answer, scope["method"], path)
            await _tell(answer, send, with_body=scope["method"] != "HEAD")
        else:
            raise ValueError(f"fsmflow.metrics answers to HTTP, not to {scope['type']!r}")


async def _tell(answer: Answer, send: Send, *, with_body: bool) -> None:
    headers = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body.encode() if with_body else b""})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
