"""A login of its own: a form, and a cookie that holds a random number. What that is worth stands in the database."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from fsmflow.decision.inputs import MAX_TEXT, Actor
from fsmflow.definition.retry import is_duration
from fsmflow.engine import sessions, users
from fsmflow.engine.runtime import Runtime, current
from fsmflow.errors import ConfigurationError, shown
from fsmflow.log.users import login_accepted, login_ended, login_refused
from fsmflow.web.forgery import fields_of
from fsmflow.web.identity import Entrance, is_api, path_of
from fsmflow.web.passwords import is_right
from fsmflow.web.proxy import Proxies
from fsmflow.web.templates import link, render, root_of
from fsmflow.web.threads import threaded

PATH: Final = "/login"
LEAVE: Final = "/logout"
_COOKIE: Final = "fsmflow_session"
_MOST_CHARS: Final = 2_000


class Login(Entrance):
    """Has people log in by name and password: the users of ``fsmflow users``.

    ``idle`` and ``longest``, in seconds or as timedeltas: a session ends when it was not used for so long, and in any
    case so long after the login. ``trusted``: the networks of a proxy in front, which is believed where somebody comes
    from, and whether by https. Raises ConfigurationError.
    """

    def __init__(
        self,
        *,
        idle: float | timedelta = timedelta(hours=1),
        longest: float | timedelta = timedelta(hours=12),
        trusted: Iterable[str] = (),
    ) -> None:
        self._idle_ms, self._longest_ms = _ms(idle, "idle"), _ms(longest, "longest")
        self._proxies = Proxies(trusted)
        self.routes = (
            Route(PATH, threaded(self._page), methods=["GET"]),
            Route(PATH, threaded(self._enter), methods=["POST"]),
            Route(LEAVE, threaded(self._leave), methods=["POST"]),
        )

    def __call__(self, request: Request) -> Actor | None:
        secret = request.cookies.get(self._cookie(request))
        found = None if secret is None else sessions.look(current(), secret, self._idle_ms)
        if found is not None:
            request.state.logout = LEAVE
        return found

    def challenge(self, request: Request) -> Response | None:
        """The way to the form, and back from there; a program is told that it is nobody."""
        if is_api(request.scope):
            return None
        if request.headers.get("sec-fetch-site") == "cross-site" and request.method == "GET":
            # A browser keeps the cookie back where a link of another site leads here; this page asks once more.
            return render(request, "again.html", way=root_of(request) + _local(_path_of(request)))
        there = _path_of(request) if request.method == "GET" else None
        way = link(request, PATH, None if there in (None, "/") else {"next": there})
        if "hx-request" in request.headers:
            return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": way})
        return RedirectResponse(way, HTTPStatus.SEE_OTHER)

    def is_https(self, request: Request) -> bool:
        return self._proxies.is_https(request)

    def _page(self, request: Request) -> Response:
        after = _local(request.query_params.get("next"))
        if self(request) is not None:
            return RedirectResponse(root_of(request) + after, HTTPStatus.SEE_OTHER)
        return render(request, "login.html", user="", after=after, told=None)

    def _enter(self, request: Request) -> Response:
        fields = {key: values[0] for key, values in fields_of(request).items()}
        name, password = fields.get("name", "").strip(), fields.get("password", "")
        after, address = _local(fields.get("next")), self._proxies.address(request)
        runtime = current()
        wait_ms = sessions.has_to_wait(runtime, name, address)
        if wait_ms:
            login_refused(_known_name(runtime, name), address, "too many tries of late")
            return _refused(request, name, after, wait_s=math.ceil(wait_ms / 1000))
        user = users.find(runtime, name) if len(name) <= MAX_TEXT else None
        is_user = is_right(password, None if user is None else user.password)
        if user is None or not is_user or user.disabled:
            why = "disabled" if user is not None and is_user else "wrong password" if user else "no such user"
            login_refused(_known_name(runtime, name), address, why)
            return _refused(request, name, after)
        sessions.was_right(runtime, name, address)
        self._end(runtime, request)
        login_accepted(name, address)
        answer = RedirectResponse(root_of(request) + after, HTTPStatus.SEE_OTHER)
        self._give(request, answer, sessions.begin(runtime, user, self._longest_ms))
        return answer

    def _leave(self, request: Request) -> Response:
        actor = self(request)
        self._end(current(), request)
        if actor is not None:
            login_ended(actor.name, self._proxies.address(request))
        answer = RedirectResponse(link(request, PATH), HTTPStatus.SEE_OTHER)
        answer.delete_cookie(self._cookie(request), **self._attributes(request))
        answer.headers["Clear-Site-Data"] = '"cache"'
        return answer

    def _end(self, runtime: Runtime, request: Request) -> None:
        """Of the session that a browser comes with, nothing is left: at a login the next one is another."""
        secret = request.cookies.get(self._cookie(request))
        if secret is not None:
            sessions.end(runtime, secret)

    def _cookie(self, request: Request) -> str:
        """Its name. By https a browser takes it from this very host alone; below a path, from https alone."""
        if not self.is_https(request):
            return _COOKIE
        return f"__Secure-{_COOKIE}" if root_of(request) else f"__Host-{_COOKIE}"

    def _give(self, request: Request, answer: Response, secret: str) -> None:
        attributes = self._attributes(request)
        answer.set_cookie(self._cookie(request), secret, max_age=self._longest_ms // 1000, **attributes)

    def _attributes(self, request: Request) -> dict[str, Any]:
        secure = self.is_https(request)
        return {"path": root_of(request) or "/", "secure": secure, "httponly": True, "samesite": "strict"}


def _refused(request: Request, name: str, after: str, *, wait_s: int | None = None) -> Response:
    """The form once more. It says the same of a name that there is and of one that there is not."""
    told = "The name or the password is wrong."
    if wait_s is None:
        return render(request, "login.html", status=403, user=name[:MAX_TEXT], after=after, told=told)
    told = f"There were too many tries. Try again in {wait_s} s."
    answer = render(request, "login.html", status=429, user=name[:MAX_TEXT], after=after, told=told)
    answer.headers["Retry-After"] = str(wait_s)
    return answer


def _known_name(runtime: Runtime, name: str) -> str:
    """A name for the log. What nobody is called may be a password that was typed in the wrong place."""
    return name if len(name) <= MAX_TEXT and users.find(runtime, name) is not None else "a name that nobody has"


def _path_of(request: Request) -> str:
    """What was asked for, from where this is mounted on."""
    path = quote(path_of(request.scope), safe="/:")
    return f"{path}?{request.url.query}" if request.url.query else path


def _local(path: str | None) -> str:
    """Where somebody goes after the login: a page from here, never of another site."""
    if not path or len(path) > _MOST_CHARS or not path.startswith("/") or path[1:2] in ("/", "\\"):
        return "/"
    parts = urlsplit(path)
    is_clean = path.isprintable() and "\\" not in path and not parts.scheme and not parts.netloc
    return path if is_clean and parts.path not in (PATH, LEAVE) else "/"


def _ms(given: float | timedelta, what: str) -> int:
    if not is_duration(given) or not given:
        raise ConfigurationError(f"Login({what}={shown(given)}): it takes seconds or a timedelta, more than none")
    return round((given.total_seconds() if isinstance(given, timedelta) else given) * 1000)
