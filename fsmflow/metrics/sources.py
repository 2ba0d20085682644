"""Reads all that is told, from SQL and from Redis. It writes nothing, and locks nothing that a step waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from fsmflow import __version__, clock
from fsmflow.decision.group import ledgers
from fsmflow.definition.model import Definition
from fsmflow.engine.holds import in_force
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import FsmflowError, SearchStopped
from fsmflow.log import probes
from fsmflow.metrics.exposition import Histogram, Labels, Numbers
from fsmflow.metrics.families import FAMILIES, HISTOGRAM
from fsmflow.running.meters import BEYOND_MS, EDGES_MS
from fsmflow.store import backlog
from fsmflow.store.backlog import Backlog, Heap
from fsmflow.store.indexes import BRANCH, CHILD, ROOT, SCOPES
from fsmflow.store.listing import Filter
from fsmflow.store.meters import Meter

Known = Mapping[str, Definition]

_KINDS: Final = {ROOT: "root", CHILD: "child", BRANCH: "branch"}
_HELD_BY: Final = {backlog.HELD: "pause", backlog.PARKED: "hold", backlog.IN_LINE: "limit"}
_BEYOND_S: Final = float("inf")


def read(runtime: Runtime, numbers: Numbers) -> None:
    """All of it, part by part. A part that takes too long is left out, and so is what Redis would say while that is
    away. Raises DatabaseUnavailable."""
    began_s = clock.monotonic()
    numbers.add("info", 1, __version__, runtime.release.name or "", runtime.store.link.dialect.label)
    known = _machines(runtime, numbers)
    for part, act in _PARTS.items():
        found = Numbers()
        try:
            act(runtime, known, found)
        except SearchStopped as error:
            probes.not_answered(part, error)
            found = Numbers()
            numbers.add("part_up", 0, part)
        else:
            numbers.add("part_up", 1, part)
        numbers.take(found)
    _workers(runtime, known, numbers)
    numbers.add("read_seconds", clock.monotonic() - began_s)
    numbers.add("read_timestamp_seconds", clock.local_now() / 1000)


def _entities(runtime: Runtime, known: Known, numbers: Numbers) -> None:
    now = runtime.now()
    counted_at = now
    for count in runtime.store.counts.look(now, scopes=SCOPES):
        cell = count.cell
        definition = known.get(cell.machine)
        state = cell.state if definition is None else definition.wide.renamed.get(cell.state, cell.state)
        numbers.add("entities", count.count, cell.machine, state, _KINDS[cell.scope])
        if count.since is not None:
            numbers.add("oldest_entity_seconds", _age(count.since, now), cell.machine, state, _KINDS[cell.scope])
        counted_at = min(counted_at, count.at or now)
    numbers.add("entities_counted_seconds", _age(counted_at, now))
    for definition in known.values():
        for state, spec in definition.states.items():
            if spec.expect_ms is not None:
                numbers.add("expected_seconds", spec.expect_ms / 1000, definition.name, state)


def _work(runtime: Runtime, known: Known, numbers: Numbers) -> None:
    now, store = runtime.now(), runtime.store
    heaps, is_cut = Backlog(store.link).look(now)
    nothing = [Heap(standing=backlog.DUE, queue=queue, count=0, since=None) for queue in _queues(known)]
    nothing += [Heap(standing=each, queue=None, count=0, since=None) for each in (backlog.TIMER_DUE, *_HELD_BY)]
    for heap in (*nothing, *heaps):
        _heap(heap, now, numbers)
    for running in Backlog(store.link).running(now):
        numbers.add("running", running.count, running.machine, running.state, running.queue)
    numbers.add("work_cut", int(is_cut))
    numbers.add("stuck", store.listing.count(Filter(stuck=True, branches=True)))
    numbers.add("holds", len([hold for hold in in_force(runtime).holds if hold.is_active(now)]))


def _heap(heap: Heap, now: int, numbers: Numbers) -> None:
    queue, age = heap.queue or "default", _age(heap.since or now, now)
    if heap.standing == backlog.DUE:
        numbers.add("due", heap.count, queue)
        numbers.add("oldest_due_seconds", age, queue)
    elif heap.standing == backlog.WAITING:
        numbers.add("waiting", heap.count, queue)
    elif heap.standing == backlog.TIMER_DUE:
        numbers.add("timers_due", heap.count)
        numbers.add("oldest_timer_due_seconds", age)
    elif heap.standing in _HELD_BY:
        numbers.add("held", heap.count, _HELD_BY[heap.standing])


def _failures(runtime: Runtime, known: Known, numbers: Numbers) -> None:
    now, store = runtime.now(), runtime.store.groups
    groups, sightings = store.all(), store.sightings()
    found = ledgers(groups, sightings, store.releases())
    lives = {each: ledger.life(now).value for ledger in found.values() for each in ledger.fingerprints}
    told: set[tuple[str, str, str, str]] = set()
    for one in store.counted():
        labels = (one.machine, one.state, lives.get(one.fingerprint, "open"))
        numbers.add("failures_resting", one.count, *labels)
        numbers.add("oldest_failure_seconds", _age(one.first_at, now), *labels)
        told.add((*labels, one.fingerprint))
    for machine, state, life, _ in told:
        numbers.add("failure_groups", 1, machine, state, life)
    places = {group.fingerprint: (group.machine, group.state) for group in groups}
    for sighting in sightings:
        if sighting.fingerprint in places:
            numbers.add("failures_total", sighting.seen, *places[sighting.fingerprint])


def _meters(runtime: Runtime, known: Known, numbers: Numbers) -> None:
    histograms: dict[tuple[str, Labels], dict[Meter, int]] = {}
    for meter, value in runtime.store.meters.all().items():
        name = meter.name if f"fsmflow_{meter.name}" in FAMILIES else f"{meter.name}_total"
        family = FAMILIES.get(f"fsmflow_{name}")
        if family is None:
            continue  # of another release
        known_by = {"machine": meter.machine, "state": meter.state}
        labels = tuple(known_by.get(each, meter.label) for each in family.labels)
        if family.kind == HISTOGRAM:
            histograms.setdefault((name, labels), {})[meter] = value
        else:
            numbers.add(name, value, *labels)
    for (name, labels), found in histograms.items():
        numbers.add(name, _histogram(found), *labels)


def _histogram(found: dict[Meter, int]) -> Histogram:
    buckets = dict.fromkeys([edge / 1000 for edge in EDGES_MS], 0) | {_BEYOND_S: 0}
    total = 0.0
    for meter, value in found.items():
        if not meter.at_most:
            total += value / 1000
        else:
            edge = _BEYOND_S if meter.at_most >= BEYOND_MS else meter.at_most / 1000
            buckets[edge] = buckets.get(edge, 0) + value
    return Histogram(buckets=buckets, sum=total)


def _workers(runtime: Runtime, known: Known, numbers: Numbers) -> None:
    listeners, silent = [], []
    for server in runtime.doorbell.servers:
        try:
            listeners += server.listeners()
        except server.errors as error:
            probes.not_answered("redis", error)
            server.forget()
            silent.append(server)
    numbers.add("redis_up", int(not silent))
    for queue in _queues(known):
        numbers.add("queue_redis_up", int(runtime.doorbell.at(queue) not in silent), queue)
    if silent:
        return
    numbers.add("supervisors", len({each.name.partition(".")[0] for each in listeners}))
    for queue in _queues(known):
        numbers.add("queue_workers", 0, queue)
    for each in listeners:
        numbers.add("workers", 1, each.release or "")
        for queue in each.queues:
            numbers.add("queue_workers", 1, queue)


def _machines(runtime: Runtime, numbers: Numbers) -> Known:
    """The machines; none where they cannot be loaded, and the rest is told all the same."""
    try:
        found = runtime.machines.all()
    except FsmflowError as error:
        probes.not_answered("machines", error)
        numbers.add("part_up", 0, "machines")
        return {}
    numbers.add("part_up", 1, "machines")
    return found


def _queues(known: Known) -> Iterable[str]:
    """The queues that machines name."""
    return {queue for definition in known.values() for queue in definition.queues}


def _age(since: int, now: int) -> float:
    return max(now - since, 0) / 1000


_PARTS: Final[dict[str, Callable[[Runtime, Known, Numbers], None]]] = {
    "entities": _entities,
    "work": _work,
    "failures": _failures,
    "meters": _meters,
}
