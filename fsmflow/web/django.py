"""The pages and the API in a project of Django, under WSGI and ASGI, behind its login and for whom it has a permission.

workflows = Dashboard(permission="shop.see_workflows")
urlpatterns = [path("workflows/", workflows.urls), path("admin/", admin.site.urls)]
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property, partial
from typing import Any, Final

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.db import transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import resolve_url
from django.urls import re_path, reverse
from django.views.decorators.csrf import csrf_exempt

from fsmflow.decision.inputs import Actor
from fsmflow.person import person_with
from fsmflow.web.app import create_app
from fsmflow.web.exchange import Exchange
from fsmflow.web.host import WORD, HostUser, Word
from fsmflow.web.identity import Auth, first_of, not_let_in
from fsmflow.web.threads import SIZE
from fsmflow.web.wsgi import Wsgi

TITLE: Final = "Workflows"
_NAMES: Final = "fsmflow"


class Dashboard:
    """``permission``: whoever has it in Django is let in; without one, the staff. ``actor`` says who an
    ``HttpRequest`` comes from. Without it that is the user by name, in whose roles and teams that the installation
    gives, and in the user's groups as roles besides. ``home``: ways back, as titles and what ``redirect`` takes.
    ``auth`` is asked first, such as ``TokenAuth()`` for programs. The rest is as for ``create_app``.

    Django's check of forms is switched off for these pages alone: they have one of their own, which asks the browser
    where a form came from. Under ASGI open pages are told of news; under WSGI each of them would hold a thread.
    """

    def __init__(
        self,
        permission: str = "",
        *,
        actor: Callable[[Any], Actor] | None = None,
        home: Mapping[str, str] | None = None,
        auth: Auth | None = None,
        hosts: Collection[str] | None = None,
        threads: int = SIZE,
    ) -> None:
        self._permission = permission
        self._actor = actor
        self._home = dict(home or {})
        who = HostUser() if auth is None else first_of(auth, HostUser())
        self._make = partial(create_app, who, hosts=hosts, threads=threads)

    @property
    def urls(self) -> tuple[list[Any], str, str]:
        """For ``path("workflows/", ....urls)``, as those of an admin site."""
        return [re_path(r"^(?P<rest>.*)$", _view_of(self), name="page")], _NAMES, _NAMES

    def is_open_to(self, user: Any) -> bool:
        """Whether a user of Django is let in."""
        if not user.is_active:
            return False
        return bool(user.has_perm(self._permission) if self._permission else user.is_staff)

    def app_list(self, request: Any) -> list[dict[str, Any]]:
        """The line for the list of applications of an admin site; none for a user who would not be let in."""
        if not self.is_open_to(request.user):
            return []
        url = reverse(f"{_NAMES}:page", args=[""])
        link = {"name": TITLE, "object_name": TITLE, "admin_url": url, "add_url": None, "view_only": True}
        models = [{**link, "perms": {"view": True}, "model": None}]
        return [{"name": TITLE, "app_label": _NAMES, "app_url": url, "has_module_perms": True, "models": models}]

    def answer(self, request: Any, rest: str) -> Any:
        """The answer to a request for what is below the place where this is mounted."""
        root = request.path.removesuffix(rest).rstrip("/")
        links = {title: resolve_url(where) for title, where in self._home.items()}
        word = Word(who=self._who(request), login_url=resolve_url(settings.LOGIN_URL), home_links=links)
        if not isinstance(request, ASGIRequest):
            raw = {"SCRIPT_NAME": _raw(root), "PATH_INFO": _raw(f"/{rest}")}
            return _by_wsgi(self._wsgi, {**request.environ, **raw, "wsgi.input": request, WORD: word})
        scope = {**request.scope, "root_path": root, "path": f"{root}/{rest}", "state": {}, WORD: word}
        return async_to_sync(_by_asgi)(Exchange(self._asgi, scope, request))

    @cached_property
    def _asgi(self) -> Any:
        return self._make()

    @cached_property
    def _wsgi(self) -> Wsgi:
        return Wsgi(self._make(live=False))

    def _who(self, request: Any) -> Callable[[], Actor | None]:
        """Who asks. Django's database is asked here, in a thread that it looks after."""
        user = request.user
        if not user.is_authenticated:
            return lambda: None
        name = user.get_username()
        if not self.is_open_to(user):
            return partial(_refuse, name, f"the permission {self._permission}" if self._permission else "staff status")
        if self._actor is None:
            return partial(person_with, name, list(user.groups.values_list("name", flat=True)))
        found = self._actor(request)
        return lambda: found


def _view_of(dashboard: Dashboard) -> Any:
    def fsmflow(request: Any, rest: str) -> Any:
        return dashboard.answer(request, rest)

    view = csrf_exempt(transaction.non_atomic_requests(fsmflow))
    # For LoginRequiredMiddleware: who asks is seen to here, and links that are signed ask for nobody.
    view.login_required = False
    return view


def _refuse(name: str, needs: str) -> Actor | None:
    raise not_let_in(name, needs)


def _by_wsgi(wsgi: Wsgi, environ: dict[str, Any]) -> Any:
    begun: list[Any] = []
    parts = wsgi(environ, lambda status, headers, error=None: begun.extend((status, headers)))
    first = next(parts, b"")
    status, headers = int(begun[-2].split()[0]), begun[-1]
    if _is_short(status, headers):
        return _headed(HttpResponse(b"".join((first, *parts)), status=status), headers)
    return _headed(StreamingHttpResponse(_flow(first, parts), status=status), headers)


async def _by_asgi(exchange: Exchange) -> Any:
    start = await exchange.begin()
    status = start["status"]
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
    if _is_short(status, headers):
        return _headed(HttpResponse(await exchange.rest(), status=status), headers)
    return _headed(StreamingHttpResponse(exchange, status=status), headers)


def _is_short(status: int, headers: list[tuple[str, str]]) -> bool:
    """Whether an answer is handed to Django as a whole; what has no length comes bit by bit."""
    return status in (204, 304) or any(name.lower() == "content-length" for name, _ in headers)


def _flow(first: bytes, parts: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from parts


def _headed(answer: Any, headers: list[tuple[str, str]]) -> Any:
    del answer["Content-Type"]
    for name, value in headers:
        if name.lower() == "set-cookie":
            answer.cookies.load(value)
        else:
            answer[name] = value
    return answer


def _raw(text: str) -> str:
    """As text stands in the environment of WSGI."""
    return text.encode().decode("latin-1")
