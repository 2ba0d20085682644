"""Limits: who has permits of them, and how many wait in line."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fsmflow.engine.limits import holders_of, in_use
from fsmflow.engine.runtime import current
from fsmflow.web.identity import actor_of
from fsmflow.web.section import Section
from fsmflow.web.templates import render
from fsmflow.web.threads import threaded

#: So many who have a permit are named beside a limit.
_NAMED: Final = 8


@threaded
def _show(request: Request) -> Response:
    runtime, actor = current(), actor_of(request)
    found = in_use(runtime, actor)
    holders = holders_of(runtime, actor) if found else []
    rows = [(each, [holder for holder in holders if holder.name == each.name][:_NAMED]) for each in found]
    return render(request, "limits.html", rows=rows, now=runtime.now())


SECTION: Final = Section(title="Limits", path="/limits", routes=(Route("/limits", _show),))
