"""The page of an approval link: what is to be decided, and a button. Nobody has to be known: the link says who it is.

Who opens the page changes nothing, as mail scanners open every link.
"""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from fsmflow import clock
from fsmflow.engine import approvals
from fsmflow.engine.approvals import LinkRefused, Sight, Stage
from fsmflow.engine.runtime import current
from fsmflow.errors import EntityNotFound, NotPermitted, TransitionConflict, TransitionNotAllowed
from fsmflow.redaction import hide
from fsmflow.web.errors import refused
from fsmflow.web.forgery import fields_of
from fsmflow.web.templates import link, render
from fsmflow.web.threads import threaded

_STATUSES: Final = {Stage.OPEN: 200, Stage.USED: 200, Stage.EARLY: 409, Stage.MOVED: 409, Stage.REFUSED: 409}
_GONE: Final = "What it was about is not there any more."


@threaded
def _show(request: Request) -> Response:
    try:
        sight = approvals.look(current(), approvals.read(current(), request.path_params["token"]))
    except LinkRefused as error:
        return refused(request, 410 if error.expired else 404, "This link cannot be used", str(error))
    except EntityNotFound:
        return refused(request, 410, "This link cannot be used", _GONE)
    return _page(request, sight)


@threaded
def _use(request: Request) -> Response:
    token = request.path_params["token"]
    try:
        approval = approvals.read(current(), token)
        approvals.use(current(), approval, fields_of(request).get("words", [""])[0])
    except LinkRefused as error:
        return refused(request, 410 if error.expired else 404, "This link cannot be used", str(error))
    except EntityNotFound:
        return refused(request, 410, "This link cannot be used", _GONE)
    except (TransitionConflict, TransitionNotAllowed, NotPermitted):
        # The page says what has happened meanwhile, or why not.
        return _page(request, approvals.look(current(), approval))
    return RedirectResponse(link(request, f"/links/{token}"), status_code=303)


def _page(request: Request, sight: Sight) -> Response:
    approval, snapshot = sight.approval, sight.instance.snapshot
    keys = sight.instance.root.wide.redact
    return render(
        request,
        "link.html",
        status=_STATUSES[sight.stage],
        sight=sight,
        approval=approval,
        token_of_link=request.path_params["token"],
        stage=sight.stage.value,
        asked=_words(approval.trigger),
        summary=sight.instance.root.summary,
        state=snapshot.state,
        data=_lines(hide(snapshot.data, keys)),
        payload=_lines(hide(approval.payload, keys)),
        since=_moment(snapshot.entered_at),
        until=_moment(approval.until),
        entries=[
            {
                "at": f"{entry.at:%Y-%m-%d %H:%M} UTC",
                "trigger": _words(entry.trigger or entry.kind.value),
                "dest": entry.dest,
                "actor": entry.actor,
                "reason": entry.reason,
            }
            for entry in sight.entries
        ],
    )


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _moment(at: int) -> str:
    return f"{clock.to_datetime(at):%Y-%m-%d %H:%M} UTC"


def _lines(data: Any) -> list[tuple[str, str]]:
    """Each field, with its value as people read it: of a list each part in a line of its own."""
    return [
        (name, "\n".join(map(_written, value)) if isinstance(value, list) else _written(value))
        for name, value in data.items()
    ]


def _written(value: Any) -> str:
    if isinstance(value, dict) and not any(isinstance(part, dict | list) for part in value.values()):
        return ", ".join(f"{name}: {_written(part)}" for name, part in value.items())
    if isinstance(value, dict | list):
        return json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return {True: "yes", False: "no", None: "-"}[value] if value is None or isinstance(value, bool) else str(value)


ROUTES: Final = (Route("/links/{token}", _show), Route("/links/{token}", _use, methods=["POST"]))
