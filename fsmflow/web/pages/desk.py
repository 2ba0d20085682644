"""What waits for whoever looks: the entities at which their roles may decide, by deadline."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fsmflow.engine.desk import Waiting, waiting_for
from fsmflow.engine.runtime import Runtime, current
from fsmflow.objects.plain import plain
from fsmflow.queries import redacted
from fsmflow.redaction import MASK, hide
from fsmflow.web.identity import actor_of
from fsmflow.web.section import Section
from fsmflow.web.templates import render
from fsmflow.web.threads import threaded

_LISTED: Final = 30
#: So much of the data is shown, for somebody to know what it is about.
_FACTS: Final = 6
_LONG: Final = 120


@threaded
def _show(request: Request) -> Response:
    runtime, actor, params = current(), actor_of(request), request.query_params
    page = waiting_for(
        runtime,
        actor,
        machine=params.get("machine") or None,
        anyone="anyone" in params,
        after=params.get("after") or None,
        limit=_LISTED,
    )
    return render(
        request,
        "desk.html",
        page=page,
        rows=[(each, _facts(runtime, each)) for each in page.found],
        roles=sorted(actor.roles),
        anyone="anyone" in params,
        now=runtime.now(),
    )


def _facts(runtime: Runtime, waiting: Waiting) -> list[tuple[str, str]]:
    """The first of the data that are plain values which may be shown."""
    shown: dict[str, Any] = hide(waiting.snapshot.data, redacted(runtime, waiting.snapshot))
    facts = [(name, value) for name, value in shown.items() if not isinstance(value, dict | list) and value != MASK]
    return [(name, _told(value)) for name, value in facts[:_FACTS]]


def _told(value: Any) -> str:
    text = str(value) if isinstance(value, str | int | float | bool | None) else str(plain(value))
    return text if len(text) <= _LONG else f"{text[:_LONG]} ..."


SECTION: Final = Section(title="Waiting for me", path="/waiting", routes=[Route("/waiting", _show)])
