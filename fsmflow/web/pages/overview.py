"""The first page: every machine, and how many of its entities stand where."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fsmflow.engine.headcount import headcounts
from fsmflow.engine.runtime import current
from fsmflow.web.identity import actor_of
from fsmflow.web.section import Section
from fsmflow.web.templates import render
from fsmflow.web.threads import threaded


@threaded
def _show(request: Request) -> Response:
    counts = headcounts(current(), actor=actor_of(request))
    return render(request, "overview.html", counts=counts)


SECTION: Final = Section(title="Overview", path="/", routes=[Route("/", _show)])
