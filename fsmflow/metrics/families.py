"""Every metric: its name, what its labels are, and what it means. What is printed is one of these, and nothing else."""

from __future__ import annotations

from typing import Final

from fsmflow.values import dataclass

GAUGE: Final = "gauge"
COUNTER: Final = "counter"
HISTOGRAM: Final = "histogram"


@dataclass(frozen=True, kw_only=True)
class Family:
    """A metric. ``largest``: of several that are told as one it is the largest that counts, not their sum."""

    name: str
    kind: str
    told: str
    labels: tuple[str, ...] = ()
    largest: bool = False


def _gauge(name: str, told: str, *labels: str, largest: bool = False) -> Family:
    return Family(name=f"fsmflow_{name}", kind=GAUGE, told=told, labels=labels, largest=largest)


def _counter(name: str, told: str, *labels: str) -> Family:
    return Family(name=f"fsmflow_{name}_total", kind=COUNTER, told=told, labels=labels)


def _histogram(name: str, told: str, *labels: str) -> Family:
    return Family(name=f"fsmflow_{name}", kind=HISTOGRAM, told=told, labels=labels)


_IN_STATE: Final = ("machine", "state")
_ABOUT_ITSELF: Final = (
    _gauge("up", "Whether the database answered. Where it is 0, all that comes from the database is left out"),
    _gauge(
        "info", "1; with the release of fsmflow and of your code, and the database", "version", "release",
        "database",
    ),
    _gauge("part_up", "Whether this part of the numbers could be read; one that took too long is left out", "part"),
    _gauge("read_seconds", "How long reading all of it took"),
    _gauge("read_timestamp_seconds", "When that was. The same text is told for some seconds"),
    _gauge("series_folded", "Series that are told as 'other', as a metric has too many"),
)  # fmt: skip
_ENTITIES: Final = (
    _gauge("entities", "Entities in a state: roots, children, branches of a step", *_IN_STATE, "kind"),
    _gauge("oldest_entity_seconds", "For how long the oldest is in its state", *_IN_STATE, "kind", largest=True),
    _gauge("expected_seconds", "How long a stay is expected to last: 'expect' of the state", *_IN_STATE, largest=True),
    _gauge("entities_counted_seconds", "How old numbers over 10,000 are, which maintenance counts; else 0"),
)
_WORK: Final = (
    _gauge("due", "Jobs that wait for a worker", "queue"),
    _gauge("oldest_due_seconds", "For how long the first of them does", "queue", largest=True),
    _gauge("running", "Attempts that run now", *_IN_STATE, "queue"),
    _gauge("waiting", "Jobs that wait for their time: for a retry, or as they were put off", "queue"),
    _gauge("held", "Work that is kept back by a pause, by a hold, or by a limit", "reason"),
    _gauge("holds", "Holds that are in force"),
    _gauge("timers_due", "Timers, deadlines and parents whose time has come, and that nobody has looked after yet"),
    _gauge("oldest_timer_due_seconds", "For how long the first of them is due", largest=True),
    _gauge("stuck", "Entities of which something is due and cannot go on"),
    _gauge("work_cut", "1 where more is due than is counted: then due, running and waiting are at least what is told"),
)
_FAILURES: Final = (
    _gauge("failures_resting", "Entities that rest in a failure, by the life of their group", *_IN_STATE, "life"),
    _gauge("failure_groups", "Failure groups in which something rests", *_IN_STATE, "life"),
    _gauge("oldest_failure_seconds", "For how long the oldest of them rests", *_IN_STATE, "life", largest=True),
    _counter("failures", "Failures for good, by machine and state of their group", *_IN_STATE),
)
_METERS: Final = (
    _counter("attempts", "Attempts that ended, by how", *_IN_STATE, "outcome"),
    _counter("attempts_repeated", "Those of them that were not the first of their step", *_IN_STATE),
    _histogram("attempt_seconds", "How long jobs ran", *_IN_STATE),
    _histogram("wait_seconds", "From the ring of a doorbell to the claim of its attempt", "queue"),
    _counter("doorbells_answered", "Doorbells by which an attempt was claimed", "queue"),
    _counter("doorbells_in_vain", "Doorbells that were answered, and there was nothing to do any more"),
    _counter("doorbells_rung_again", "Doorbells that maintenance rang anew, as nobody had answered", "queue"),
    _histogram("recovery_seconds", "Of lost attempts: from the last sign of life to the end of the attempt"),
    _histogram("sweep_seconds", "How long sweeps of maintenance took"),
    _counter("sweep_rows", "What they looked after"),
)
_WORKERS: Final = (
    _gauge("redis_up", "Whether Redis answered, all servers of it. Where it is 0, workers are left out"),
    _gauge("queue_redis_up", "Whether the Redis server of a queue answered", "queue"),
    _gauge("workers", "Worker processes that live, by the release of the code that they have loaded", "release"),
    _gauge("supervisors", "Supervisors that live"),
    _gauge("queue_workers", "Worker processes that listen on a queue", "queue"),
)

FAMILIES: Final = {
    family.name: family for family in (*_ABOUT_ITSELF, *_ENTITIES, *_WORK, *_FAILURES, *_METERS, *_WORKERS)
}
