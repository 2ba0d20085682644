"""The pages on which an action of operators, or a trigger, is confirmed and done. They need no script."""

from __future__ import annotations

import json
import shlex
import uuid
from collections.abc import Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from fsmflow.decision.actions import ACTIONS, Action
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Asked, Triggered
from fsmflow.decision.inputs import Actor
from fsmflow.engine import requests
from fsmflow.engine.details import details_of
from fsmflow.engine.forecast import forecast
from fsmflow.engine.lookup import instance_for
from fsmflow.engine.runtime import Runtime, current
from fsmflow.errors import DataError, FsmflowError, TransitionConflict, text_of
from fsmflow.log import web
from fsmflow.objects.buttons import command_of
from fsmflow.queries import definition_for, history_of, redacted, resolve
from fsmflow.redaction import hide
from fsmflow.web.difference import differences, laid_over, patch_of, read_object, written
from fsmflow.web.forgery import fields_of
from fsmflow.web.identity import actor_of
from fsmflow.web.sheet import Sheet, sheet_of
from fsmflow.web.statuses import status_of, told_on_pages
from fsmflow.web.templates import link, render
from fsmflow.web.threads import threaded

#: The button that only shows what would come of it.
LOOK: Final = "look"
DO: Final = "do"
_SINCE: Final = 20


@threaded
def _act(request: Request) -> Response:
    runtime, actor = current(), actor_of(request)
    action = ACTIONS.get(request.path_params["action"])
    if action is None:
        raise HTTPException(404)
    snapshot = resolve(runtime, request.path_params["address"], actor)
    if request.method == "GET":
        return _confirm(request, runtime, snapshot, action, {})
    given = {name: values[0] for name, values in fields_of(request).items()}
    try:
        asked = _asked(runtime, snapshot, action, actor, given)
        if given.get("step") == DO:
            root = runtime.machines.get(snapshot.machine)
            requests.act(runtime, root, snapshot.entity_id, action, asked)
            return RedirectResponse(link(request, f"/entity/{snapshot.address}", {"did": action.name}), 303)
        looked = _looked(runtime, snapshot, action, asked)
    except TransitionConflict as error:
        return _stale(request, runtime, snapshot, given, error)
    except FsmflowError as error:
        return _confirm(request, runtime, snapshot, action, given, error=error)
    return _confirm(request, runtime, snapshot, action, given, looked=looked)


def _asked(runtime: Runtime, snapshot: Snapshot, action: Action, actor: Actor, given: Mapping[str, str]) -> Asked:
    """The request that a form makes. Raises DataError."""
    options: dict[str, Any] = {"epoch": _epoch(given)}
    for name in ("state", "event"):
        if name in action.options:
            if not given.get(name):
                raise DataError(f"say which {name}")
            options[name] = given[name]
    if "data" in action.options and (sheet := _sheet(runtime, snapshot)) is not None:
        options["patch"] = sheet.changes(given)
    elif "data" in action.options and given.get("data"):
        options["patch"] = patch_of(hide(snapshot.data, redacted(runtime, snapshot)), given["data"])
    if "new_key" in action.options:
        options["new_key"] = given.get("new_key") == "on"
    reason = given.get("reason", "").strip() or None
    if action.is_final and reason is None:
        raise DataError(f"'{action.name}' cannot be taken back: say why")
    return action.asks(actor=actor, reason=reason, key=given.get("key") or None, **options)


def _sheet(runtime: Runtime, snapshot: Snapshot) -> Sheet | None:
    """The fields of its data, where these have a type that it fits."""
    own = definition_for(runtime, snapshot)
    if own is None or own.wide.data is None or snapshot.branch_of is not None:
        return None
    keys = redacted(runtime, snapshot)
    return sheet_of(own.wide.data, hide(snapshot.data, keys), keys)


def _epoch(given: Mapping[str, str]) -> int | None:
    found = given.get("epoch", "")
    if not (found.isascii() and found.isdigit() and len(found) < 12):
        raise DataError("the form does not say what was seen of the entity; open its page again")
    return int(found)


def _looked(runtime: Runtime, snapshot: Snapshot, action: Action, asked: Asked) -> dict[str, Any]:
    """What would come of it: where the entity would be, and how its data would differ."""
    after = requests.plan(runtime, instance_for(runtime, snapshot), action, asked)
    keys, patch = redacted(runtime, snapshot), getattr(asked, "patch", {})
    shown = hide(snapshot.data, keys)
    return {"after": after, "data": differences(shown, laid_over(shown, patch, keys))}


def _confirm(
    request: Request,
    runtime: Runtime,
    snapshot: Snapshot,
    action: Action,
    given: Mapping[str, str],
    *,
    error: FsmflowError | None = None,
    looked: Mapping[str, Any] | None = None,
) -> Response:
    details = details_of(runtime, definition_for(runtime, snapshot), snapshot)
    sheet = _sheet(runtime, snapshot) if "data" in action.options else None
    place = given.get("state") or given.get("event") or request.query_params.get("event", "")
    if error is not None:
        _note(request, error)
    return render(
        request,
        "action.html",
        status=200 if error is None else status_of(error).code,
        action=action,
        it=snapshot,
        given=given,
        place=place,
        epoch=given.get("epoch") or snapshot.epoch,
        key=given.get("key") or uuid.uuid4().hex,
        states=_states(runtime, snapshot, action),
        events=[*details.kept, *details.sent, *details.lost],
        data=given.get("data") or written(hide(snapshot.data, redacted(runtime, snapshot))),
        command=command_of(action, snapshot.address, place, reason=given.get("reason")),
        error=error and told_on_pages(error),
        looked=looked,
        **_shown(sheet, given, error),
    )


def _shown(sheet: Sheet | None, given: Mapping[str, str], error: FsmflowError | None) -> dict[str, Any]:
    """The fields of a sheet, what stands in them, and what is wrong with each, as templates take them."""
    if sheet is None:
        return {"sheet": None}
    return {"sheet": sheet, "filled": sheet.shown(given), "faults": sheet.faults(error)}


def _states(runtime: Runtime, snapshot: Snapshot, action: Action) -> list[str]:
    """Where it could go: for ``rewind`` where it has been."""
    own = definition_for(runtime, snapshot)
    if own is None or "state" not in action.options:
        return []
    if action.name == "rewind":
        been = dict.fromkeys(each.dest for each in history_of(runtime, snapshot.row) if each.kind.enters)
        return [name for name in been if name in own.states and name != snapshot.state]
    return [name for name in own.states if name != snapshot.state]


@threaded
def _fire(request: Request) -> Response:
    runtime, actor, name = current(), actor_of(request), request.path_params["trigger"]
    snapshot = resolve(runtime, request.path_params["address"], actor)
    given = {name: values[0] for name, values in fields_of(request).items()}
    payload: Mapping[str, Any] = {}
    error, looked = None, None
    own = definition_for(runtime, snapshot)
    sheet = None if own is None else sheet_of(own.wide.payloads.get(name))
    try:
        payload = sheet.read(given) if sheet else read_object(given.get("payload", ""), "the payload")
        epoch = snapshot.epoch if request.method == "GET" else _epoch(given)
        key, reason = given.get("key") or None, given.get("reason", "").strip() or None
        asked = Triggered(trigger=name, payload=payload, actor=actor, reason=reason, key=key, epoch=epoch)
        if request.method == "POST" and given.get("step") == DO:
            requests.trigger(runtime, runtime.machines.get(snapshot.machine), snapshot.entity_id, asked)
            return RedirectResponse(link(request, f"/entity/{snapshot.address}", {"fired": name}), 303)
        if sheet is None or request.method == "POST":
            looked = forecast(runtime, instance_for(runtime, snapshot), asked)
    except TransitionConflict as conflict:
        return _stale(request, runtime, snapshot, given, conflict)
    except FsmflowError as refusal:
        _note(request, refusal)
        error = refusal
    return render(
        request,
        "trigger.html",
        status=200 if error is None else status_of(error).code,
        it=snapshot,
        trigger=name,
        given=given,
        epoch=given.get("epoch") or snapshot.epoch,
        key=given.get("key") or uuid.uuid4().hex,
        error=error and told_on_pages(error),
        command=_firing(snapshot.address, name, _brought(given, payload) if sheet else given),
        looked=looked,
        **_shown(sheet, given, error),
    )


def _brought(given: Mapping[str, str], payload: Mapping[str, Any]) -> dict[str, str]:
    """What was filled in, as a command takes it."""
    return {**given, "payload": json.dumps(payload, ensure_ascii=False) if payload else ""}


def _firing(address: str, trigger: str, given: Mapping[str, str]) -> str:
    """What does the same in a terminal."""
    brought = {"data": given.get("payload", ""), "reason": given.get("reason", "")}
    options = [f"--{name}={text.strip()}" for name, text in brought.items() if text.strip()]
    return shlex.join(["fsmflow", "trigger", address, trigger, *options])


def _stale(
    request: Request, runtime: Runtime, snapshot: Snapshot, given: Mapping[str, str], error: TransitionConflict
) -> Response:
    """Somebody else was first: what happened since this one looked. Nothing was done."""
    seen = given.get("epoch", "")
    entries = (each.hidden(redacted(runtime, snapshot)) for each in history_of(runtime, snapshot.row))
    since = [each for each in entries if not seen.isdigit() or each.epoch > int(seen)]
    return render(request, "stale.html", status=409, it=snapshot, told=text_of(error), since=since[-_SINCE:])


def _note(request: Request, error: FsmflowError) -> None:
    if status_of(error).code == 403:
        web.refused(request.method, request.url.path, text_of(error))


ROUTES: Final = (
    Route("/do/{action}/{address:path}", _act, methods=["GET", "POST"]),
    Route("/fire/{trigger}/{address:path}", _fire, methods=["GET", "POST"]),
)
