"""What every answer says to browsers, and which requests are not even looked at: another host, too large, too slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fsmflow.errors import FsmflowError
from fsmflow.web.errors import on_bug, on_error, refused

#: So much may come with a request, in bytes, and so long it may take.
BODY_LIMIT: Final = 1024 * 1024
BODY_LIMIT_S: Final = 20.0
#: Where the body of a request stands in its scope, once all of it has come.
BODY: Final = "fsmflow.body"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer": with that a browser sends "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}


class Answers:
    """Middleware: there is an answer, whatever is raised, and it has the headers of every answer. Nothing is kept by
    anybody unless the answer says so itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def sending(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            if has_begun:
                raise
            answer = on_error if isinstance(error, FsmflowError) else on_bug
            await (await answer(Request(scope), error))(scope, receive, sending)


class Hosts:
    """Middleware: requests that name another host are refused, such as those of a page whose name was made to lead
    here."""

    def __init__(self, app: ASGIApp, is_ours: Callable[[str], bool]) -> None:
        self._app = app
        self._is_ours = is_ours

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = Headers(scope=scope).get("host", "") if scope["type"] == "http" else ""
        if scope["type"] != "http" or self._is_ours(host):
            await self._app(scope, receive, send)
            return
        told = "This is not the host that the request names."
        await refused(Request(scope), 421, "Another host", told)(scope, receive, send)


class Bodies:
    """Middleware: the whole body is there before anybody acts on a part of it, and nobody can hold a thread by sending
    it slowly."""

    def __init__(self, app: ASGIApp, limit: int = BODY_LIMIT, limit_s: float = BODY_LIMIT_S) -> None:
        self._app = app
        self._limit = limit
        self._limit_s = limit_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._limit_s):
                body = await self._read(scope, receive)
        except TimeoutError:
            told = f"The request was not there within {self._limit_s:g} s."
            await refused(Request(scope), 408, "Too slow", told)(scope, receive, send)
            return
        except ClientDisconnect:
            # Where somebody is still there, it came by a server that does not say so.
            told = "The request broke off before all of it had come. Nothing was changed."
            await refused(Request(scope), 400, "Broken off", told)(scope, receive, send)
            return
        if body is None:
            told = f"The request holds more than {self._limit:,} bytes."
            await refused(Request(scope), 413, "Too large", told)(scope, receive, send)
            return
        scope[BODY] = body
        await self._app(scope, _replaying(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body; None where it is larger than it may be. Raises ClientDisconnect: a part of a request is none."""
        told = Headers(scope=scope).get("content-length", "0")
        if told.isdigit() and int(told) > self._limit:
            return None
        found, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            found.append(message.get("body", b""))
            size += len(found[-1])
            if size > self._limit:
                return None
            if not message.get("more_body", False):
                return b"".join(found)


def _replaying(body: bytes, receive: Receive) -> Receive:
    """What was read, as if it came now; and then what comes."""
    left = [body]

    async def receiving() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return receiving
