"""Whether anything slows down in a large database: a step, ``start_many``, and a fan-out with its join."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from _bench_marks import STEPS, marks
from _packages import Unavailable
from _peers.catalogue import KINDS, OURS, PEERS
from _peers.concurrency import MANY
from _peers.counters import cpu_s
from _peers.lines import Findings
from _peers.race import Course, Entry, Silence, watched
from _peers.stand import Stand

#: How many are started at once, at most: as many as there are already, and no more than these.
_CROWD: Final = 10_000
#: How long a fan-out may take until it has joined.
_FAN_WITHIN_S: Final = 900.0
_SEARCHED: Final = "BenchSearched"
#: The machines that fan out, what their branches are in words, and the options of their worker.
_FANS: Final = (("BenchFan", "", ()), ("BenchFanAwaited", " that are coroutines", MANY))


class Sizes(NamedTuple):
    """How many entities there are in each database, with at least so many lines of history each; how many chains are
    run in it; how many branches a fan-out has."""

    entities: Sequence[int]
    history: int
    chains: int
    branches: int


def measure(stand: Stand, findings: Findings, kinds: Iterable[str], sizes: Sizes, *, rounds: int) -> None:
    """All of it for each kind of database."""
    for kind in kinds:
        try:
            _measure(stand, findings, kind, sizes, rounds)
        except (Silence, Unavailable) as error:
            findings.leave_out(f"{KINDS[kind]}, growth", error)


def _measure(stand: Stand, findings: Findings, kind: str, sizes: Sizes, rounds: int) -> None:
    urls = {}
    for entities in sizes.entities:
        urls[entities] = stand.database(kind)
        name, program = f"fill-{kind}-{entities}", "fsmflow_fill"
        _course(stand, kind, name, urls[entities], program=program, history=sizes.history).run("fill", entities)
    for number in range(rounds):
        rates = {}
        for entities, url in urls.items():
            name = f"growth-{kind}-{entities}-{number}"
            found = _steps(stand, _course(stand, kind, name, url), sizes.chains)
            rates[entities] = found["steps_per_s"]
            smaller = {"of_smallest": rates[entities] / rates[sizes.entities[0]]}
            findings.line("growth", f"{kind}-{entities}", f"{KINDS[kind]}, {entities:,} entities").add(found | smaller)
        searched = _course(stand, kind, f"searched-{kind}-{number}", urls[sizes.entities[0]], variant=_SEARCHED)
        found = _steps(stand, searched, sizes.chains)
        beside = {"of_smallest": found["steps_per_s"] / rates[sizes.entities[0]]}
        label = f"{KINDS[kind]}, {sizes.entities[0]:,} entities, two searched fields"
        findings.line("growth", f"{kind}-searched", label).add(found | beside)
    for entities, url in urls.items():
        for number in range(rounds):
            course = _course(stand, kind, f"crowd-{kind}-{entities}-{number}", url)
            findings.line("growth", f"{kind}-{entities}", "").add({"started_per_s": _started(course, entities)})
    for variant, what, options in _FANS:
        label = f"{KINDS[kind]}, {sizes.branches:,} branches{what} out and joined"
        course = _course(stand, kind, f"{variant}-{kind}", urls[sizes.entities[0]], workers=2, variant=variant)
        findings.line("growth", f"{variant}-{kind}", label).add(_fanned(course, sizes.branches, options))


def _course(stand: Stand, kind: str, name: str, url: str, *, history: int = 0, **more_of_peer: Any) -> Course:
    peer = replace(PEERS[f"{OURS}-{kind}"], **more_of_peer)
    stand.empty_redis()
    more = {"FSMFLOW_DATABASE_URL": url, "BENCH_HISTORY": str(history)}
    return Course(stand, Entry(peer, Path(sys.executable)), name, **more)


def _steps(stand: Stand, course: Course, chains: int) -> dict[str, float]:
    course.run("enqueue", chains)
    with course.served() as pids:
        found = watched(stand, course, pids, chains * STEPS, redis=False)
    return {name: found[name] for name in ("steps_per_s", "cpu_ms")}


def _started(course: Course, entities: int) -> float:
    """How many ``start_many`` starts in a second."""
    crowd = min(_CROWD, entities)
    course.run("crowd", crowd)
    began, ended = marks(course.marks.with_suffix(".sent"))
    return crowd / (ended - began)


def _fanned(course: Course, branches: int, options: Sequence[str]) -> dict[str, float]:
    """From the start until the job after the join begins, with two processes, and what these take of a processor for
    each branch."""
    with course.served(*options) as pids:
        course.run("fan", branches)
        before = cpu_s(pids)
        course.wait_for(1, patience_s=_FAN_WITHIN_S)
        took_s = cpu_s(pids) - before
    (began,), (joined,) = marks(course.marks.with_suffix(".sent")), marks(course.marks)
    return {"seconds": joined - began, "cpu_ms": 1000 * took_s / branches}
