"""Who asks. An application that is mounted elsewhere is told by its host; by itself it knows the system's user."""

from __future__ import annotations

import inspect
import ipaddress
from collections.abc import Awaitable, Callable, Collection, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from fsmflow.decision.inputs import Actor
from fsmflow.errors import NotPermitted
from fsmflow.person import listed, login
from fsmflow.web.errors import refused
from fsmflow.web.templates import root_of
from fsmflow.web.threads import pool_of_request

#: Who asks by a request: somebody, or None for nobody who is known. It is called in a thread, and may be a coroutine.
Auth = Callable[[Request], Actor | None] | Callable[[Request], Awaitable[Actor | None]]

#: What a proxy adds: then it is not the one who asks that connects from this machine.
_PROXIED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
#: Below these paths nobody has to be known: what is there checks by itself who asks, or is public.
_OPEN: Final = ("/static/", "/hooks/", "/links/")


class Entrance:
    """An ``auth`` with pages of its own, such as a form to log in. ``routes`` are open to everybody."""

    routes: Sequence[BaseRoute] = ()

    def __call__(self, request: Request) -> Actor | None:
        """Who asks."""
        raise NotImplementedError

    def challenge(self, request: Request) -> Response | None:
        """What somebody gets who is not known, as the way to a form. None for a plain answer."""
        return None

    def refuses(self, request: Request) -> bool:
        """Whether it was asked who this is, and lets nobody in by what came with the request: then nobody else is
        asked."""
        return False

    def is_https(self, request: Request) -> bool:
        """Whether whoever asks does so by https, as far as that is known here."""
        return request.url.scheme == "https"


class LocalUser(Entrance):
    """Whoever connects from this machine, itself, is the system's user that serves; nobody else is anybody."""

    def __call__(self, request: Request) -> Actor | None:
        client = request.client
        if client is None or not is_loopback(client.host) or any(name in request.headers for name in _PROXIED):
            return None
        return listed(login(), login()) if is_local_name(request.headers.get("host", "")) else None


class _First(Entrance):
    def __init__(self, auths: Sequence[Auth]) -> None:
        self._auths = auths
        self.routes = [route for auth in auths if isinstance(auth, Entrance) for route in auth.routes]

    def __call__(self, request: Request) -> Actor | None:
        for auth in self._auths:
            found = auth(request)
            if not (found is None or isinstance(found, Actor)):
                raise TypeError("first_of takes functions that are no coroutines")
            if found is not None or (isinstance(auth, Entrance) and auth.refuses(request)):
                return found
        return None

    def is_https(self, request: Request) -> bool:
        entrances = [auth for auth in self._auths if isinstance(auth, Entrance)]
        return super().is_https(request) or any(auth.is_https(request) for auth in entrances)

    def challenge(self, request: Request) -> Response | None:
        ways = (auth.challenge(request) for auth in self._auths if isinstance(auth, Entrance))
        return next((way for way in ways if way is not None), None)


def first_of(*auths: Auth) -> Entrance:
    """The first of these that knows who asks: ``first_of(TokenAuth(), Login())``. Where a token comes that lets
    nobody in, those after it are not asked: whoever sends one means no other way."""
    return _First(auths)


def actor_of(request: Request) -> Actor:
    """Who asks by this request. What comes of it is decided and permitted, and told in history, for this actor."""
    found: Actor = request.state.actor
    return found


def not_let_in(name: str, needs: str) -> NotPermitted:
    """What somebody is told who is known, and is none of those for whom these pages are."""
    return NotPermitted(
        "fsmflow", "look", (), name, words=f"it takes {needs}, and {name!r} has none; ask whoever runs this"
    )


def way_to_login(request: Request, url: str) -> Response | None:
    """The way to the login of the application around this one, and back from there by ``next``. None for a program,
    which is told that it is nobody."""
    if is_api(request.scope):
        return None
    if request.method == "GET":
        back = root_of(request) + quote(path_of(request.scope), safe="/:")
        query = urlencode({"next": f"{back}?{request.url.query}" if request.url.query else back})
        url = f"{url}{'&' if '?' in url else '?'}{query}"
    if "hx-request" in request.headers:
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": url})
    return RedirectResponse(url, HTTPStatus.SEE_OTHER)


def is_loopback(host: str) -> bool:
    """Whether an address is this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_local_name(host: str) -> bool:
    """Whether a ``Host`` header names this machine: a page of another site that resolves its own name to this machine
    would send that name."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower() in _LOCAL_NAMES


class Identity:
    """Middleware: finds out who asks before anything is looked at for them."""

    def __init__(self, app: ASGIApp, auth: Auth, login_url: str | None, roles: Collection[str] | None) -> None:
        self._app = app
        self._auth = auth
        self._login_url = login_url
        self._roles = None if roles is None else frozenset(roles)
        routes = auth.routes if isinstance(auth, Entrance) else ()
        self._open = (*_OPEN, *(str(getattr(route, "path", "")) for route in routes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if isinstance(self._auth, Entrance):
            request.state.is_https = self._auth.is_https(request)
        if self._is_open(scope):
            await self._app(scope, receive, send)
            return
        actor = await self._asks(request)
        if actor is None:
            await self._unknown(request)(scope, receive, send)
            return
        if self._roles is not None and not self._roles & actor.roles:
            raise not_let_in(actor.name, f"one of the roles {', '.join(sorted(self._roles))}")
        scope.setdefault("state", {})["actor"] = actor
        await self._app(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        path = path_of(scope)
        return any(path == each or (each.endswith("/") and path.startswith(each)) for each in self._open)

    async def _asks(self, request: Request) -> Actor | None:
        if inspect.iscoroutinefunction(self._auth):
            found = await self._auth(request)
        else:
            found = await pool_of_request().run(self._auth, request)
        if not (found is None or isinstance(found, Actor)):
            raise TypeError(f"auth returned {type(found).__name__}; it returns an Actor, or None for nobody")
        return found

    def _unknown(self, request: Request) -> Response:
        way = self._auth.challenge(request) if isinstance(self._auth, Entrance) else None
        if way is None and self._login_url is not None:
            way = way_to_login(request, self._login_url)
        if way is None:
            way = refused(request, 401, "Please log in", "It is not known who asks.", NOBODY)
            if is_api(request.scope):
                way.headers["WWW-Authenticate"] = "Bearer"
        return way


NOBODY: Final = "Log in where this application is part of, or ask whoever runs it how to."


def path_of(scope: Scope) -> str:
    """The path below the place at which this application is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) or "/"


def is_api(scope: Scope) -> bool:
    """Whether a program asks, which gets JSON whatever happens."""
    return path_of(scope).startswith("/api/")
