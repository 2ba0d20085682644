"""What operators keep back, how many wait for it, and letting it go again."""

from __future__ import annotations

import re
import shlex
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fsmflow import clock, holds
from fsmflow.decision.inputs import Actor
from fsmflow.engine.runtime import current
from fsmflow.errors import DataError
from fsmflow.holds import Hold
from fsmflow.objects.fields import read_field
from fsmflow.queries import queues_of
from fsmflow.web.form import REASON, Field, Form, Given, Way, answered, moment, rate, told
from fsmflow.web.identity import actor_of
from fsmflow.web.section import Section
from fsmflow.web.templates import render
from fsmflow.web.threads import threaded

_RATE: Final = Field(
    name="rate", label="Rate", placeholder="50/s, 30/m or 100/h", hint="So many go on; all at once, if it is empty."
)


@threaded
def _show(request: Request) -> Response:
    runtime, actor = current(), actor_of(request)
    found, waiting = holds.current_holds(actor=actor), holds.kept_back(actor=actor)
    return render(
        request,
        "holds.html",
        rows=[(each, waiting.get(each.number, 0), holds.lets(each.machine, each.where, actor)) for each in found],
        can_hold=any(holds.lets(name, {}, actor) for name in runtime.machines.of_user()),
        made=_number(request, "made"),
        released=_number(request, "released"),
        now=runtime.now(),
    )


def _number(request: Request, name: str) -> str | None:
    """Of which hold it is told that something was done; whoever makes up another text is not repeated."""
    found = request.query_params.get(name, "")
    return found if re.fullmatch("[0-9]{1,9}", found) else None


@threaded
def _new(request: Request) -> Response:
    actor = actor_of(request)
    return answered(request, lambda given: {"form": _hold_form(given, actor)}, lambda given: _hold(given, actor))


def _hold(given: Given, actor: Actor) -> Way:
    made = holds.hold(
        told(given, "machine"),
        state=told(given, "state"),
        queue=told(given, "queue"),
        where=_where(given),
        until=moment(given, "until", clock.to_datetime(current().now())),
        reason=told(given, "reason"),
        actor=actor,
    )
    return "/holds", {"made": made.number}


def _where(given: Given) -> dict[str, Any]:
    """The fields of the data, one a line. Raises DataError."""
    try:
        return dict(read_field(line.strip(), line) for line in given.get("where", "").splitlines() if line.strip())
    except ValueError as error:
        raise DataError(str(error)) from error


def _hold_form(given: Given, actor: Actor) -> Form:
    own = current().machines.of_user()
    machines = [("", "all machines"), *((name, name) for name in own if holds.lets(name, {}, actor))]
    queues = [("", "any queue"), *((name, name) for name in queues_of(own.values()))]
    options = [f"--{name}={given[name]}" for name in ("state", "queue", "until", "reason") if told(given, name)]
    options += [f"--where={line.strip()}" for line in given.get("where", "").splitlines() if line.strip()]
    machine = [given["machine"]] if told(given, "machine") else []
    return Form(
        title="Hold",
        says=(
            "What fits all that is filled in is kept back, what is there and what arrives: no job of it begins, and no "
            "timer of it fires, until the hold is released.",
            "A job that runs ends; triggers are taken, and what they lead to waits.",
        ),
        verb="Hold",
        back="/holds",
        where="holds",
        command=shlex.join(["fsmflow", "hold", *machine, *options]),
        fields=(
            Field(name="machine", label="Machine", kind="choice", choices=machines),
            Field(name="state", label="State", placeholder="charging", hint="A pattern may have a *."),
            Field(name="queue", label="Queue", kind="choice", choices=queues),
            Field(name="where", label="Fields of the data", kind="area", placeholder="tenant=acme", hint="One a line."),
            Field(name="until", label="Until", placeholder="2h or 2030-01-31T18:00", hint="In UTC; it ends by itself."),
            REASON,
        ),
        is_grave=True,
    )


@threaded
def _release(request: Request) -> Response:
    actor, number = actor_of(request), request.path_params["number"]
    found = next((each for each in holds.current_holds(actor=actor) if str(each.number) == number), None)
    if found is None:
        raise HTTPException(404)

    def act(given: Given) -> Way:
        holds.release(found.number, rate=rate(given, "rate"), actor=actor)
        return "/holds", {"released": number}

    return answered(request, lambda given: {"form": _release_form(found, given, actor)}, act)


def _release_form(found: Hold, given: Given, actor: Actor) -> Form:
    waiting = holds.kept_back(actor=actor).get(found.number, 0)
    options = [f"--rate={given['rate']}"] if told(given, "rate") else []
    return Form(
        title=f"Release hold {found.number}",
        says=(f"{found}.", f"{waiting:,} wait for its end, and go on. What arrives from now on is kept back no more."),
        verb="Release",
        back="/holds",
        where="holds",
        command=shlex.join(["fsmflow", "release", str(found.number), *options]),
        fields=[_RATE],
    )


SECTION: Final = Section(
    title="Holds",
    path="/holds",
    routes=(
        Route("/holds", _show),
        Route("/holds/new", _new, methods=["GET", "POST"]),
        Route("/holds/{number}/release", _release, methods=["GET", "POST"]),
    ),
)
