"""The page of one entity, and how it compares with another one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fsmflow.decision.actions import ACTIONS
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.inputs import Actor
from fsmflow.definition.names import CANCELLED, UNDONE
from fsmflow.diagram.overlay import Move, moves_of
from fsmflow.engine.runtime import Runtime, current
from fsmflow.engine.selection import Selection, select
from fsmflow.objects.drawings import WAY
from fsmflow.queries import definition_for, history_of, redacted, resolve
from fsmflow.redaction import hide
from fsmflow.values import dataclass
from fsmflow.web.difference import differences
from fsmflow.web.identity import actor_of
from fsmflow.web.live import fragment
from fsmflow.web.portrait import portrait
from fsmflow.web.templates import render
from fsmflow.web.threads import threaded

#: So many steps of two ways are laid side by side, and looked for in so many lines of their histories.
_STEPS: Final = 200
_LINES: Final = 1_000
#: So many that ended last tell which end is the usual one.
_LATEST: Final = 20


@threaded
def _show(request: Request) -> Response:
    runtime, actor = current(), actor_of(request)
    snapshot = resolve(runtime, request.path_params["address"], actor)
    upto, after = _number(request, "upto"), _number(request, "branches")
    seen = portrait(runtime, snapshot, actor, upto=upto, after=-1 if after is None else after)
    done = ACTIONS.get(request.query_params.get("did", ""))
    fired, own = request.query_params.get("fired"), seen.own
    known = own is not None and any(each.trigger == fired for each in own.transitions)
    context: dict[str, Any] = {"done": done, "fired": fired if known else None, "way": f"{WAY:,}"}
    context |= {"as_list": "list" in request.query_params, "after": after}
    return render(request, "entity.html", it=seen, now=runtime.now(), **context)


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name, "")
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


@threaded
def _compare(request: Request) -> Response:
    runtime, actor = current(), actor_of(request)
    one = resolve(runtime, request.path_params["address"], actor)
    named = request.query_params.get("with", "").strip()
    other = resolve(runtime, named, actor) if named else last_good(runtime, one, actor)
    context = {} if other is None else _beside(runtime, one, other)
    return render(request, "compare.html", one=one, other=other, **context)


def last_good(runtime: Runtime, one: Snapshot, actor: Actor) -> Snapshot | None:
    """Of the same machine the newest that came where most of the latest ended: nothing that was cancelled, undone, or
    turned down as it happens now and then."""
    own = definition_for(runtime, one)
    ends = [spec.name for spec in own.states.values() if spec.is_final] if own else []
    states = tuple(name for name in ends if name not in (CANCELLED, UNDONE))
    if not states or one.branch_of is not None:
        return None
    wanted = Selection(machine=one.machine, states=states)
    found = select(runtime, wanted, limit=_LATEST, newest=True, actor=actor)
    latest = [each for each in found if each.row != one.row]
    usual = Counter(each.state for each in latest).most_common(1)
    return next((each for each in latest if each.state == usual[0][0]), None)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two steps at the same place of two ways."""

    left: Move | None
    right: Move | None

    @property
    def parts(self) -> bool:
        """Whether they are not the same."""
        return self.left is None or self.right is None or self.left.key != self.right.key


def _beside(runtime: Runtime, one: Snapshot, other: Snapshot) -> dict[str, Any]:
    """Where their ways part, and how their data and releases differ."""
    keys = redacted(runtime, one) | redacted(runtime, other)
    lines = [list(islice(history_of(runtime, each.row), _LINES)) for each in (one, other)]
    pairs = list(_pairs(*(_way(runtime, each, found) for each, found in zip((one, other), lines, strict=True))))
    return {
        "pairs": pairs[:_STEPS],
        "first": next((number for number, pair in enumerate(pairs) if pair.parts), None),
        "data": differences(hide(one.data, keys), hide(other.data, keys)),
        "releases": [_releases(found) for found in lines],
        "is_cut": max(one.seq, other.seq) > _LINES,
    }


def _pairs(left: Sequence[Move], right: Sequence[Move]) -> Iterator[Pair]:
    return (Pair(left=a, right=b) for a, b in zip_longest(left, right))


def _way(runtime: Runtime, snapshot: Snapshot, lines: Sequence[HistoryEntry]) -> Sequence[Move]:
    definition = runtime.machines.all().get(snapshot.machine)
    return moves_of(lines, {} if definition is None else definition.wide.renamed)


def _releases(lines: Sequence[HistoryEntry]) -> list[str]:
    return list(dict.fromkeys(each.release for each in lines if each.release))


@threaded
def _news(request: Request) -> Response:
    """Whether an entity is still as a page shows it."""
    snapshot = resolve(current(), request.path_params["address"], actor_of(request))
    same = str(snapshot.revision) == request.query_params.get("revision")
    told = "" if same else f"{snapshot.address} has changed meanwhile: it is in {snapshot.state}. Look again"
    return fragment(request, "news.html", told=told)


ROUTES: Final = (
    Route("/news/{address:path}", _news),
    Route("/entity/{address:path}", _show),
    Route("/compare/{address:path}", _compare),
)
