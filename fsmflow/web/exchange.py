"""``Exchange``: one request to an application of ASGI, made from within another one that has the request already."""

from __future__ import annotations

import asyncio
from typing import Protocol

from starlette.types import ASGIApp, Message, Scope

_CHUNK = 65_536


class Body(Protocol):
    """What has come with a request."""

    def read(self, size: int, /) -> bytes:
        """So many bytes at most; none at its end."""
        ...


class Exchange:
    """Its parts are those of the body of the answer. Whoever does not want them all closes it, from any thread."""

    def __init__(self, app: ASGIApp, scope: Scope, body: Body) -> None:
        self._app, self._scope, self._body = app, scope, body
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_read = self._is_over = False

    async def begin(self) -> Message:
        """How the answer begins: its status and headers."""
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._serve())
        try:
            message = await self._messages.get()
        except asyncio.CancelledError:
            self.close()
            raise
        if message is None:
            await self._task
            raise RuntimeError("the application has ended without an answer")
        return message

    async def rest(self) -> bytes:
        """What is left of the body, all at once."""
        return b"".join([part async for part in self])

    def __aiter__(self) -> Exchange:
        return self

    async def __anext__(self) -> bytes:
        if self._is_over:
            raise StopAsyncIteration
        message = await self._messages.get()
        if message is None:
            self._is_over = True
            if self._task is not None:
                await self._task  # what was raised in it is raised here
            raise StopAsyncIteration
        self._is_over = not message.get("more_body", False)
        return bytes(message.get("body", b""))

    def close(self) -> None:
        """Nobody wants the rest."""
        if self._loop is not None and self._task is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def _serve(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._messages.put)
        finally:
            if not self._is_over:
                await self._messages.put(None)

    async def _receive(self) -> Message:
        if self._is_read:
            # It is closed once whoever asked has gone away.
            await asyncio.Event().wait()
        part = self._body.read(_CHUNK)
        self._is_read = len(part) < _CHUNK
        return {"type": "http.request", "body": part, "more_body": not self._is_read}
