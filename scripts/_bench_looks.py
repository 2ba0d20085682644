"""How soon a large database answers whoever looks at it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from fsmflow.decision.terms import condition
from fsmflow.engine.groups import groups
from fsmflow.engine.headcount import headcounts
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.selection import Selection, select
from fsmflow.metrics.exposition import Numbers
from fsmflow.metrics.sources import read
from fsmflow.running.maintenance.recount import Recount
from fsmflow.running.meters import EDGES_MS, Counts
from fsmflow.store.indexes import CHILD
from fsmflow.store.listing import Filter

_DAY_MS = 86_400_000


def counted(runtime: Runtime) -> None:
    """Let maintenance count what is large, as workers do all the time."""
    recount, fresh = Recount(runtime), runtime.now() - 60_000
    while runtime.store.counts.large():
        summary = runtime.store.counts.summary()
        if summary is not None and summary.at >= fresh:
            return
        recount.go_on()
        time.sleep(0.05)


def measure(runtime: Runtime, runs: int) -> Iterator[tuple[str, float, int]]:
    """Each look, its least time in seconds, and how much it found; once maintenance has counted what is large."""
    counted(runtime)
    _metered(runtime)
    for name, look in _looks(runtime).items():
        least, found = 1e9, 0
        for _ in range(runs):
            begin_s = time.perf_counter()
            found = look()
            least = min(least, time.perf_counter() - begin_s)
        yield name, least, found


def _scraped(runtime: Runtime) -> int:
    """One scrape; how many lines it has."""
    numbers = Numbers()
    read(runtime, numbers)
    return len(numbers.text().splitlines())


def _metered(runtime: Runtime) -> None:
    """What workers have counted of a hundred states."""
    counts = Counts()
    for number in range(100):
        for edge_ms in EDGES_MS:
            counts.take([("ended", "bench_order", f"state_{number}", "done", edge_ms, False, None)])
    counts.keep(runtime.store.meters, at_once=True)


def _looks(runtime: Runtime) -> dict[str, Callable[[], int]]:
    def listed(*, newest: bool = False, **asked: Any) -> Callable[[], int]:
        return _listed(runtime, Selection(**asked), newest=newest)

    def counted(machine: str | None = None, *, exact: bool = False) -> Callable[[], int]:
        return lambda: sum(each.count for each in headcounts(runtime, machine, exact=exact))

    listing = runtime.store.listing
    order, old = "bench_order", 2 * 365 * _DAY_MS
    return {
        "metrics, all of them": lambda: _scraped(runtime),
        "counts with the oldest": counted(),
        "counts with the oldest, of a machine": counted(order),
        "counts with the oldest, exact": counted(exact=True),
        "counts with the oldest, of parcels": lambda: sum(
            each.count for each in headcounts(runtime, "bench_parcel", scopes=(CHILD,))
        ),
        "list": listed(),
        "list, newest": listed(newest=True),
        "list of a machine, newest": listed(machine=order, newest=True),
        "list of children, newest": listed(machine="bench_parcel", branches=True, newest=True),
        "list by state": listed(machine=order, states=("awaiting_approval",)),
        "list by state, a large one, newest": listed(machine=order, states=("shipped",), newest=True),
        "list by state, of all machines": listed(states=("failed_from_*",)),
        "list of a phase": listed(phase="working"),
        "list of what failed": listed(phase="failed", newest=True),
        "list of what is older": listed(machine=order, older_ms=old),
        "list by state, of what is older": listed(states=("awaiting_approval",), older_ms=old),
        "failure groups": lambda: len(groups(runtime)),
        "list by error": listed(error="KeyError*"),
        "list by id": lambda: len(list(listing.find(Filter(entity_id="777")))),
        "list of what is stuck": listed(stuck=True, branches=True),
        "count of what is stuck": lambda: listing.count(Filter(stuck=True, branches=True)),
        "list of what waits out an interval": listed(waiting=True),
        **_searches(runtime),
    }


def _searches(runtime: Runtime) -> dict[str, Callable[[], int]]:
    """By what machines declare by ``search``."""
    [parcel] = select(runtime, Selection(machine="bench_parcel", branches=True), limit=1)
    tracking = json.loads(parcel.data_text)["tracking"]

    def listed(order: str | None = None, **asked: Any) -> Callable[[], int]:
        return _listed(runtime, Selection(machine="bench_order", **asked), order=order)

    return {
        "list by a declared field": listed(data={"customer": "c77"}),
        "list by a declared field, of large ones": listed(where=(condition("amount", ">=", 9_990),)),
        "list in the order of a declared field": listed("-amount"),
        "list in the order of a declared field, of a state": listed("amount", states=("awaiting_approval",)),
        "list by a declared field of a child": listed(children=(condition("bench_parcel.tracking", "=", tracking),)),
    }


def _listed(runtime: Runtime, selection: Selection, **how: Any) -> Callable[[], int]:
    return lambda: len(list(islice(select(runtime, selection, limit=51, **how), 51)))
