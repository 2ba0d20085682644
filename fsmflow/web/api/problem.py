"""What a program gets that is refused: a problem (RFC 9457), with what is allowed now, and what happened meanwhile."""

from __future__ import annotations

from typing import Any, Final

from fsmflow import shapes
from fsmflow.engine.runtime import Runtime, current
from fsmflow.errors import (
    DatabaseUnavailable,
    DataError,
    FsmflowError,
    KeyConflict,
    NotPermitted,
    TransitionConflict,
    TransitionNotAllowed,
    text_of,
)
from fsmflow.objects import entities
from fsmflow.queries import history_of, redacted, resolve
from fsmflow.web.api.call import Answer, Call
from fsmflow.web.errors import told_of_raised
from fsmflow.web.statuses import RAISED, STALE, Status, status_of

MEDIA_TYPE: Final = "application/problem+json"
_TYPE: Final = "urn:fsmflow:problem:"
#: So many lines of history are told of what happened meanwhile, the last ones.
_MEANWHILE: Final = 20
_RETRY_S: Final = "1"


def problem_of(error: FsmflowError, call: Call | None, path: dict[str, str]) -> Answer:
    """An error of fsmflow, in its own words."""
    stale = isinstance(error, TransitionConflict) and call is not None and call.epoch is not None
    status = STALE if stale else status_of(error)
    body = {**_bare(status, text_of(error)), **_particulars(error)}
    epoch = None
    if call is not None and status.code in (403, 409, 412) and "id" in path:
        standing, epoch = _standing(current(), call)
        body = {**body, **standing, "allowed": body.get("allowed") or standing.get("allowed", [])}
    headers = {"Retry-After": _RETRY_S} if status.code == 503 else {}
    return Answer(content=body, status=status.code, epoch=epoch, headers=headers)


def raised(error: BaseException) -> Answer:
    """What a guard, callback or method of the user's code raised."""
    return Answer(content=_bare(RAISED, told_of_raised(error)), status=RAISED.code)


def _bare(status: Status, detail: str) -> dict[str, Any]:
    return {"type": _TYPE + status.name, "title": status.title, "status": status.code, "detail": detail}


def _particulars(error: FsmflowError) -> dict[str, Any]:
    """What the error says of itself beside its sentence."""
    if isinstance(error, TransitionNotAllowed):
        same = {"allowed": list(error.allowed), "refusals": list(error.refusals), "words": list(error.words)}
        return {"address": error.address, "trigger": error.trigger, **same}
    if isinstance(error, NotPermitted):
        return {"address": error.address, "trigger": error.trigger, "roles": list(error.roles)}
    if isinstance(error, KeyConflict):
        return {"address": error.address, "used_for": error.used_for, "used_at": error.at.isoformat()}
    if isinstance(error, DatabaseUnavailable):
        return {"in_doubt": error.in_doubt}
    if type(error) is not DataError and isinstance(error, DataError) and isinstance(error, shapes.Unfit):
        return {"faults": [{"place": list(fault.place), "text": fault.text} for fault in error.faults]}
    return {}


def _standing(runtime: Runtime, call: Call) -> tuple[dict[str, Any], int | None]:
    """How the entity stands now; nothing where that is not there for the one who asks."""
    try:
        found = resolve(runtime, f"{call.path['machine']}:{call.path['id']}", call.actor)
    except FsmflowError:
        return {}, None
    told: dict[str, Any] = {
        "address": found.address,
        "state": found.state,
        "phase": found.phase,
        "epoch": found.epoch,
        "allowed": [offer.trigger for offer in entities.offered(runtime, found, call.actor) if offer.allowed],
    }
    if call.epoch is not None and call.epoch != found.epoch:
        keys = redacted(runtime, found)
        lines = history_of(runtime, found.row, after=max(0, found.seq - _MEANWHILE))
        told["meanwhile"] = [entities.entry(line, keys) for line in lines if line.epoch > call.epoch]
    return told, found.epoch
