"""``Wsgi``: the pages and the API for servers that give each request a thread, as gunicorn and mod_wsgi do."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator, MutableMapping
from typing import Any, Final, cast
from urllib.parse import quote

from a2wsgi import ASGIMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_TASK: Final = "fsmflow.task"
#: What may stand in a query as it is: all of ASCII that can be seen.
_QUERY: Final = "".join(map(chr, range(33, 127)))


class Wsgi:
    """An application of ``create_app(live=False)`` as one of WSGI: an open page would hold a thread to hear of news.

    The event loop in which it answers is made by the process that answers, so that a server may load the application
    first and fork then. Where whoever asks goes away amidst an answer, what made it ends.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._made: tuple[int, ASGIMiddleware] | None = None

    def __call__(self, environ: MutableMapping[str, Any], start_response: Any) -> Iterator[bytes]:
        bridge, given = self._bridge(), _readable(environ)
        try:
            yield from bridge(given, start_response)
        finally:
            task = given.get(_TASK)
            if task is not None:
                bridge.loop.call_soon_threadsafe(task.cancel)

    def _bridge(self) -> ASGIMiddleware:
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                self._made = (os.getpid(), ASGIMiddleware(cast(Any, self._serve)))
            return self._made[1]

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["wsgi_environ"][_TASK] = asyncio.current_task()
        await self._app(scope, _whole(receive), send)


def _whole(receive: Receive) -> Receive:
    """A body that ends before it has the length that was told has broken off."""

    async def receiving() -> Message:
        message = await receive()
        if message["type"] == "http.request" and message["more_body"] and not message["body"]:
            return {"type": "http.disconnect"}
        return message

    return receiving


def _readable(environ: MutableMapping[str, Any]) -> Any:
    """What servers pass on as it came, in the form that it has to have."""
    given = {**environ, "REMOTE_PORT": environ.get("REMOTE_PORT") or "0"}
    for name in ("SCRIPT_NAME", "PATH_INFO"):
        text = str(given.get(name, "")).encode("latin-1").decode("utf-8", "replace")
        given[name] = text.encode().decode("latin-1")
    given["SCRIPT_NAME"] = given["SCRIPT_NAME"].rstrip("/")
    given["QUERY_STRING"] = quote(str(given.get("QUERY_STRING", "")), safe=_QUERY, encoding="latin-1")
    if not str(given.get("CONTENT_LENGTH") or "0").isdecimal():
        given["CONTENT_LENGTH"] = "0"
    return given
