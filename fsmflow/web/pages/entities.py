"""The entities that a search finds: on pages, and as files."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.inputs import Actor
from fsmflow.decision.terms import MISSING, value_at
from fsmflow.engine.runtime import Runtime, current
from fsmflow.engine.selection import select
from fsmflow.engine.sought import remark_of, way_of
from fsmflow.errors import FsmflowError, text_of
from fsmflow.objects.entities import summary
from fsmflow.objects.plain import iso, plain
from fsmflow.queries import overdue_in, redacted, resolve, stuck_events, stuck_in
from fsmflow.redaction import hide
from fsmflow.values import dataclass
from fsmflow.web.identity import actor_of
from fsmflow.web.live import fragment
from fsmflow.web.pages import actions, beginnings, entity
from fsmflow.web.query import Query, completions, query_of
from fsmflow.web.section import Section
from fsmflow.web.statuses import status_of
from fsmflow.web.templates import link, render
from fsmflow.web.threads import pool_of_request, threaded

PAGE: Final = 50
#: A file holds so many at most.
MOST: Final = 100_000
_CHUNK: Final = 200
_COLUMNS: Final = 8
#: How formulas begin, in full width too; what spreadsheets skip before it.
_FORMULA: Final = re.compile(r"[\s\0]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
#: So many new ones are counted.
_NEW: Final = 100


@dataclass(frozen=True, kw_only=True)
class Row:
    """An entity in the list. ``why``: why it failed, is stuck or overdue; ``cells``: the columns of one's choice."""

    it: Snapshot
    why: str
    cells: Sequence[str]


@threaded
def _show(request: Request) -> Response:
    runtime, actor = current(), actor_of(request)
    known, text = runtime.machines.all(), request.query_params.get("q", "").strip()
    context: dict[str, Any] = {"q": text, "suggestions": completions(known.values()), "now": runtime.now()}
    context |= {"columns": _columns(request), "order": request.query_params.get("order", "").strip()}
    context |= {"newest": "oldest" not in request.query_params, "rows": (), "more": None, "note": None, "error": None}
    try:
        query = query_of(text, known)
        if query.address is not None:
            return RedirectResponse(link(request, f"/entity/{resolve(runtime, query.address, actor).address}"), 303)
        context |= _found(runtime, request, query, actor, context)
    except FsmflowError as error:
        return render(request, "entities.html", status=status_of(error).code, **{**context, "error": text_of(error)})
    return render(request, "entities.html", **context)


def _found(runtime: Runtime, request: Request, query: Query, actor: Actor, context: dict[str, Any]) -> dict[str, Any]:
    """A page of them, and where the next one begins."""
    after, order = request.query_params.get("after"), context["order"] or None
    last = resolve(runtime, after, actor) if after else None
    found = select(
        runtime,
        query.selection,
        limit=PAGE + 1,
        newest=context["newest"],
        order=order,
        after=last,
        actor=actor,
    )
    page = list(found)
    events, now = stuck_events(runtime, page), context["now"]
    rows = [_row(runtime, each, events, now, context["columns"]) for each in page[:PAGE]]
    way = way_of(runtime, query.selection.machine, query.selection.conditions, order)
    more = page[PAGE - 1].address if len(page) > PAGE else None
    return {"rows": rows, "more": more, "note": remark_of(runtime, way)}


def _row(runtime: Runtime, it: Snapshot, events: Any, now: int, columns: Sequence[str]) -> Row:
    stuck, overdue = stuck_in(runtime, it, events), overdue_in(runtime, it, now)
    why = f"{it.failure.error_type}: {it.failure.message}" if it.failure else f"stuck: {stuck[0]}" if stuck else ""
    data = hide(it.data, redacted(runtime, it))
    return Row(it=it, why=why or (f"overdue: {overdue}" if overdue else ""), cells=[_cell(data, c) for c in columns])


def _columns(request: Request) -> list[str]:
    """The fields of the data that are shown as columns."""
    names = request.query_params.get("cols", "").replace(",", " ").split()
    return list(dict.fromkeys(name[:80] for name in names))[:_COLUMNS]


def _cell(data: Any, name: str) -> str:
    value = value_at(data, name)
    if value is MISSING:
        return ""
    return value if isinstance(value, str) else json.dumps(value, default=plain, ensure_ascii=False)


@threaded
def _news(request: Request) -> Response:
    """How many there are that a list, of the newest first, does not have yet."""
    runtime, actor = current(), actor_of(request)
    query = query_of(request.query_params.get("q", "").strip(), runtime.machines.all())
    first = request.query_params.get("first", "")
    after = int(first) if first.isascii() and first.isdigit() and len(first) < 19 else 0
    count = sum(1 for _ in select(runtime, query.selection, limit=_NEW, after=after, actor=actor))
    told = f"{count:,}{' or more' if count == _NEW else ''} new: show" if count else ""
    return fragment(request, "news.html", told=told)


async def _export(request: Request) -> Response:
    """The same as a file, sent as it is read."""
    pool, form = pool_of_request(), request.url.path.rpartition(".")[2]
    parts = await pool.run(_parts, request, form)
    kind = {"csv": "text/csv; charset=utf-8", "json": "application/json"}[form]
    headers = {"Content-Disposition": f'attachment; filename="entities.{form}"'}
    return StreamingResponse(pool.stream(parts, at_once=1), media_type=kind, headers=headers)


def _parts(request: Request, form: str) -> Iterator[str]:
    runtime, actor = current(), actor_of(request)
    query = query_of(request.query_params.get("q", "").strip(), runtime.machines.all())
    order = request.query_params.get("order", "").strip() or None
    newest = "oldest" not in request.query_params
    found = select(runtime, query.selection, limit=MOST, newest=newest, order=order, actor=actor)
    # The first one now, so that what is wrong with the search is answered as such.
    first = list(islice(found, 1))
    write = _csv if form == "csv" else _json
    return write(runtime, chain(first, found), _columns(request))


def _csv(runtime: Runtime, found: Iterator[Snapshot], columns: Sequence[str]) -> Iterator[str]:
    head = ["address", "state", "phase", "paused", "since", "created_at", "failure", *columns]
    yield _lines([[_harmless(cell) for cell in head]])
    while chunk := list(islice(found, _CHUNK)):
        yield _lines([_harmless(cell) for cell in _fields(runtime, each, columns)] for each in chunk)


def _fields(runtime: Runtime, each: Snapshot, columns: Sequence[str]) -> list[str]:
    failure = f"{each.failure.error_type}: {each.failure.message}" if each.failure else ""
    data = hide(each.data, redacted(runtime, each))
    own = [each.address, each.state, each.phase, str(each.paused), iso(each.entered_at), iso(each.created_at), failure]
    return own + [_cell(data, name) for name in columns]


def _lines(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _json(runtime: Runtime, found: Iterator[Snapshot], columns: Sequence[str]) -> Iterator[str]:
    opening = "["
    while chunk := list(islice(found, _CHUNK)):
        for each in chunk:
            data = hide(each.data, redacted(runtime, each))
            told = {**summary(each), "data": data}
            yield f"{opening}\n{json.dumps(told, default=plain, ensure_ascii=False)}"
            opening = ","
    yield "[]\n" if opening == "[" else "\n]\n"


SECTION: Final = Section(
    title="Entities",
    path="/entities",
    also=("/entity", "/do", "/fire", "/compare", "/start"),
    routes=(
        Route("/entities", _show),
        Route("/entities/news", _news),
        Route("/entities.csv", _export),
        Route("/entities.json", _export),
        *entity.ROUTES,
        *actions.ROUTES,
        *beginnings.ROUTES,
    ),
)
