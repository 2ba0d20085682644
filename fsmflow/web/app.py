"""``create_app``: all of it as one ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from fsmflow import __version__
from fsmflow.engine.threads import Pool
from fsmflow.errors import FsmflowError
from fsmflow.web import hooks, links, static
from fsmflow.web import live as live_pages
from fsmflow.web.api.routes import ROUTES
from fsmflow.web.errors import on_error, on_http
from fsmflow.web.forgery import Forgery
from fsmflow.web.identity import Auth, Entrance, Identity, LocalUser, is_local_name
from fsmflow.web.live import Ticker
from fsmflow.web.pages import desk, entities, failures, holds, limits, overview, repairs, schedules, workers
from fsmflow.web.section import Section
from fsmflow.web.security import BODY_LIMIT, BODY_LIMIT_S, Answers, Bodies, Hosts
from fsmflow.web.threads import SIZE, enter, pool_of_pages

#: In the order of the navigation.
SECTIONS: Final[tuple[Section, ...]] = (
    overview.SECTION,
    desk.SECTION,
    entities.SECTION,
    failures.SECTION,
    repairs.SECTION,
    holds.SECTION,
    limits.SECTION,
    workers.SECTION,
    schedules.SECTION,
)


def create_app(
    auth: Auth | None = None,
    *,
    login_url: str | None = None,
    roles: Collection[str] | None = None,
    home_links: Mapping[str, str] | None = None,
    hosts: Collection[str] | None = None,
    threads: int = SIZE,
    live: bool = True,
    body_limit: int = BODY_LIMIT,
    body_limit_s: float = BODY_LIMIT_S,
) -> FastAPI:
    """The pages and the API, to be served or mounted.

    ``auth(request)`` says who asks: an ``Actor``, or None for nobody who is known. Without it only who connects from
    this very machine is let in, as the system's user. ``login_url``: where a browser is sent of which nobody knows
    whose it is; the page from which it comes is added as ``next``. ``roles``: only who has one of them is let in;
    without it everybody whom ``auth`` knows. ``home_links``: ways back into the application around it, by their titles.

    ``hosts``: the names under which it is served; any, if ``auth`` is given and these are not. ``threads``: so many
    pages are made at once, each with a connection to the database. ``live``: pages that are open are told of news, by a
    connection each, which a server that gives each request a thread should not hold. ``body_limit``: so many bytes may
    come with a request, and so many seconds (``body_limit_s``) they may take.
    """
    pool, who = pool_of_pages(threads), auth or LocalUser()
    middleware = [
        Middleware(_Entered, pool=pool),
        Middleware(Answers),
        Middleware(Hosts, is_ours=_ours(auth, hosts)),
        Middleware(Bodies, limit=body_limit, limit_s=body_limit_s),
        Middleware(Forgery),
        Middleware(Identity, auth=who, login_url=login_url, roles=roles),
    ]
    app = _empty(pool, middleware)
    app.state.home_links = dict(home_links or {})
    _route(app, who, Ticker(pool) if live else None)
    return app


def _empty(pool: Pool, middleware: list[Middleware]) -> FastAPI:
    return FastAPI(
        title="fsmflow",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # They would name the host that the request names.
        redirect_slashes=False,
        lifespan=_lifespan(pool),
        middleware=middleware,
        exception_handlers={FsmflowError: on_error, HTTPException: on_http},
    )


def _route(app: FastAPI, who: Auth, ticker: Ticker | None) -> None:
    app.state.ticker = ticker
    app.state.sections = SECTIONS
    app.router.routes.extend((static.ROUTE, *links.ROUTES, *hooks.ROUTES, *ROUTES))
    if ticker is not None:
        app.router.routes.append(live_pages.ROUTE)
    if isinstance(who, Entrance):
        app.router.routes.extend(who.routes)
    for section in SECTIONS:
        app.router.routes.extend(section.routes)


def _ours(auth: Auth | None, hosts: Collection[str] | None) -> Callable[[str], bool]:
    if hosts is not None:
        names = frozenset(host.lower() for host in hosts)
        return lambda host: host.lower() in names or host.rpartition(":")[0].lower() in names
    return is_local_name if auth is None else lambda host: True


def _lifespan(pool: Pool) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        pool.close()

    return lifespan


class _Entered:
    """Middleware: the outermost."""

    def __init__(self, app: ASGIApp, pool: Pool) -> None:
        self._app = app
        self._pool = pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        enter(self._pool, scope.get("method"))
        scope.setdefault("state", {})
        await self._app(scope, receive, send)
