"""How soon a large database answers whoever looks at it: the rows are written as they would stand after years."""

from __future__ import annotations

import json
import random
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from fsmflow import Machine, State, clock
from fsmflow.decision.commit import Commit
from fsmflow.decision.entity import Failure, Snapshot, Standing
from fsmflow.decision.start import begin
from fsmflow.decision.terms import condition
from fsmflow.decision.work import Work, WorkKind
from fsmflow.engine.groups import groups
from fsmflow.engine.headcount import headcounts
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.selection import Selection, select
from fsmflow.metrics.exposition import Numbers
from fsmflow.metrics.sources import read
from fsmflow.running.maintenance.recount import Recount
from fsmflow.running.meters import EDGES_MS, Counts
from fsmflow.store.columns import (
    HISTORY_COLUMNS,
    NEW_ENTITY_COLUMNS,
    TERM_COLUMNS,
    WORK_COLUMNS,
    entry_values,
    new_entity_values,
    work_values,
)
from fsmflow.store.indexes import CHILD
from fsmflow.store.listing import Filter
from fsmflow.store.store import Store
from fsmflow.store.tables import ENTITY, HISTORY, TERM, WORK
from fsmflow.values import replace

_PAGE = 400
_DAY_MS = 86_400_000
_YEARS_MS = 3 * 365 * _DAY_MS
_ERRORS = ("GatewayDown: no answer within # s", "CardDeclined: code #", "KeyError: 'amount'")


class BenchOrder(Machine):
    """An order as shops have it."""

    initial = "new"
    states = [
        "new",
        State("charging", job="work"),
        "awaiting_approval",
        State("packing", job="work"),
        State("shipping", machine="bench_parcel", each="parcels"),
        State("shipped", final=True),
        State("rejected", final=True),
    ]
    search = ["customer", "amount"]
    transitions = [
        ["submit", "new", "charging"],
        ["done", "charging", "awaiting_approval"],
        {"trigger": "approve", "source": "awaiting_approval", "dest": "packing", "roles": ["manager"]},
        ["reject", "awaiting_approval", "rejected"],
        ["done", "packing", "shipping"],
        ["done", "shipping", "shipped"],
    ]

    def work(self) -> None:
        """Nothing is run here."""


class BenchParcel(Machine):
    """A parcel of an order."""

    initial = "labelled"
    states = ["labelled", State("delivered", final=True)]
    transitions = [["deliver", "labelled", "delivered"]]
    search = ["tracking"]


class BenchTick(Machine):
    """Something that is done every night."""

    initial = "begun"
    states = ["begun", State("ended", final=True)]
    transitions = [["end", "begun", "ended"]]
    schedule = "0 3 * * *"


#: Of a thousand, how many stand where.
_SHARES = (
    ("shipped", "finished", 840),
    ("rejected", "finished", 60),
    ("cancelled", "finished", 20),
    ("awaiting_approval", "waiting", 45),
    ("failed_from_charging", "failed", 20),
    ("new", "waiting", 10),
    ("charging", "working", 5),
)


def fill(runtime: Runtime, count: int, *, history: int) -> None:
    """Write so many orders, a parcel for every tenth, and so many lines of history for each."""
    chance, store = random.Random(1), runtime.store
    begun = begin(runtime.machines.get("bench_order"), "0", {}, None, None, 0)
    parcel = begin(runtime.machines.get("bench_parcel"), "0", {}, None, None, 0).after
    places = [(state, phase) for state, phase, share in _SHARES for _ in range(share)]
    now = store.link.now()
    started = time.monotonic()
    for first in range(0, count, _PAGE * 50):
        with store.link.transaction():
            for page in range(first, min(count, first + _PAGE * 50), _PAGE):
                numbers = range(page, min(count, page + _PAGE))
                orders = [_order(begun.after, number, count, now, chance, places) for number in numbers]
                rows = _write(store, orders, begun, history, BenchOrder.search)
                parcels = [_parcel(parcel, *pair) for pair in zip(orders, rows, strict=True)][::10]
                _write(store, parcels, begun, 0, BenchParcel.search)
        print(f"\r{min(count, first + _PAGE * 50):,} of {count:,} written", end="", file=sys.stderr, flush=True)
    print(f" in {time.monotonic() - started:.0f} s", file=sys.stderr)
    for machine, fields in (("bench_order", BenchOrder.search), ("bench_parcel", BenchParcel.search)):
        store.search.note(machine, dict.fromkeys(fields))
    if store.link.dialect.name == "postgresql":
        store.link.execute(f"VACUUM ANALYSE {ENTITY}")
        store.link.execute(f"VACUUM ANALYSE {WORK}")


def _order(
    pattern: Snapshot, number: int, count: int, now: int, chance: random.Random, places: Sequence[tuple[str, str]]
) -> Snapshot:
    state, phase = chance.choice(places)
    created = now - _YEARS_MS + number * (_YEARS_MS // count)
    entered = min(now, created + chance.randrange(5 * _DAY_MS))
    failure = _failure(state, entered, chance) if phase == "failed" else None
    data = {"customer": f"c{chance.randrange(count // 10 + 1)}", "amount": chance.randrange(10_000), "tenant": "acme"}
    runs = phase == "working"
    return replace(
        pattern,
        entity_id=str(number),
        state=state,
        phase=phase,
        epoch=5,
        revision=9,
        seq=10,
        data_text=json.dumps(data, separators=(",", ":")),
        failure_text=failure.to_text() if failure else None,
        fingerprint=failure.fingerprint if failure else None,
        created_at=created,
        entered_at=entered,
        updated_at=entered,
        work=Work(epoch=5, kind=WorkKind.JOB, wake_at=now + _DAY_MS, queue="default") if runs else None,
    )


def _failure(state: str, at: int, chance: random.Random) -> Failure:
    kind, _, message = chance.choice(_ERRORS).partition(": ")
    return Failure(
        error_type=kind,
        message=message.replace("#", str(chance.randrange(60))),
        traceback="Traceback (most recent call last):\n" + '  File "shop.py", line 7, in charge\n' * 20,
        state=state.removeprefix("failed_from_"),
        attempts=3,
        at=clock.to_datetime(at),
        fingerprint=f"{zlib.crc32(kind.encode()):012x}",
        permanent=False,
    )


def _parcel(pattern: Snapshot, order: Snapshot, row: int) -> Snapshot:
    is_over = order.phase == "finished"
    return replace(
        pattern,
        entity_id=f"{order.address}/shipping/0",
        state="delivered" if is_over else "labelled",
        phase="finished" if is_over else "waiting",
        data_text=json.dumps({"tracking": f"T{row}"}),
        created_at=order.created_at,
        entered_at=order.entered_at,
        updated_at=order.updated_at,
        parent=row,
        parent_step=4,
        parent_index=0,
        standing=Standing.DONE_TOLD if is_over else Standing.ACTIVE,
        work=None,
    )


def _write(store: Store, entities: Sequence[Snapshot], begun: Commit, history: int, fields: Sequence[str]) -> list[int]:
    dialect, link = store.link.dialect, store.link
    link.execute(*dialect.insert_many(ENTITY, NEW_ENTITY_COLUMNS, [new_entity_values(each) for each in entities]))
    rows = [each.row for each in store.entities.with_rows(entities)]
    work = [(row, *work_values(each.work)) for row, each in zip(rows, entities, strict=True) if each.work is not None]
    if work:
        link.execute(*dialect.insert_many(WORK, ("entity", *WORK_COLUMNS), work))
    made = [replace(each, row=row) for row, each in zip(rows, entities, strict=True)]
    terms = [term for each in made for term in store.search.rows(each, fields)]
    link.execute(*dialect.insert_many(TERM, TERM_COLUMNS, terms))
    lines = [entry_values(replace(begun.entries[0], seq=seq + 1), "0" * 16) for seq in range(history)]
    written = [(row, *line) for row in rows for line in lines]
    for first in range(0, len(written), 1_000):
        link.execute(*dialect.insert_many(HISTORY, HISTORY_COLUMNS, written[first : first + 1_000]))
    return rows


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
            counts.take(("ended", "bench_order", f"state_{number}", "done", edge_ms, False, None))
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

    def listed(order: str | None = None, **asked: Any) -> Callable[[], int]:
        return _listed(runtime, Selection(machine="bench_order", **asked), order=order)

    return {
        "list by a declared field": listed(data={"customer": "c77"}),
        "list by a declared field, of large ones": listed(where=(condition("amount", ">=", 9_990),)),
        "list in the order of a declared field": listed("-amount"),
        "list in the order of a declared field, of a state": listed("amount", states=("awaiting_approval",)),
        "list by a declared field of a child": listed(children=(condition("bench_parcel.tracking", "=", "T1001"),)),
    }


def _listed(runtime: Runtime, selection: Selection, **how: Any) -> Callable[[], int]:
    return lambda: len(list(islice(select(runtime, selection, limit=51, **how), 51)))
