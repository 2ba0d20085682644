"""What shows only over time: memory that grows, and how soon a step runs again whose worker was killed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from _bench_marks import STEPS, count, marks
from _packages import Unavailable
from _peers.catalogue import KINDS, OURS, PEERS
from _peers.counters import memory
from _peers.lines import Findings
from _peers.race import Course, Entry, Silence
from _peers.stand import Stand

_MB: Final = 1e6
_BEGINS_WITHIN_S: Final = 60.0


def memory_over(stand: Stand, findings: Findings, kinds: Iterable[str], *, steps: int) -> None:
    """The memory of the largest process of a worker after a tenth of so many steps, and after all of them."""
    for kind in kinds:
        try:
            course = _course(stand, kind, f"memory-{kind}", "BenchSteps")
            course.run("enqueue", steps // STEPS)
            with course.served() as pids:
                course.wait_for(steps // 10)
                first = memory(pids)[0] / _MB
                course.wait_for(steps // STEPS * STEPS - 1)
                last = memory(pids)[0] / _MB
        except (Silence, Unavailable) as error:
            findings.leave_out(f"{KINDS[kind]}, memory", error)
            continue
        found = {"steps": steps, "first_mb": first, "last_mb": last, "growth_mb": last - first}
        findings.line("endurance", kind, KINDS[kind]).add(found)


def recovery(stand: Stand, findings: Findings, kinds: Iterable[str], *, kills: int) -> None:
    """A worker process is killed so many times, and a whole worker once, while another one runs."""
    for kind in kinds:
        try:
            process = findings.line("recovery", f"{kind}-process", f"{KINDS[kind]}: a worker process")
            for seconds in _processes(stand, kind, kills):
                process.add({"seconds": seconds})
            whole = findings.line("recovery", f"{kind}-worker", f"{KINDS[kind]}: a whole worker, as with its host")
            whole.add({"seconds": _worker(stand, kind)})
        except (Silence, Unavailable) as error:
            findings.leave_out(f"{KINDS[kind]}, recovery", error)


def _processes(stand: Stand, kind: str, kills: int) -> Iterable[float]:
    course = _course(stand, kind, f"killed-{kind}", "BenchVictim")
    with course.served():
        for number in range(kills):
            course.run("enqueue", 1)
            victim = _victim(course)
            killed = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            course.wait_for(number + 1)
            yield marks(course.marks)[-1] - killed


def _worker(stand: Stand, kind: str) -> float:
    course = _course(stand, kind, f"lost-{kind}", "BenchVictim")
    with contextlib.ExitStack() as stack:
        (first,) = stack.enter_context(course.served())
        course.run("enqueue", 1)
        _victim(course)
        stack.enter_context(course.served())
        killed = time.monotonic()
        os.kill(first, signal.SIGKILL)
        course.wait_for(1)
    return marks(course.marks)[0] - killed


def _course(stand: Stand, kind: str, name: str, variant: str) -> Course:
    peer = replace(PEERS[f"{OURS}-{kind}"], variant=variant)
    stand.empty_redis()
    more = {"FSMFLOW_DATABASE_URL": stand.database(kind), "BENCH_VICTIM": str(stand.folder / f"{name}.pid")}
    course = Course(stand, Entry(peer, Path(sys.executable)), name, **more)
    course.run("prepare")
    return course


def _victim(course: Course) -> int:
    """The process that runs the job, once it has told so."""
    path, end = course.marks.with_suffix(".pid"), time.monotonic() + _BEGINS_WITHIN_S
    while not path.exists():
        if time.monotonic() > end:
            raise Silence(f"no job began within {_BEGINS_WITHIN_S:.0f} s; {count(course.marks)} had run before")
        time.sleep(0.01)
    pid = int(path.read_text())
    path.unlink()
    return pid
