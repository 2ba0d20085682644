"""Who works, on what and for how long, and what waits in queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fsmflow.decision.inputs import Actor
from fsmflow.dispatch.listeners import Listener
from fsmflow.engine.reasons import Reasons
from fsmflow.engine.runtime import Runtime, current
from fsmflow.objects.counts import MANY_DUE
from fsmflow.queries import Crew, crew_of
from fsmflow.values import dataclass
from fsmflow.web.freshness import FRESH_S, Shared, sight_of
from fsmflow.web.identity import actor_of
from fsmflow.web.section import Section
from fsmflow.web.templates import render
from fsmflow.web.threads import threaded

#: So much of what runs is listed.
_MOST: Final = 100
_shared: Final[Shared[dict[str, Any]]] = Shared(FRESH_S)


@dataclass(frozen=True, kw_only=True)
class Queue:
    """``processes``: how many listen, None where that is not known. ``oldest``: since when its first job waits."""

    name: str
    in_rq: str
    processes: int | None
    oldest: int | None


@threaded
def _show(request: Request) -> Response:
    return render(request, "workers.html", **_read(current(), actor_of(request)))


@threaded
def _part(request: Request) -> Response:
    """The same without what is around it, to be put in the place of what the page had; read once for all of the same
    teams who ask within a moment."""
    runtime, actor = current(), actor_of(request)
    return render(request, "crew.html", **_shared.get(sight_of(runtime, actor), lambda: _read(runtime, actor)))


def _read(runtime: Runtime, actor: Actor) -> dict[str, Any]:
    crew = crew_of(runtime, actor, most=_MOST, most_due=MANY_DUE)
    return {
        "crew": crew,
        "supervisors": _supervisors(crew.workers),
        "queues": _queues(runtime, crew),
        "release": runtime.release,
        "others": None if crew.unheard else Reasons(runtime).other_code_on(crew.oldest),
        "many": MANY_DUE,
        "now": runtime.now(),
    }


def _supervisors(workers: Sequence[Listener]) -> Mapping[tuple[str, str], list[Listener]]:
    """The processes by host and supervisor."""
    found: dict[tuple[str, str], list[Listener]] = {}
    for each in workers:
        found.setdefault((each.host, each.name.partition(".")[0]), []).append(each)
    return found


def _queues(runtime: Runtime, crew: Crew) -> list[Queue]:
    return [
        Queue(
            name=name,
            in_rq=runtime.doorbell.rq_queue(name),
            processes=None if crew.unheard else sum(name in each.queues for each in crew.workers),
            oldest=oldest,
        )
        for name, oldest in crew.oldest.items()
    ]


SECTION: Final = Section(
    title="Workers", path="/workers", routes=(Route("/workers", _show), Route("/workers/part", _part))
)
