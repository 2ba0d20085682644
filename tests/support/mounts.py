"""The web in applications of others, each below ``/shop/ops/``, where a header says who asks."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

import django
import flask
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from starlette.applications import Starlette
from starlette.routing import Mount
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import make_server

from fsmflow import Actor
from fsmflow.web import create_app
from fsmflow.web.flask import blueprint
from tests.support.website import Site, serving

ROOT: Final = "/shop/ops"
HEADER: Final = "X-Name"
LIVE: Final = ("fastapi", "django by asgi")
PEOPLE: Final = {"ada": Actor("ada", ["manager"]), "eve": Actor("eve")}
#: With what comes with Django 5.1.
_MIDDLEWARE: Final = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "tests.support.mounts_django.known",
    *(["django.contrib.auth.middleware.LoginRequiredMiddleware"] if django.VERSION >= (5, 1) else []),
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]


@contextlib.contextmanager
def by_wsgi(app: Any) -> Iterator[Site]:
    """Serve an application of WSGI until the end of the block."""
    server = make_server("127.0.0.1", 0, DispatcherMiddleware(app, {"/shop": app}), threaded=True)
    thread = threading.Thread(target=server.serve_forever, name="site")
    thread.start()
    site = Site(f"http://127.0.0.1:{server.server_port}")
    try:
        yield site
    finally:
        site.client.close()
        server.shutdown()
        thread.join()
        server.server_close()


def in_fastapi() -> AbstractContextManager[Site]:
    app = create_app(
        lambda request: PEOPLE.get(request.headers.get(HEADER, "")),
        login_url="/shop/login",
        roles={"manager"},
        home_links={"Shop": "/shop/"},
        hosts=["127.0.0.1"],
    )
    return serving(Starlette(routes=[Mount("/shop", routes=[Mount("/ops", app=app)])]))


def in_flask() -> AbstractContextManager[Site]:
    app = flask.Flask(__name__)
    app.add_url_rule("/", "home", lambda: "the shop")
    app.add_url_rule("/login", "login", lambda: "log in")
    ops = blueprint(
        lambda: PEOPLE.get(flask.request.headers.get(HEADER, "")),
        login="login",
        roles={"manager"},
        home={"Shop": "home"},
        hosts=["127.0.0.1"],
    )
    app.register_blueprint(ops, url_prefix="/ops")
    return by_wsgi(app)


def in_django() -> None:
    """Settings with all that could get into the way: Django's own check of forms, and logins asked for everywhere."""
    if not settings.configured:
        settings.configure(
            SECRET_KEY="of the tests",
            ALLOWED_HOSTS=["127.0.0.1"],
            ROOT_URLCONF="tests.support.mounts_django",
            LOGIN_URL="login",
            INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
            MIDDLEWARE=_MIDDLEWARE,
        )
        django.setup()


def in_django_by_wsgi() -> AbstractContextManager[Site]:
    in_django()
    return by_wsgi(get_wsgi_application())


def in_django_by_asgi() -> AbstractContextManager[Site]:
    in_django()
    return serving(Starlette(routes=[Mount("/shop", app=get_asgi_application())]))


MOUNTS: Final[dict[str, Callable[[], AbstractContextManager[Site]]]] = {
    "fastapi": in_fastapi,
    "flask": in_flask,
    "django by wsgi": in_django_by_wsgi,
    "django by asgi": in_django_by_asgi,
}
