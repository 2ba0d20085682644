"""How many entities stand where, and what waits, as objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fsmflow.decision.expectation import is_overdue
from fsmflow.decision.inputs import Actor
from fsmflow.definition.model import StateSpec
from fsmflow.definition.names import DELIVERIES, OPERATIONS
from fsmflow.definition.priority import queue_below
from fsmflow.dispatch.prefix import queue_key
from fsmflow.engine.headcount import Headcount, headcounts
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.teams import reach_of
from fsmflow.errors import RedisUnavailable
from fsmflow.objects.plain import iso
from fsmflow.queries import Listening, listening, queues_of, with_priorities
from fsmflow.store.demand import demand_on
from fsmflow.store.listing import Filter
from fsmflow.store.sentence import first_line
from fsmflow.values import dataclass

#: Of what is due no more are counted.
MANY_DUE: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class Stats:
    """What there is at a moment. ``due``: how much is due, ``MANY_DUE`` at most; ``active``: how much is due,
    dispatched or running. Both are None for who is in some teams alone."""

    now: int
    counts: Sequence[Headcount]
    queues: Sequence[str]
    heard: Listening
    due: int | None
    active: int | None
    stuck: int


def stats_of(runtime: Runtime, actor: Actor | None) -> Stats:
    """What is there for ``actor``, asked now."""
    reach, now = reach_of(runtime, actor), runtime.now()
    whole = reach is None
    return Stats(
        now=now,
        counts=headcounts(runtime, actor=actor),
        queues=queues_of(runtime.machines.of_user().values()),
        heard=listening(runtime),
        due=len(runtime.store.work.due(now, MANY_DUE)) if whole else None,
        active=runtime.store.work.active(now) if whole else None,
        stuck=runtime.store.listing.count(Filter(stuck=True, branches=True, reach=reach)),
    )


def stats_object(runtime: Runtime, stats: Stats) -> dict[str, Any]:
    """These numbers, as ``fsmflow stats --json`` prints them."""
    return {
        **_counts(runtime, stats.counts, stats.now),
        "queues": queue_objects(runtime, stats.queues, stats.heard),
        "redis": {"answers": stats.heard.error is None, "error": stats.heard.error},
        "due": stats.due,
        "active": stats.active,
        "stuck": stats.stuck,
    }


def overdue(runtime: Runtime, each: Headcount, now: int) -> StateSpec | None:
    """The state, where the oldest in it is overdue."""
    definition = runtime.machines.all().get(each.machine)
    spec = None if definition is None else definition.states.get(each.state)
    return spec if each.since is not None and is_overdue(spec, each.since, now) else None


def counted_at(counts: Sequence[Headcount]) -> int | None:
    """When those were counted that are not counted now; None where all are."""
    return min((each.at for each in counts if each.at is not None), default=None)


def _counts(runtime: Runtime, counts: Sequence[Headcount], now: int) -> dict[str, Any]:
    by_machine: dict[str, dict[str, int]] = {}
    oldest: dict[str, dict[str, str | None]] = {}
    for each in counts:
        by_machine.setdefault(each.machine, {})[each.state] = each.count
        oldest.setdefault(each.machine, {})[each.state] = _iso(each.since)
    return {
        "entities": sum(each.count for each in counts),
        "counts": by_machine,
        "oldest": oldest,
        "counted_at": _iso(counted_at(counts)),
        "overdue": [{"machine": each.machine, "state": each.state} for each in counts if overdue(runtime, each, now)],
    }


def _iso(moment: int | None) -> str | None:
    return None if moment is None else iso(moment)


def queue_objects(runtime: Runtime, queues: Sequence[str], heard: Listening) -> list[dict[str, Any]]:
    """Queues, and whether workers listen there; None where that is not known."""
    return [
        {
            "name": queue,
            "in_rq": runtime.doorbell.rq_queue(queue),
            "listening": heard.on(queue),
        }
        for queue in queues
    ]


def demand_object(runtime: Runtime, queues: Sequence[str]) -> dict[str, Any]:
    """How much there is for workers of these queues, and where their doorbells are in Redis. Four queries."""
    # Each worker listens on these, whatever it is told.
    listens = with_priorities(dict.fromkeys((*queues, OPERATIONS, DELIVERIES)), runtime.machines.all().values())
    now, store = runtime.now(), runtime.store
    found = demand_on(store.link, listens, now)
    next_at = [at for at in (store.work.next_due_at(now), store.events.next_due_at(now)) if at is not None]
    return {
        "queues": list(queues),
        "due": found.due,
        "running": found.running,
        "timers": found.timers,
        "wanted": found.wanted,
        "next_at": _iso(min(next_at, default=None)),
        "lists": [
            queue_key(runtime.doorbell.rq_queue(name)) for name in listens if {name, queue_below(name)} & set(queues)
        ],
    }


def worker_objects(runtime: Runtime) -> list[dict[str, Any]]:
    """The worker processes that listen. Raises RedisUnavailable where that cannot be known."""
    try:
        found = runtime.doorbell.listeners()
    except runtime.doorbell.errors as error:
        raise RedisUnavailable(f"who listens is not known, as Redis does not answer: {first_line(error)}") from error
    here = runtime.release
    return [
        {
            "host": each.host,
            "pid": each.pid,
            "since": iso(each.since),
            "queues": list(each.queues),
            "release": each.release,
            "same_code": (each.release, each.source) == (here.name, here.source),
        }
        for each in found
    ]
