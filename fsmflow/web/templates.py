"""Pages made of templates. Whatever stands in them is text, never markup; a name that is missing is an error."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from fsmflow.web import static
from fsmflow.web.filters import FILTERS

#: The cookie that a form repeats, where a browser does not say by itself where a form came from.
TOKEN: Final = "fsmflow_form"

_environment: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters.update(FILTERS)


def render(request: Request, name: str, *, status: int = 200, **context: Any) -> Response:
    """A page from a template. It is made for one request, and kept nowhere."""
    token = token_of(request) or secrets.token_urlsafe(24)
    text = _environment.get_template(name).render(_around(request, token), **context)
    answer = HTMLResponse(text, status_code=status)
    if token_of(request) is None:
        path = f"{root_of(request)}/"
        secure = getattr(request.state, "is_https", request.url.scheme == "https")
        answer.set_cookie(TOKEN, token, path=path, secure=secure, httponly=True, samesite="strict")
    return answer


def token_of(request: Request) -> str | None:
    """The token of this browser, where it has one."""
    found = request.cookies.get(TOKEN)
    return found if found and len(found) < 100 else None


def root_of(request: Request) -> str:
    """Where this application is mounted, without a slash at its end."""
    return quote(str(request.scope.get("root_path", "")).rstrip("/"), safe="/:@!$&'()*+,;=~")


def link(request: Request, path: str, query: Mapping[str, Any] | None = None) -> str:
    """The way to a page, from wherever this is mounted. ``path`` is quoted here."""
    found = root_of(request) + quote(path, safe="/:")
    return f"{found}?{urlencode(query, doseq=True)}" if query else found


def _around(request: Request, token: str) -> dict[str, Any]:
    """What every page has."""
    return {
        "actor": getattr(request.state, "actor", None),
        "home_links": getattr(request.state, "home_links", request.app.state.home_links),
        "logout": getattr(request.state, "logout", None),
        "sections": request.app.state.sections,
        "here": request.scope["path"].removeprefix(request.scope.get("root_path", "")) or "/",
        "live": request.app.state.ticker is not None,
        "token": token,
        "has": lambda path: any(section.path == path for section in request.app.state.sections),
        "link": lambda path, **query: link(request, path, query),
        "static": lambda file: f"{root_of(request)}{static.place_of(file)}",
    }
