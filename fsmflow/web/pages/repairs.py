"""Repairs: who is meant and how carefully; what would be done; what became of it, live."""

from __future__ import annotations

import hashlib
import shlex
import uuid
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fsmflow import clock
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.inputs import Actor
from fsmflow.decision.member import Fate
from fsmflow.definition.names import CANCEL, FAILED, FINISHED, OPERATIONS
from fsmflow.engine.lookup import instance_for
from fsmflow.engine.permission import permit_action
from fsmflow.engine.runtime import Runtime, current
from fsmflow.errors import DataError, FsmflowError
from fsmflow.objects.repairs import command_of, told_of_plan
from fsmflow.operations import repairs
from fsmflow.operations.members import NAME, judged
from fsmflow.operations.plan import AT_ONCE, REPAIRS, TRIGGER, Plan, share_of
from fsmflow.operations.repair import Repair
from fsmflow.operations.report import Report
from fsmflow.queries import listening, resolve
from fsmflow.values import dataclass
from fsmflow.web.difference import read_object
from fsmflow.web.form import REASON, Field, Form, Given, Way, answered, number, told
from fsmflow.web.freshness import FRESH_S, Shared, sight_of
from fsmflow.web.identity import actor_of
from fsmflow.web.query import query_of
from fsmflow.web.section import Section
from fsmflow.web.templates import render
from fsmflow.web.threads import threaded

_LISTED: Final = 50
#: So many on one page.
MEMBERS: Final = 50
_shared: Final[Shared[dict[str, Any]]] = Shared(FRESH_S)
#: Nothing of it changes by itself in these.
_RESTS: Final = ("previewed", "stopped")
#: The parts of the bar, and how each is told, those that were asked first.
FATES: Final = (
    (Fate.RECOVERED, "recovered"),
    (Fate.FAILED_ALIKE, "failed again alike"),
    (Fate.FAILED_OTHERWISE, "failed otherwise"),
    (Fate.UNDER_WAY, "under way"),
    (Fate.TAKEN_OVER, "taken over by others"),
    (Fate.MOVED, "moved meanwhile, left alone"),
    (Fate.REFUSED, "refused"),
    (Fate.PENDING, "not asked yet"),
)
#: What takes the id of a message, or is for good, is done one by one.
_OFFERED: Final = tuple(name for name in REPAIRS if name not in ("drop", "erase"))
_DATA: Final = Field(
    name="data",
    label="Data to bring",
    kind="area",
    placeholder='{"card": "tok_2"}',
    hint="A JSON object, merged into the data of each before it is retried; or the payload of a trigger.",
)
_WHICH: Final = Field(
    name="q", label="Which", required=True, hint="All that matches this search, however many that are."
)
_WHAT: Final = (
    Field(name="action", label="What is done to each", kind="choice", choices=[(each, each) for each in _OFFERED]),
    _DATA,
)
_MORE: Final = (
    Field(name="new_key", label="A new idempotency key: a retry counts as another step", kind="check"),
    Field(name="to", label="State", hint="Where rewind and force lead."),
    Field(name="trigger", label="Trigger", hint="What the action 'trigger' fires."),
)
_CARE: Final = (
    Field(name="canary", label="Canary", kind="number", hint="So many first; the rest once these have recovered."),
    Field(name="rate", label="Rate", placeholder="20/s, 100/m", hint="At most so many are asked."),
    Field(name="stop_after", label="Stop after", placeholder="3%", hint="Once more than this share failed again."),
    Field(name="at_once", label="Under way at once", kind="number", placeholder=str(AT_ONCE)),
    Field(name="limit", label="At most in all", kind="number"),
)


@dataclass(frozen=True, kw_only=True)
class Deed:
    """Something to be done to a repair: which permission it takes, and in which states it means something."""

    name: str
    verb: str
    permission: str
    states: Sequence[str]
    says: str
    is_grave: bool = False


DEEDS: Final = {
    each.name: each
    for each in (
        Deed(
            name="confirm",
            verb="Go on",
            permission="confirm",
            states=("previewed",),
            says="It begins to ask them, with the care that the plan says. It can be stopped at any moment.",
        ),
        Deed(
            name="resume",
            verb="Go on",
            permission="go_on",
            states=("stopped",),
            says="It asks the rest. Where its canary was not passed, as many others are tried first. What has failed "
            "so far does not count any more.",
        ),
        Deed(
            name="stop",
            verb="Stop",
            permission="stop",
            states=("canary", "judging", "running"),
            says="It asks no more of them. What was asked goes on its way.",
        ),
        Deed(
            name="cancel",
            verb="Cancel",
            permission=CANCEL,
            states=("previewing", "previewed", "canary", "judging", "running", "settling", "stopped"),
            says="It ends for good. What was asked goes on its way.",
            is_grave=True,
        ),
    )
}


@threaded
def _list(request: Request) -> Response:
    runtime, actor = current(), actor_of(request)
    found = list(islice(repairs.find(newest=True, actor=actor), _LISTED))
    reports = zip(found, repairs.reports(found), strict=True)
    rows = [(each, told_of_plan(each.plan), report) for each, report in reports]
    return render(request, "repairs.html", rows=rows, now=runtime.now())


@threaded
def _new(request: Request) -> Response:
    actor = actor_of(request)

    def act(given: Given) -> Way:
        plan = _plan(given, actor)
        # The same form sent twice starts one; another one is another repair.
        digest = hashlib.sha256("\n".join(f"{name}={given[name]}" for name in sorted(given)).encode()).hexdigest()
        id_ = f"{clock.to_datetime(current().now()):%Y%m%d}-{digest[:12]}"
        return f"/repairs/{repairs.begin(plan, confirm=False, id_=id_).entity_id}", {}

    return answered(request, lambda given: _asked(request, given), act, template="repair_new.html")


def _asked(request: Request, given: Given) -> dict[str, Any]:
    """The form, with what is careful where nothing was said yet."""
    careful = {"canary": "1", "stop_after": "5%"} if request.method == "GET" else {}
    key = given.get("key") or uuid.uuid4().hex
    return {
        "given": {**careful, **given, "key": key},
        "which": [_WHICH],
        "what": _WHAT,
        "more": _MORE,
        "care": _CARE,
        "reason": [REASON],
        "opened": any(given.get(field.name) for field in _MORE),
    }


def _plan(given: Given, actor: Actor) -> Plan:
    """What a form asks for. Raises DataError, in words."""
    query = query_of(given.get("q", "").strip(), current().machines.all())
    action, brought = given.get("action", ""), read_object(given.get("data", ""), "the data")
    is_trigger, stop_after = action == TRIGGER, told(given, "stop_after")
    addresses = () if query.address is None else (resolve(current(), query.address, actor).address,)
    if not addresses and not query.selection.narrows:
        raise DataError("which entities? Say it as in the search of entities, machine:order state:failed_*")
    return Plan(
        action=action,
        state=told(given, "to"),
        trigger=told(given, "trigger"),
        payload=brought if is_trigger else {},
        patch={} if is_trigger else brought,
        new_key=given.get("new_key") == "on",
        addresses=addresses,
        selection=query.selection,
        limit=number(given, "limit"),
        canary=number(given, "canary", 0) or 0,
        rate=told(given, "rate"),
        at_once=number(given, "at_once") or AT_ONCE,
        stop_after=None if stop_after is None else share_of(stop_after),
        **Plan.person(actor),
        reason=told(given, "reason"),
    )


@threaded
def _show(request: Request) -> Response:
    runtime, actor = current(), actor_of(request)
    found = repairs.get(request.path_params["id"], actor=actor)
    seen = _seen(runtime, found)
    fate, after = _fate(request), request.query_params.get("after", "")
    last = int(after) if after.isascii() and after.isdigit() and len(after) < 18 else 0
    row = resolve(runtime, found.address, actor).row
    members = runtime.store.members.page(row, fate, after=last, limit=MEMBERS + 1)
    return render(
        request,
        "repair.html",
        **seen,
        told=told_of_plan(found.plan),
        command=command_of(found.plan),
        deeds=_deeds(runtime, resolve(runtime, found.address, actor), actor),
        fate=fate,
        fates=dict(FATES),
        members=[judged(runtime, each) if each.fate is Fate.UNDER_WAY else each for each in members[:MEMBERS]],
        after=members[MEMBERS - 1].entity if len(members) > MEMBERS else None,
        unheard=_unheard(runtime, found),
        did=DEEDS.get(request.query_params.get("did", "")),
    )


@threaded
def _report(request: Request) -> Response:
    """What became of it so far, to be put in the place of what the page had."""
    runtime, actor = current(), actor_of(request)
    id_ = request.path_params["id"]
    # Read once for all of the same teams who ask within a moment.
    seen = _shared.get((sight_of(runtime, actor), id_), lambda: _seen(runtime, repairs.get(id_, actor=actor)))
    return render(request, "report.html", **seen, was=request.query_params.get("was", ""))


def _seen(runtime: Runtime, found: Repair) -> dict[str, Any]:
    report = found.report()
    return {
        "it": found,
        "report": report,
        "bar": _bar(report),
        "is_live": not (found.state in _RESTS or found.paused or found.phase in (FAILED, FINISHED)),
        "now": runtime.now(),
    }


def _bar(report: Report) -> list[tuple[Fate, str, int, int]]:
    """Each fate that anybody has: how it is called, how many have it, and how many are before them in the bar."""
    found, before = [], 0
    for fate, name in FATES:
        count = getattr(report, fate.value)
        if count:
            found.append((fate, name, count, before))
        before += count
    return found


def _fate(request: Request) -> Fate | None:
    named = request.query_params.get("fate", "")
    return next((fate for fate, _ in FATES if fate.value == named), None)


def _deeds(runtime: Runtime, snapshot: Snapshot, actor: Actor) -> list[Deed]:
    """What this actor could do to it now."""
    return [each for each in DEEDS.values() if _fits(each, snapshot) and _may(runtime, snapshot, each, actor)]


def _fits(deed: Deed, snapshot: Snapshot) -> bool:
    if deed.name == "resume" and (snapshot.paused or snapshot.phase == FAILED):
        return True
    return snapshot.state in deed.states and not snapshot.paused and snapshot.phase != FAILED


def _may(runtime: Runtime, snapshot: Snapshot, deed: Deed, actor: Actor) -> bool:
    is_own = deed.name == "resume" and snapshot.state != "stopped"
    try:
        permit_action(runtime, instance_for(runtime, snapshot), "resume" if is_own else deed.permission, actor)
    except FsmflowError:
        return False
    return True


def _unheard(runtime: Runtime, found: Repair) -> bool:
    """Whether no worker would run its jobs."""
    heard = listening(runtime)
    return found.phase != FINISHED and heard.on(OPERATIONS) is False


@threaded
def _do(request: Request) -> Response:
    actor, deed = actor_of(request), DEEDS.get(request.path_params["deed"])
    if deed is None:
        raise HTTPException(404)
    found = repairs.get(request.path_params["id"], actor=actor)

    def act(given: Given) -> Way:
        reason = told(given, "reason")
        if deed.name == "stop":
            repairs.stop(found, reason=reason or "", actor=actor)
        elif deed.name == "cancel":
            found.cancel(reason=reason, actor=actor)
        elif deed.name == "confirm" and found.state != "previewed":
            raise DataError(f"{found.address} is in {found.state!r}: there is nothing to confirm")
        else:
            repairs.resume(found, reason=reason, actor=actor)
        return f"/repairs/{found.entity_id}", {"did": deed.name}

    return answered(request, lambda given: {"form": _form(found, deed, given)}, act)


def _form(found: Repair, deed: Deed, given: Given) -> Form:
    report, id_ = found.report(), found.entity_id
    command = ["fsmflow", NAME, "resume" if deed.name == "confirm" else deed.name, id_]
    if deed.name == CANCEL:
        command = ["fsmflow", CANCEL, found.address]
    reason = [f"--reason={given['reason']}"] if told(given, "reason") else []
    return Form(
        title=f"{deed.verb}: {found.address}",
        says=(f"{told_of_plan(found.plan).capitalize()}.", *_ways(report), f"{report}.", deed.says),
        verb=_verb(found, deed, report),
        back=f"/repairs/{id_}",
        where="the repair",
        command=shlex.join([*command, *reason]),
        fields=[REASON],
        is_grave=deed.is_grave,
    )


def _ways(report: Report) -> list[str]:
    return [
        f"{way['count']:,} x {way['state']} → {way['would']}" + (f", which runs {way['job']}" if way["job"] else "")
        for way in report.preview.get("ways", ())
    ]


def _verb(found: Repair, deed: Deed, report: Report) -> str:
    if deed.name not in ("confirm", "resume"):
        return f"{deed.verb} it"
    what = found.plan.trigger if found.plan.action == TRIGGER else found.plan.action
    return f"{deed.verb}: {what} {report.pending:,}"


SECTION: Final = Section(
    title="Repairs",
    path="/repairs",
    routes=(
        Route("/repairs", _list),
        Route("/repairs/new", _new, methods=["GET", "POST"]),
        Route("/repairs/{id}", _show),
        Route("/repairs/{id}/report", _report),
        Route("/repairs/{id}/{deed}", _do, methods=["GET", "POST"]),
    ),
)
