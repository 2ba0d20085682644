"""The page on which an entity is started: its machine, its id, and the data that it begins with."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fsmflow.decision.inputs import checked_id
from fsmflow.definition.model import Definition
from fsmflow.engine.runtime import current
from fsmflow.engine.start import Birth, start
from fsmflow.errors import FsmflowError
from fsmflow.ids import uuid7
from fsmflow.web.difference import read_object
from fsmflow.web.form import Field, Form, Given, Way, answered, told
from fsmflow.web.identity import actor_of
from fsmflow.web.sheet import Sheet, sheet_of
from fsmflow.web.templates import render
from fsmflow.web.threads import threaded

_DATA: Final = Field(
    name="data",
    label="Data",
    kind="area",
    placeholder="{}",
    hint="A JSON object, or nothing: what the entity begins with.",
)
_ID: Final = Field(
    name="id", label="Id", required=True, hint="This one was made for it; your own number of it is better."
)


@threaded
def _choose(request: Request) -> Response:
    known = current().machines.of_user()
    return render(request, "machines.html", machines=[known[name] for name in sorted(known)])


@threaded
def _begin(request: Request) -> Response:
    runtime, actor = current(), actor_of(request)
    definition = runtime.machines.get(request.path_params["machine"])
    sheet, made = sheet_of(definition.wide.data), str(uuid7(runtime.now()))

    def act(given: Given) -> Way:
        # Pressed twice, the form is known by its key.
        entity_id = checked_id(told(given, "id") or "")
        birth = Birth(entity_id=entity_id, data=_data(sheet, given), actor=actor, key=told(given, "key"))
        return f"/entity/{start(runtime, definition, birth).address}", {}

    def shown(given: Given) -> Mapping[str, Any]:
        filled = {} if sheet is None else sheet.shown(given)
        return {"form": _form(definition, sheet, given), "given": {"id": made, **given, **filled}}

    return answered(request, shown, act, faults=None if sheet is None else sheet.faults)


def _data(sheet: Sheet | None, given: Given) -> dict[str, Any]:
    return dict(read_object(given.get("data", ""), "the data")) if sheet is None else sheet.read(given)


def _form(definition: Definition, sheet: Sheet | None, given: Given) -> Form:
    name, entity_id = definition.name, told(given, "id")
    try:
        data = _data(sheet, given) if entity_id else {}
    except FsmflowError:
        data = {}  # what is wrong with it is told above the form
    brought = [f"--data={json.dumps(data, ensure_ascii=False, default=str)}"] if data else []
    summary = (definition.summary or "").replace("``", "")
    return Form(
        title=f"Start {name}",
        says=[each for each in (summary, f"It begins in {definition.initial}.") if each],
        verb="Start",
        back="/start",
        where="machines",
        command=shlex.join(["fsmflow", "start", name, *([entity_id] if entity_id else []), *brought]),
        fields=[_ID, *([_DATA] if sheet is None else sheet.fields)],
    )


ROUTES: Final = (
    Route("/start", _choose),
    Route("/start/{machine}", _begin, methods=["GET", "POST"]),
)
