"""Whether a request that changes something comes from a page of ours, and not from another site in the same browser."""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from fsmflow.errors import DataError
from fsmflow.log import web
from fsmflow.web.errors import refused
from fsmflow.web.identity import is_api, path_of
from fsmflow.web.security import BODY
from fsmflow.web.templates import token_of

#: The field of a form that repeats the cookie.
FIELD: Final = "token"
_HARMLESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: What is posted there proves itself by a signature.
_SIGNED: Final = "/hooks/"
_MOST_FIELDS: Final = 200
_FORM: Final = "application/x-www-form-urlencoded"


def fields_of(request: Request) -> dict[str, list[str]]:
    """The fields of the form that was sent. Raises DataError for what cannot be read as one: nobody means by that the
    form with nothing filled in."""
    body = request.scope.get(BODY, b"")
    if body and _kind_of(request) != _FORM:
        raise DataError(f"what was sent is no form; send it as {_FORM}")
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise DataError(f"the form is not in UTF-8, or has more than {_MOST_FIELDS} fields") from error


class Forgery:
    """Middleware: refuses what another site had a browser send."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _HARMLESS or _is_from_here(Request(scope)):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        web.refused(request.method, path_of(scope), "it did not come from a page of this application")
        told = "This did not come from a page of this application. Nothing was changed."
        await refused(request, 403, "From somewhere else", told, "Open the page again, and press its button.")(
            scope, receive, send
        )


def _is_from_here(request: Request) -> bool:
    """A browser says where a request comes from: by ``Sec-Fetch-Site`` where the connection is secure, by ``Origin``
    where it is not too old. Where it says neither, the form has to repeat the cookie, which no other site can read."""
    if path_of(request.scope).startswith(_SIGNED) or _has_token(request):
        return True
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    if origin is not None and _host_of(origin) == request.headers.get("host"):
        return True
    return _repeats_cookie(request) or (origin is None and is_api(request.scope) and _is_no_form(request))


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _has_token(request: Request) -> bool:
    """Whether it is a program with an API token: no browser adds one by itself, whichever site asks it to."""
    return request.headers.get("authorization", "").lower().startswith("bearer ")


def _repeats_cookie(request: Request) -> bool:
    cookie = token_of(request)
    try:
        repeated = fields_of(request).get(FIELD, [""])[0]
    except DataError:
        return False
    return cookie is not None and hmac.compare_digest(cookie.encode(), repeated.encode())


def _is_no_form(request: Request) -> bool:
    """Whether it is what a form of another site cannot send without asking first: then it is a program."""
    return _kind_of(request) not in (_FORM, "multipart/form-data", "text/plain", "")


def _kind_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
