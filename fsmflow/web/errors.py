"""What is answered where something goes wrong: a page in words, or a problem as JSON (RFC 9457) for programs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fsmflow.causes import place_of
from fsmflow.errors import FsmflowError, name_of, text_of
from fsmflow.log import web
from fsmflow.web.statuses import RAISED, status_of
from fsmflow.web.templates import render

PROBLEM: Final = "application/problem+json"


def refused(request: Request, status: int, title: str, told: str, then: str = "", **more: Any) -> Response:
    """A page, or a problem, that says what went wrong and what to do. ``more``: further members of the problem."""
    # The API says so itself: its answers are no pages.
    if request.scope["path"].removeprefix(request.scope.get("root_path", "")).startswith("/api/"):
        return problem(status, title, told, **more)
    return render(request, "error.html", status=status, title=title, told=told, then=then)


def problem(status: int, title: str, detail: str, **more: Any) -> Response:
    """A problem for a program."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return JSONResponse(body, status_code=status, media_type=PROBLEM, headers={"Cache-Control": "no-store"})


def told_of_raised(error: BaseException) -> str:
    """That a guard, callback or method of the user's code raised: the log tells the rest, as its words may hold what is
    redacted."""
    return f"the code of the machine raised {name_of(type(error))}. Nothing was changed; the log here has the rest"


async def on_error(request: Request, error: Exception) -> Response:
    """What fsmflow refuses, in its own words."""
    assert isinstance(error, FsmflowError)
    status, _, title = status_of(error)
    if status == HTTPStatus.FORBIDDEN:
        web.refused(request.method, request.url.path, text_of(error))
    return refused(request, status, title, text_of(error))


async def on_http(request: Request, error: Exception) -> Response:
    """What HTTP itself has an answer to: no such page, no such method."""
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    told = "There is no such page." if error.status_code == HTTPStatus.NOT_FOUND else f"{title}."
    answer = refused(request, error.status_code, title, told)
    answer.headers.update(error.headers or {})
    return answer


async def on_bug(request: Request, error: Exception) -> Response:
    """What no error of fsmflow explains: the log has all of it, the page nothing. What the code of a machine has raised
    is told as that: it is no fault of these pages."""
    web.failed(request.method, request.url.path, error)
    if place_of(error) is not None:
        return refused(request, RAISED.code, RAISED.title, told_of_raised(error))
    return refused(request, 500, "It did not work", "Something went wrong here; the log of this process says what.")
