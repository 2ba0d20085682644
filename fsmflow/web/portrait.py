"""What the page of an entity knows: where it is, the way that it came, and what this actor could do."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from fsmflow.decision.actions import ACTIONS
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.inputs import Actor
from fsmflow.decision.offers import Offer
from fsmflow.definition.model import Definition
from fsmflow.diagram import Row, rows, svg
from fsmflow.engine.details import Details, details_of
from fsmflow.engine.lookup import Instance
from fsmflow.engine.reasons import Reasons
from fsmflow.engine.runtime import Runtime
from fsmflow.objects.buttons import Button, buttons, instance_in
from fsmflow.objects.drawings import WAY, chart_of
from fsmflow.objects.entities import offered
from fsmflow.queries import definition_for, overdue_in, redacted
from fsmflow.redaction import hide
from fsmflow.values import dataclass
from fsmflow.web.branches import Listed, listed
from fsmflow.web.difference import written

#: So many lines of a history are on one page.
LINES: Final = 200


@dataclass(frozen=True, kw_only=True)
class Portrait:
    """``own``: the definition that it goes by, None where the code does not know it. ``skipped``: so many lines of its
    history are before those that are here, and ``later`` after them. ``states``: what the picture shows, as a list.
    ``is_cut``: the way is drawn from its last lines alone."""

    snapshot: Snapshot
    own: Definition | None
    instance: Instance | None
    details: Details
    picture: str | None
    states: Sequence[Row]
    data: str
    event: str
    keys: frozenset[str]
    reasons: dict[str, str | None]
    overdue: str | None
    offers: Sequence[Offer]
    buttons: Sequence[Button]
    command: str
    lines: Sequence[HistoryEntry]
    skipped: int
    later: int
    is_cut: bool
    branches: Listed


def portrait(
    runtime: Runtime, snapshot: Snapshot, actor: Actor, *, upto: int | None = None, after: int = -1
) -> Portrait:
    """Look at an entity. Some twenty queries, each by an index. Of its history the last lines are read, and those up to
    ``upto`` where that is asked for; of its branches the first, or those after the one of index ``after``."""
    instance, own = instance_in(runtime, snapshot), definition_for(runtime, snapshot)
    drawn = chart_of(runtime, instance, snapshot)
    keys, details = redacted(runtime, snapshot), details_of(runtime, own, snapshot)
    last = min(snapshot.seq, snapshot.seq if upto is None else max(1, upto))
    skipped = max(0, last - LINES)
    lines = runtime.store.entities.history(snapshot.row, after=skipped, limit=last - skipped)
    event = hide(dict(snapshot.event.payload), keys)
    return Portrait(
        snapshot=snapshot,
        own=own,
        instance=instance,
        details=details,
        picture=None if drawn is None else svg(drawn, styled=False, titled=False),
        states=[] if drawn is None else rows(drawn),
        data=written(hide(snapshot.data, keys)),
        event=written(event) if event else "",
        keys=keys,
        reasons=Reasons(runtime).told(snapshot.row),
        overdue=overdue_in(runtime, snapshot, runtime.now()),
        offers=[each for each in offered(runtime, snapshot, actor) if each.trigger not in ACTIONS],
        buttons=[] if instance is None else list(buttons(runtime, instance, actor, details)),
        command=shlex.join(["fsmflow", "show", snapshot.address]),
        lines=[each.hidden(keys) for each in lines],
        skipped=skipped,
        later=snapshot.seq - last,
        is_cut=snapshot.seq > WAY,
        branches=listed(runtime, snapshot, details, after),
    )
