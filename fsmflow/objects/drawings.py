"""What is laid over a drawing of a machine: the way of one of its entities, and how many are where."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from fsmflow import clock
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.expectation import is_overdue
from fsmflow.decision.history import HistoryEntry
from fsmflow.decision.inputs import Actor
from fsmflow.decision.versions import unknown_state
from fsmflow.definition.model import Definition
from fsmflow.diagram import Chart, Journey, Tally, chart, moves_of
from fsmflow.engine.headcount import Headcount, headcounts
from fsmflow.engine.lookup import Instance, instance_of
from fsmflow.engine.runtime import Runtime
from fsmflow.queries import history_of
from fsmflow.store.indexes import CHILD, ROOT

#: So many lines of a history tell the way that is drawn, the last ones.
WAY: Final = 1_000


def journey_of(
    runtime: Runtime, definition: Definition, snapshot: Snapshot, lines: Iterable[HistoryEntry] | None = None
) -> Journey:
    """The way of an entity until now, by its whole history, or by these lines of it. Raises UnknownState where the code
    lacks the state that it is in."""
    instance = instance_of(definition, snapshot)
    if instance.spec is None:
        raise unknown_state(instance.own, snapshot.state, address=snapshot.address)
    failure = snapshot.failure if instance.spec.is_failed else None
    return Journey(
        address=snapshot.address,
        state=instance.spec.name,
        since=clock.to_datetime(snapshot.entered_at),
        failure=None if failure is None else failure.error_type,
        moves=moves_of(history_of(runtime, snapshot.row) if lines is None else lines, definition.wide.renamed),
    )


def tallies_of(runtime: Runtime, definition: Definition, actor: Actor | None) -> dict[str, Tally]:
    """How many are where, children among them, of what is there for an actor."""
    now = runtime.now()
    counts = headcounts(runtime, definition.name, scopes=(ROOT, CHILD), actor=actor)
    return {each.state: tally_of(definition, each, now) for each in counts}


def tally_of(definition: Definition, each: Headcount, now: int, trend: str = "") -> Tally:
    """How many are in a state, as a drawing tells it."""
    return Tally(
        count=each.count,
        since=None if each.since is None else clock.to_datetime(each.since),
        age=None if each.since is None else clock.short(max(0, now - each.since)),
        late=each.since is not None and is_overdue(definition.states.get(each.state), each.since, now),
        trend=trend,
    )


def chart_of(runtime: Runtime, instance: Instance | None, snapshot: Snapshot) -> Chart | None:
    """Where an entity is, and the way that it came; None where the code does not know its state."""
    if instance is None or instance.spec is None:
        return None
    way = islice(history_of(runtime, snapshot.row, after=max(0, snapshot.seq - WAY)), WAY)
    return chart(instance.own, journey=journey_of(runtime, instance.root, instance.snapshot, way))
