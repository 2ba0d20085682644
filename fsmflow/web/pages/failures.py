"""What has failed, group by group; one group whole; and what people say of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fsmflow import clock, failures
from fsmflow.decision.group import Life
from fsmflow.decision.inputs import Actor
from fsmflow.definition.names import RETRY
from fsmflow.definition.operators import FAILURES
from fsmflow.engine.lookup import instance_for
from fsmflow.engine.permission import opens, permit_action
from fsmflow.engine.runtime import Runtime, current
from fsmflow.engine.selection import Selection, select
from fsmflow.engine.teams import sees_whole
from fsmflow.errors import FsmflowError, text_of
from fsmflow.failures import FailureGroup
from fsmflow.objects.failures import command_of
from fsmflow.operations.members import NAME
from fsmflow.queries import resolve, stuck_groups
from fsmflow.values import dataclass
from fsmflow.web.errors import refused
from fsmflow.web.form import Field, Form, Given, Way, answered, moment, number, told
from fsmflow.web.identity import actor_of
from fsmflow.web.section import Section
from fsmflow.web.templates import render
from fsmflow.web.threads import threaded

#: So many of a group are named on its page; a search has all.
_MEMBERS: Final = 20


@dataclass(frozen=True, kw_only=True)
class Saying:
    """Something that people say of a group. ``does``: what comes of it."""

    verb: str
    does: str
    say: Callable[[str, Given, Actor], FailureGroup]
    fields: tuple[Field, ...] = ()

    @property
    def name(self) -> str:
        """As the command is called."""
        return self.verb.lower()


def _ignore(id_: str, given: Given, actor: Actor) -> FailureGroup:
    until = moment(given, "until", clock.to_datetime(current().now()))
    return failures.ignore(id_, until=until, count=number(given, "count"), actor=actor)


def _note(id_: str, given: Given, actor: Actor) -> FailureGroup:
    return failures.note(id_, given.get("text", ""), link=given.get("link", "").strip(), actor=actor)


_RELEASE: Final = Field(
    name="release", label="Release that mends it", hint="Failures of older releases do not reopen it then."
)
_UNTIL: Final = Field(
    name="until", label="Until", placeholder="2h, 2030-01-31 or 2030-01-31T18:00", hint="In UTC; empty for ever."
)
_COUNT: Final = Field(name="count", label="Or until it was seen so many times more", kind="number")
_TEXT: Final = Field(name="text", label="Note", kind="area", hint="It takes the place of the one that is there.")
_LINK: Final = Field(name="link", label="Link", placeholder="https://tickets.example.com/17")
_INTO: Final = Field(
    name="into", label="Is the same as group", required=True, hint="Enough of the beginning of its id."
)

SAYINGS: Final[Mapping[str, Saying]] = {
    each.name: each
    for each in (
        Saying(
            verb="Resolve",
            does="It is called mended, and is opened again if it comes again. What rests in it is not touched.",
            say=lambda id_, given, actor: failures.resolve(id_, release=told(given, "release"), actor=actor),
            fields=(_RELEASE,),
        ),
        Saying(
            verb="Ignore",
            does="It is shown no more. What rests in it is not touched.",
            say=_ignore,
            fields=(_UNTIL, _COUNT),
        ),
        Saying(
            verb="Reopen",
            does="It is no longer called resolved, or ignored.",
            say=lambda id_, given, actor: failures.reopen(id_, actor=actor),
        ),
        Saying(verb="Note", does="Whoever looks at the group reads it.", say=_note, fields=(_TEXT, _LINK)),
        Saying(
            verb="Merge",
            does="All that was seen of it, and will be, belongs to the other group from now on.",
            say=lambda id_, given, actor: failures.merge(id_, given.get("into", "").strip(), actor=actor),
            fields=(_INTO,),
        ),
    )
}


@threaded
def _show(request: Request) -> Response:
    runtime, actor, everything = current(), actor_of(request), "all" in request.query_params
    found = failures.groups(every=True, actor=actor)
    return render(
        request,
        "failures.html",
        groups=[each for each in found if everything or each.is_due],
        hidden=sum(not each.is_due for each in found),
        everything=everything,
        stuck=stuck_groups(runtime, actor=actor),
        now=runtime.now(),
    )


@threaded
def _group(request: Request) -> Response:
    runtime, actor = current(), actor_of(request)
    try:
        group = failures.group(request.path_params["id"], actor=actor)
    except FsmflowError as error:
        return refused(request, 404, "Not found", text_of(error))
    resting = list(select(runtime, Selection(group=group.id), limit=_MEMBERS, actor=actor))
    return render(
        request,
        "failure.html",
        it=group,
        said=SAYINGS.get(request.query_params.get("said", "")),
        parts=[(part, command_of(group, part), _can_repair(runtime, part.example, actor)) for part in group.parts],
        resting=resting,
        sayings=_sayings(group) if _may_say(runtime, group, actor) else [],
        repairable=(RETRY, "resume"),
        now=runtime.now(),
    )


def _may_say(runtime: Runtime, group: FailureGroup, actor: Actor) -> bool:
    definition = runtime.machines.all().get(group.machine)
    return sees_whole(runtime, definition, actor) and (
        definition is None or opens(runtime, definition, FAILURES, actor)
    )


def _sayings(group: FailureGroup) -> list[Saying]:
    """What means something for a group as it is."""
    is_open = group.life in (Life.OPEN, Life.REOPENED)
    unfit = ("reopen",) if is_open else ("resolve",) if group.life is Life.RESOLVED else ("ignore",)
    return [each for each in SAYINGS.values() if each.name not in unfit]


def _can_repair(runtime: Runtime, address: str, actor: Actor) -> bool:
    try:
        permit_action(runtime, instance_for(runtime, resolve(runtime, address, actor)), NAME, actor)
    except FsmflowError:
        return False
    return True


@threaded
def _say(request: Request) -> Response:
    actor, saying = actor_of(request), SAYINGS.get(request.path_params["saying"])
    if saying is None:
        raise HTTPException(404)
    try:
        group = failures.group(request.path_params["id"], actor=actor)
    except FsmflowError as error:
        return refused(request, 404, "Not found", text_of(error))

    def act(given: Given) -> Way:
        return f"/failures/{saying.say(group.id, given, actor).id}", {"said": saying.name}

    def shown_as(given: Given) -> dict[str, Any]:
        there = {"text": group.note or "", "link": group.link or ""} if saying.name == "note" else {}
        filled = {**there, **given}
        return {"form": _form(group, saying, filled), "given": filled}

    return answered(request, shown_as, act)


def _form(group: FailureGroup, saying: Saying, given: Given) -> Form:
    options = [f"--{name}={given[name]}" for name in ("release", "until", "count", "link") if told(given, name)]
    places = [given[name] for name in ("text", "into") if told(given, name)]
    rest = "nothing rests" if not group.count else f"{group.count:,} {'rests' if group.count == 1 else 'rest'}"
    return Form(
        title=f"{saying.verb} group {group.short}",
        says=(f"{group.error_type}: {group.message}"[:500], f"Now {rest} in it. {saying.does}"),
        verb=saying.verb,
        back=f"/failures/{group.id}",
        where="the group",
        command=shlex.join(["fsmflow", "failures", saying.name, group.short, *places, *options]),
        fields=saying.fields,
    )


SECTION: Final = Section(
    title="Failures",
    path="/failures",
    routes=(
        Route("/failures", _show),
        Route("/failures/{id}", _group),
        Route("/failures/{id}/{saying}", _say, methods=["GET", "POST"]),
    ),
)
