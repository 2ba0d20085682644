"""Machines that start entities by themselves: when next, what came last, and pausing or running it by hand."""

from __future__ import annotations

import shlex
from typing import Final, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fsmflow.decision.inputs import Actor
from fsmflow.definition.model import Definition
from fsmflow.definition.operators import SCHEDULE
from fsmflow.engine.permission import opens
from fsmflow.engine.runtime import Runtime, current
from fsmflow.engine.teams import sees_whole
from fsmflow.machine import Machine
from fsmflow.web.difference import read_object
from fsmflow.web.form import REASON, Field, Form, Given, Way, answered, told
from fsmflow.web.identity import actor_of
from fsmflow.web.section import Section
from fsmflow.web.templates import render
from fsmflow.web.threads import threaded

_DATA: Final = Field(
    name="data",
    label="Data",
    kind="area",
    placeholder="{}",
    hint="A JSON object, or nothing: what the entity begins with.",
)
#: What can be done, and what comes of it.
_DEEDS: Final = {
    "pause": "Nothing is started at its ticks until it is resumed. Entities that are there go on.",
    "resume": "It goes on with its next tick. What has passed meanwhile starts nothing.",
    "run": "An entity is started now, besides those of the ticks, also while the schedule is paused.",
}


@threaded
def _show(request: Request) -> Response:
    runtime, actor = current(), actor_of(request)
    rows = [
        (_kind(one).timetable(), opens(runtime, one, SCHEDULE, actor)) for one in _scheduled(runtime, actor).values()
    ]
    did, about = (request.query_params.get(name) for name in ("did", "about"))
    is_ours = did in _DEEDS and any(table.machine == about for table, _ in rows)
    return render(request, "schedules.html", rows=rows, did=did if is_ours else None, about=about, now=runtime.now())


def _scheduled(runtime: Runtime, actor: Actor) -> dict[str, Definition]:
    """The machines that have a schedule, and all of which is there for an actor."""
    every = runtime.machines.of_user()
    return {
        name: every[name]
        for name in sorted(every)
        if every[name].wide.schedule is not None and sees_whole(runtime, every[name], actor)
    }


def _kind(definition: Definition) -> type[Machine]:
    return cast(type[Machine], definition.owner)


@threaded
def _do(request: Request) -> Response:
    actor, deed = actor_of(request), request.path_params["deed"]
    definition = _scheduled(current(), actor).get(request.path_params["machine"])
    if definition is None or deed not in _DEEDS:
        raise HTTPException(404)
    kind, name = _kind(definition), definition.name

    def act(given: Given) -> Way:
        if deed == "run":
            made = kind.run_schedule(
                read_object(given.get("data", ""), "the data"), actor=actor, key=told(given, "key")
            )
            return f"/entity/{made.address}", {}
        change = kind.pause_schedule if deed == "pause" else kind.resume_schedule
        change(actor=actor, reason=told(given, "reason"))
        return "/schedules", {"did": deed, "about": name}

    return answered(request, lambda given: {"form": _form(name, deed, given)}, act)


def _form(name: str, deed: str, given: Given) -> Form:
    options = [f"--{each}={given[each]}" for each in ("data", "reason") if told(given, each)]
    return Form(
        title=f"{deed.capitalize()} the schedule of {name}",
        says=(_DEEDS[deed],),
        verb={"pause": "Pause", "resume": "Resume", "run": "Run now"}[deed],
        back="/schedules",
        where="schedules",
        command=shlex.join(["fsmflow", "schedule", deed, name, *options]),
        fields=[_DATA if deed == "run" else REASON],
    )


SECTION: Final = Section(
    title="Schedules",
    path="/schedules",
    routes=(Route("/schedules", _show), Route("/schedules/{machine}/{deed}", _do, methods=["GET", "POST"])),
)
