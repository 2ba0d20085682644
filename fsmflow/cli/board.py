"""What ``fsmflow top`` knows at one moment, read by a few queries that are bounded whatever the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import Any, Final

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.expectation import is_overdue
from fsmflow.decision.inputs import Actor
from fsmflow.definition.names import FINISHED
from fsmflow.dispatch.listeners import Listener
from fsmflow.engine.headcount import Headcount, headcounts
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.signs import rules_of
from fsmflow.engine.teams import reach_of
from fsmflow.failures import FailureGroup, groups
from fsmflow.holds import Hold, current_holds
from fsmflow.objects.plain import iso, iso_of
from fsmflow.operations import alarms, repairs
from fsmflow.operations.alarms import Raised
from fsmflow.operations.repair import Repair
from fsmflow.operations.report import Report
from fsmflow.queries import crew_of
from fsmflow.values import dataclass

#: So much is looked at of what there may be any number of.
MOST: Final = 100
_DUE: Final = 1_000
_REPAIRS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Board:
    """``due``: how much is due now, ``_DUE`` at most; None for who is in some teams alone. ``oldest``: since when the
    doorbell at the head of each queue waits, None where none does. ``unheard``: why nothing is known of queues and
    workers. ``overdue``: the states whose oldest entity is there for longer than expected. ``set_aside``: groups that
    are resolved or ignored, in which entities rest. ``alarms``: None where there can be none, or not for this one."""

    now: int
    counts: Sequence[Headcount]
    phases: Mapping[tuple[str, str], str]
    overdue: Set[tuple[str, str]]
    groups: Sequence[FailureGroup]
    set_aside: Sequence[FailureGroup]
    alarms: Sequence[Raised] | None
    running: Sequence[Snapshot]
    due: int | None
    oldest: Mapping[str, int | None]
    workers: Sequence[Listener]
    unheard: str | None
    repairs: Sequence[tuple[Repair, Report]]
    holds: Sequence[Hold]

    @property
    def told_due(self) -> str:
        """How much is due, for people; empty where that is not theirs to know."""
        return "" if self.due is None else f"{self.due:,}{' or more' if self.due == _DUE else ''} due"


def look(runtime: Runtime, actor: Actor | None) -> Board:
    """All of it as it is now, as far as it is there for an actor. Some twenty queries, none of which grows with the
    number of entities, and three round trips to Redis. Raises ConfigurationError where the database is away."""
    now, known = runtime.now(), runtime.machines.all()
    crew = crew_of(runtime, actor, most=MOST, most_due=_DUE)
    specs = {(name, state): spec for name, definition in known.items() for state, spec in definition.states.items()}
    places = {key: number for number, key in enumerate(specs)}
    counts = headcounts(runtime, actor=actor)
    newest = list(islice(repairs.find(newest=True, actor=actor), _REPAIRS))
    every, sees_all = groups(every=True, actor=actor), reach_of(runtime, actor) is None
    return Board(
        now=now,
        counts=sorted(counts, key=lambda each: (each.machine, places.get((each.machine, each.state), 0))),
        phases={key: spec.phase for key, spec in specs.items()},
        overdue={
            (each.machine, each.state)
            for each in counts
            if each.since is not None and is_overdue(specs.get((each.machine, each.state)), each.since, now)
        },
        groups=[each for each in every if each.is_due][:MOST],
        set_aside=[each for each in every if each.parts and not each.is_due],
        alarms=alarms.raised()[:MOST] if sees_all and rules_of(runtime) else None,
        running=crew.running,
        due=crew.due,
        oldest=crew.oldest,
        workers=crew.workers,
        unheard=crew.unheard,
        repairs=list(zip(newest, repairs.reports(newest), strict=True)),
        holds=current_holds(actor=actor),
    )


def object_of(board: Board) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "at": iso(board.now),
        "states": list(_states(board)),
        "failures": [
            {"id": each.id, "count": each.count, "error_type": each.error_type, "last_at": iso_of(each.last_at)}
            for each in board.groups
        ],
        "set_aside": {"groups": len(board.set_aside), "entities": sum(each.count for each in board.set_aside)},
        "alarms": [
            {"address": each.address, "since": each.since and iso_of(each.since), "text": each.text}
            for each in board.alarms or ()
        ],
        "running": [
            {"address": each.address, "state": each.state, "attempt": each.work.attempt, "progress": each.work.progress}
            for each in board.running
            if each.work is not None
        ],
        "due": board.due,
        "queues": [
            {"name": name, "processes": processes_of(board, name), "waits_since": _iso(since)}
            for name, since in board.oldest.items()
        ],
        "workers": [
            {"host": each.host, "pid": each.pid, "since": iso(each.since), "release": each.release}
            for each in board.workers
        ],
        "redis": {"answers": board.unheard is None, "error": board.unheard},
        "repairs": [
            {"id": each.entity_id, "state": each.state, "over": each.phase == FINISHED, "report": str(report)}
            for each, report in board.repairs
        ],
        "holds": [str(each) for each in board.holds],
    }


def _states(board: Board) -> Iterator[dict[str, Any]]:
    for each in board.counts:
        place = {"machine": each.machine, "state": each.state}
        late = (each.machine, each.state) in board.overdue
        yield {**place, "count": each.count, "oldest": _iso(each.since), "overdue": late}


def processes_of(board: Board, queue: str) -> int | None:
    """How many worker processes listen on a queue; None where that is not known."""
    return None if board.unheard is not None else sum(queue in each.queues for each in board.workers)


def _iso(moment: int | None) -> str | None:
    return None if moment is None else iso(moment)
