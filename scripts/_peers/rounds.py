"""Rounds in which peers take turns: steps a second, and how soon a job begins."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

from _bench_marks import STEPS, marks
from _packages import Unavailable
from _peers.catalogue import PEERS, YARDSTICK, Peer
from _peers.concurrency import MANY, is_offered
from _peers.lines import Findings, quantile
from _peers.race import Course, Entry, Silence, race
from _peers.stand import Stand
from _peers.venv import python_of, version_of
from fsmflow.settings import VARIABLES

_Turn = TypeVar("_Turn")


def entries(peers: Iterable[Peer], findings: Findings) -> list[Entry]:
    """These that can be installed; the findings say which could not, and the versions of the others."""
    found = []
    for peer in peers:
        if peer.setting and peer.setting not in VARIABLES:
            findings.skipped[peer.label] = f"this fsmflow has no {peer.setting} yet"
            continue
        try:
            python = python_of(peer.packages)
        except Unavailable as error:
            findings.leave_out(peer.label, error)
            continue
        found.append(Entry(peer, python))
        if peer.packages and (version := version_of(python, peer.packages)) not in findings.machine["versions"]:
            findings.machine["versions"].append(version)
    return found


def races(stand: Stand, entered: Sequence[Entry], findings: Findings, *, rounds: int, chains: int) -> None:
    """All of them once in each round, which begins with another one each time."""
    for number in range(rounds):
        rates = {}
        for entry in _turned(entered, number):
            peer = entry.peer
            if peer.label in findings.skipped:
                continue
            try:
                found = race(stand, entry, max(2, int(chains * peer.share)), f"{peer.name}-{number}".replace(":", "-"))
            except (Silence, Unavailable) as error:
                findings.leave_out(peer.label, error)
                continue
            rates[peer.name] = found["steps_per_s"]
            findings.line("chains", peer.name, peer.label, keeps=peer.keeps).add(found)
            _tell(f"round {number + 1}: {peer.label:<32} {found['steps_per_s']:8.0f} steps/s")
        _compare(rates, findings)


def latencies(stand: Stand, findings: Findings, names: Iterable[str], *, rounds: int, jobs: int) -> None:
    """From the call to the first line of the job, on a worker that has nothing to do."""
    entered = [(entry, False) for entry in entries([PEERS[name] for name in names], findings)]
    if is_offered():
        entered += [(entry, True) for entry, _ in entered if entry.peer.is_ours]
    for number in range(rounds):
        for entry, many in _turned(entered, number):
            name, label = entry.peer.name, f"{entry.peer.label}{', --concurrency' if many else ''}"
            try:
                found = _latency(stand, entry, jobs, f"latency-{name}-{number}-{many}", many)
            except (Silence, Unavailable) as error:
                findings.leave_out(f"{label}, latency", error)
                continue
            findings.line("latency", f"{name}-{many}", label).add(found)
            _tell(f"round {number + 1}: {label:<32} {found['p50_ms']:8.2f} ms until its job begins")


def _latency(stand: Stand, entry: Entry, jobs: int, name: str, many: bool) -> dict[str, float]:
    """``many``: its worker takes many coroutines at once, and the job is one."""
    more = {"BENCH_CALL": "BenchCallAwaited" if many else "BenchCall"}
    if entry.peer.database:
        more["BENCH_DATABASE_URL"] = more["FSMFLOW_DATABASE_URL"] = stand.database(entry.peer.database)
    stand.empty_redis()
    course = Course(stand, entry, name, **more)
    course.run("enqueue", 1)
    with course.served(*(MANY if many else ())):
        course.wait_for(STEPS)
        os.truncate(course.marks, 0)
        course.run("latency", jobs)
    sent = marks(course.marks.with_suffix(".sent"))
    taken = [1000 * (begun - at) for begun, at in zip(marks(course.marks), sent, strict=True)]
    return {"p50_ms": quantile(taken, 0.50), "p95_ms": quantile(taken, 0.95)}


def _turned(entered: Sequence[_Turn], number: int) -> list[_Turn]:
    first = number % len(entered) if entered else 0
    return [*entered[first:], *entered[:first]]


def _compare(rates: dict[str, float], findings: Findings) -> None:
    """Each to SimpleWorker with one worker, in the same round."""
    if YARDSTICK not in rates:
        return
    for line in findings.of("chains"):
        if line.name in rates:
            line.add({"ratio": rates[line.name] / rates[YARDSTICK]})


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
