"""The pages and the API as a blueprint of Flask, behind the login of the application.

app.register_blueprint(blueprint(who_asks, login="login"), url_prefix="/workflows")
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from flask import Blueprint, request, url_for
from werkzeug.wrappers import Response

from fsmflow.decision.inputs import Actor
from fsmflow.errors import NotPermitted
from fsmflow.web.app import create_app
from fsmflow.web.host import WORD, HostUser, Word
from fsmflow.web.identity import Auth, first_of
from fsmflow.web.threads import SIZE
from fsmflow.web.wsgi import Wsgi

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def blueprint(
    who: Callable[[], Actor | None],
    *,
    login: str | None = None,
    roles: Collection[str] | None = None,
    home: Mapping[str, str] | None = None,
    auth: Auth | None = None,
    name: str = "fsmflow",
    hosts: Collection[str] | None = None,
    threads: int = SIZE,
) -> Blueprint:
    """``who`` says who asks, in the context of the request: by ``session``, or Flask-Login's ``current_user``. None is
    for nobody; it may raise NotPermitted. ``login``: the endpoint to which a browser is sent then, with the page as
    ``next``. ``roles``: only who has one of them is let in. ``home``: titles and endpoints of ways back. ``auth`` is
    asked first, such as ``TokenAuth()`` for programs. The rest is as for ``create_app``.

    Pages that are open are told of no news, as each would hold a thread. Whether a form comes from a page of these is
    seen to here: where CSRFProtect of Flask-WTF is in use, ``csrf.exempt`` the blueprint.
    """
    host = HostUser()
    app = create_app(
        host if auth is None else first_of(auth, host), roles=roles, hosts=hosts, threads=threads, live=False
    )
    wsgi, made = Wsgi(app), Blueprint(name, __name__)

    def page(path: str) -> Response:
        root = (request.root_path + request.path).removesuffix(path).rstrip("/")
        word = Word(
            who=_said(who),
            login_url=None if login is None else url_for(login),
            home_links={title: url_for(endpoint) for title, endpoint in (home or {}).items()},
        )
        environ = {**request.environ, "SCRIPT_NAME": _raw(root), "PATH_INFO": _raw(f"/{path}"), WORD: word}
        return Response.from_app(wsgi, environ)

    for rule, options in (("/", {"defaults": {"path": ""}}), ("/<path:path>", {})):
        made.add_url_rule(rule, "page", page, methods=_METHODS, provide_automatic_options=False, **options)
    return made


def _said(who: Callable[[], Actor | None]) -> Callable[[], Actor | None]:
    """What it says, which it says here, in the context of the request; told where somebody asks who it is."""
    try:
        found = who()
    except NotPermitted as error:
        return _raising(error)
    return lambda: found


def _raising(error: NotPermitted) -> Callable[[], Actor | None]:
    def say() -> Actor | None:
        raise error

    return say


def _raw(text: str) -> str:
    """As text stands in the environment of WSGI."""
    return text.encode().decode("latin-1")
