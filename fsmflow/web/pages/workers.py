"""Who works, on what and for how long, and what waits in queues; hosts that drain."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fsmflow.decision.inputs import Actor
from fsmflow.dispatch.listeners import Listener
from fsmflow.engine import drains
from fsmflow.engine.reasons import Reasons
from fsmflow.engine.runtime import Runtime, current
from fsmflow.objects.counts import MANY_DUE
from fsmflow.queries import Crew, crew_of
from fsmflow.values import dataclass, replace
from fsmflow.web.form import REASON, Form, Given, Way, answered, told
from fsmflow.web.freshness import FRESH_S, Shared, sight_of
from fsmflow.web.identity import actor_of
from fsmflow.web.section import Section
from fsmflow.web.templates import render
from fsmflow.web.threads import threaded

#: So much of what runs is listed.
_MOST: Final = 100
_REASON: Final = replace(REASON, hint="Shown as long as it drains.")
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
    runtime, actor = current(), actor_of(request)
    return render(request, "workers.html", **_read(runtime, actor), may_drain=drains.lets(runtime, actor))


@threaded
def _part(request: Request) -> Response:
    """The same without what is around it, to be put in the place of what the page had; read once for all of the same
    teams who ask within a moment."""
    runtime, actor = current(), actor_of(request)
    found = _shared.get(sight_of(runtime, actor), lambda: _read(runtime, actor))
    return render(request, "crew.html", **found, may_drain=drains.lets(runtime, actor))


@threaded
def _drain(request: Request) -> Response:
    host, actor = request.path_params["host"], actor_of(request)

    def act(given: Given) -> Way:
        drains.drain(current(), host, actor=actor, reason=told(given, "reason"))
        return "/workers", {}

    def form(given: Given) -> dict[str, Form]:
        reason = told(given, "reason")
        told_why = [] if reason is None else [f"--reason={reason}"]
        says = (
            "Its workers take nothing new, end what they run, and are put to no work again until this is taken back.",
            "What waits is for the workers of other hosts.",
        )
        return {
            "form": Form(
                title=f"Drain {host}",
                says=says,
                verb="Drain",
                back="/workers",
                where="workers",
                command=shlex.join(["fsmflow", "drain", host, *told_why]),
                fields=[_REASON],
            )
        }

    return answered(request, form, act)


@threaded
def _undo(request: Request) -> Response:
    host, actor = request.path_params["host"], actor_of(request)

    def act(given: Given) -> Way:
        drains.undo(current(), host, actor=actor)
        return "/workers", {}

    form = Form(
        title=f"Let {host} work again",
        says=("Its supervisor puts workers to work within a second or two.",),
        verb="Let it work again",
        back="/workers",
        where="workers",
        command=shlex.join(["fsmflow", "drain", host, "--undo"]),
    )
    return answered(request, lambda given: {"form": form}, act)


def _read(runtime: Runtime, actor: Actor) -> dict[str, Any]:
    crew, draining = crew_of(runtime, actor, most=_MOST, most_due=MANY_DUE), drains.drains(runtime)
    return {
        "crew": crew,
        "supervisors": _supervisors(crew.workers),
        "queues": _queues(runtime, crew, draining),
        "drains": draining,
        "hosts": Counter(each.host for each in crew.workers),
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


def _queues(runtime: Runtime, crew: Crew, draining: Collection[str]) -> list[Queue]:
    taking = [each for each in crew.workers if each.host not in draining]
    return [
        Queue(
            name=name,
            in_rq=runtime.doorbell.rq_queue(name),
            processes=None if crew.unheard else sum(name in each.queues for each in taking),
            oldest=oldest,
        )
        for name, oldest in crew.oldest.items()
    ]


SECTION: Final = Section(
    title="Workers",
    path="/workers",
    routes=(
        Route("/workers", _show),
        Route("/workers/part", _part),
        Route("/workers/drain/{host}", _drain, methods=["GET", "POST"]),
        Route("/workers/undo/{host}", _undo, methods=["GET", "POST"]),
    ),
)
