"""How many entities stand in each state, and since when the oldest does, under the names that states have today."""

from __future__ import annotations

from collections.abc import Collection

from fsmflow.decision.inputs import Actor
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.teams import reach_of
from fsmflow.store.counts import Count
from fsmflow.store.indexes import ROOT
from fsmflow.values import dataclass


@dataclass(frozen=True, kw_only=True)
class Headcount:
    """``since``: when the oldest entered the state, in milliseconds, None where that is not known. ``at``: when they
    were counted, None where just now."""

    machine: str
    state: str
    count: int
    since: int | None
    at: int | None


def headcounts(
    runtime: Runtime,
    machine: str | None = None,
    *,
    scopes: Collection[str] = (ROOT,),
    exact: bool = False,
    actor: Actor | None = None,
) -> list[Headcount]:
    """Those of one machine or of all, by machine and state; states in which nothing stands are left out. For an actor
    those that are there for him.

    Some queries, whatever the numbers: see ``store.counts``. Machines that the code does not know are told too.
    """
    known = runtime.machines.all()
    found: dict[tuple[str, str], Headcount] = {}
    reach = reach_of(runtime, actor)
    for count in runtime.store.counts.look(runtime.now(), machine, scopes=scopes, exact=exact, reach=reach):
        name, state = count.cell.machine, count.cell.state
        state = known[name].wide.renamed.get(state, state) if name in known else state
        found[name, state] = _with(found.get((name, state)), count, name, state)
    return [found[key] for key in sorted(found)]


def _with(before: Headcount | None, count: Count, machine: str, state: str) -> Headcount:
    """One more count of what is the same state today."""
    if before is None:
        return Headcount(machine=machine, state=state, count=count.count, since=count.since, at=count.at)
    sinces = (before.since, count.since)
    ats = [at for at in (before.at, count.at) if at is not None]
    return Headcount(
        machine=machine,
        state=state,
        count=before.count + count.count,
        since=None if None in sinces else min(since for since in sinces if since is not None),
        at=min(ats, default=None),
    )
