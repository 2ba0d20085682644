"""Jobs that are coroutines: many at once in one process, where a worker offers that."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from _bench_marks import STEPS, count, marks
from _packages import Unavailable
from _peers.catalogue import KINDS, OURS, PEERS
from _peers.counters import cpu_s, memory
from _peers.lines import Findings, Line
from _peers.race import Course, Entry, Silence, of_postgres, rate, told
from _peers.stand import Stand

_OPTION: Final = "--concurrency"
#: So many at once.
MANY: Final = (_OPTION, "50")
_SHORT_S: Final = 0.05
_LONG_S: Final = 10.0
#: So many short jobs, where they run side by side and where they do not.
_SHORT: Final = 3_000
_SHORT_ALONE: Final = 60
#: So many times the chains of other measures: what a worker costs as it starts is to be a small part.
_LONGER: Final = 5
_MB: Final = 1e6
#: How long all of the long jobs may take to begin.
_BEGIN_WITHIN_S: Final = 30.0


class Sizes(NamedTuple):
    """How many chains, and how many jobs that wait at once."""

    chains: int
    waiting: int


def is_offered() -> bool:
    """Whether ``fsmflow worker`` takes several coroutines at once."""
    worker = [sys.executable, "-m", "fsmflow.cli", "worker", "--help"]
    shown = subprocess.run(worker, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "100"})
    return _OPTION in shown.stdout


def measure(stand: Stand, findings: Findings, kinds: Iterable[str], sizes: Sizes, *, rounds: int) -> None:
    """Chains that do nothing, jobs of 50 ms, and memory while many wait for long."""
    offered = is_offered()
    options = MANY if offered else ()
    for kind in kinds:
        try:
            for number in range(rounds):
                name = f"{kind}-{number}"
                found = _rate(stand, f"noop-{name}", kind, "BenchAwaited", sizes.chains * _LONGER, STEPS, options)
                _line(findings, kind, "no-op", "jobs that do nothing", offered).add(found)
                jobs = _SHORT if offered else _SHORT_ALONE
                found = _rate(stand, f"short-{name}", kind, "BenchWait", jobs, 1, options)
                _line(findings, kind, "short", "jobs of 50 ms", offered).add(found)
            line = _line(findings, kind, "long", f"{sizes.waiting:,} jobs of 10 s", offered)
            if offered:
                line.add(_waiting(stand, kind, sizes.waiting))
        except (Silence, Unavailable) as error:
            findings.leave_out(f"{KINDS[kind]}, coroutines", error)


def _line(findings: Findings, kind: str, name: str, what: str, offered: bool) -> Line:
    line = findings.line("concurrency", f"{name}-{kind}", f"{KINDS[kind]}: {what}")
    if not offered and not line.remarks:
        alone = "it was left out" if name == "long" else "one at a time"
        line.remarks.append(f"fsmflow worker has no {_OPTION} yet: {alone}")
    return line


def _course(stand: Stand, name: str, kind: str, url: str, variant: str, seconds: float) -> Course:
    peer = replace(PEERS[f"{OURS}-{kind}"], variant=variant)
    stand.empty_redis()
    more = {"FSMFLOW_DATABASE_URL": url, "BENCH_SECONDS": str(seconds)}
    return Course(stand, Entry(peer, Path(sys.executable)), name, **more)


def _rate(
    stand: Stand, name: str, kind: str, variant: str, entities: int, steps: int, options: Sequence[str]
) -> dict[str, float]:
    """Jobs a second in one process, and what each has cost, starting and stopping included."""
    url, jobs = stand.database(kind), entities * steps
    course = _course(stand, name, kind, url, variant, _SHORT_S)
    course.run("enqueue", entities)
    before = told(url if kind == "postgres" else "")
    with course.served(*options) as pids:
        course.wait_for(jobs)
        spent_ms = 1000 * cpu_s(pids)
    after = told(url if kind == "postgres" else "")
    cost = {"cpu_ms": spent_ms / jobs, **of_postgres(before, after, jobs)}
    return {"jobs_per_s": rate(marks(course.marks)), **cost}


def _waiting(stand: Stand, kind: str, jobs: int) -> dict[str, float]:
    """How many had begun before the first one could end, and what memory the worker took then."""
    course = _course(stand, f"long-{kind}", kind, stand.database(kind), "BenchWait", _LONG_S)
    course.run("enqueue", jobs)
    with course.served(_OPTION, str(jobs)) as pids:
        course.wait_for(1)
        end = time.monotonic() + _BEGIN_WITHIN_S
        while (begun := count(course.marks)) < jobs and time.monotonic() < end:
            time.sleep(0.05)
        sizes = memory(pids)
        first = marks(course.marks)[0]
    at_once = min(begun, sum(moment < first + _LONG_S for moment in marks(course.marks)))
    return {"at_once": at_once, "process_mb": sizes[0] / _MB, "all_mb": sum(sizes) / _MB}
