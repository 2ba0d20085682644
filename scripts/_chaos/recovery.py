"""How long it took until what a fault had hit went on.

A fault that takes workers away has hit the attempts that they were running; each has recovered when the next run of
the same step begins, as the jobs themselves have noted it. Steps that run in their transaction are left out where a
lease has to run out, as their lease holds for their whole limit. An outage has hit all steps and timers that were due
when it ended (a server that was restarted: when it took connections again) and had not begun; it is over when the
last of them has begun. Steps that only the newer deployment knows are left out, as they wait for that.

A fault counts only where it can be told from others: a brief or lease fault where no outage was under way until it
had been recovered from, or over since less than 8 s (a lease fault: 2 s), a brief one where no host or worker was
stopped or went away at the same time either; an outage where nothing else was struck at the same time.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from _chaos.check import ENTERING
from _chaos.facts import Facts, Run
from _chaos.faults import BRIEF, KINDS, LEASE, OUTAGE, Struck

_AFTERMATH_S = {BRIEF: 8.0, LEASE: 2.0}
_AROUND_S = 4.0
_LOOK_BACK_S = 60.0
_STEPS = ("boarding", "noting", "climbing", "writing")
_TIMER, _DELAY_S = "resting", 0.5


@dataclass(frozen=True)
class Recovery:
    """One thing that a fault had hit, and how long it took."""

    kind: str
    what: str
    seconds: float


def recoveries(facts: Facts, struck: Sequence[Struck], *, offset_s: float) -> list[Recovery]:
    """All that can be told. ``offset_s``: the time of the histories less that of the runs."""
    runs = _Runs(facts.runs)
    waits = _waits(facts, runs, offset_s)
    found: list[Recovery] = []
    for fault in struck:
        if KINDS[fault.kind].sort == OUTAGE:
            found += _of_outage(fault, struck, waits)
        else:
            found += _of_workers(fault, struck, runs)
    return found


class _Runs:
    def __init__(self, runs: Iterable[Run]) -> None:
        self.by_pid: dict[int, list[Run]] = defaultdict(list)
        self.by_key: dict[tuple[str, str], list[Run]] = defaultdict(list)
        self.by_step: dict[tuple[str, str], list[float]] = defaultdict(list)
        for run in sorted(runs, key=lambda run: run.at):
            self.by_pid[run.pid].append(run)
            self.by_key[run.address, run.key].append(run)
            self.by_step[run.address, run.state].append(run.at)

    def hit(self, pid: int, at: float) -> tuple[Run, Run] | None:
        """The run that was under way in a process when it was taken away, and the one that was made good for it."""
        before = [run for run in self.by_pid.get(pid, []) if at - _LOOK_BACK_S < run.at <= at]
        if not before or before[-1].fails:
            return None
        last = before[-1]
        again = [run for run in self.by_key[last.address, last.key] if run.attempt > last.attempt and run.at > at]
        return (last, again[0]) if again else None


def _of_workers(fault: Struck, struck: Sequence[Struck], runs: _Runs) -> list[Recovery]:
    sort = KINDS[fault.kind].sort
    found = []
    for pid in fault.pids:
        hit = runs.hit(pid, fault.at)
        if hit is None or (sort == LEASE and hit[0].state == "noting"):
            continue
        if not _is_overlapped(fault, hit[1].at, struck, sort):
            found.append(Recovery(fault.kind, f"{hit[0].address} {hit[0].state}", hit[1].at - fault.at))
    return found


def _is_overlapped(fault: Struck, recovered_at: float, struck: Sequence[Struck], sort: str) -> bool:
    for other in struck:
        other_sort = KINDS[other.kind].sort
        if other_sort == OUTAGE and other.at < recovered_at and other.ended + _AFTERMATH_S[sort] > fault.at:
            return True
        if sort == BRIEF and other_sort == LEASE and other.at < recovered_at and other.ended + _AROUND_S > fault.at:
            return True
    return False


def _of_outage(fault: Struck, struck: Sequence[Struck], waits: list[tuple[float, float, str]]) -> list[Recovery]:
    if not fault.alone:
        return []
    hit = [(went_on, what) for due, went_on, what in waits if due <= fault.ended < went_on]
    if not hit:
        return []
    last, what = max(hit)
    later = any(KINDS[other.kind].sort == OUTAGE and fault.ended < other.at < last for other in struck)
    return [] if later else [Recovery(fault.kind, what, last - fault.ended)]


def _waits(facts: Facts, runs: _Runs, offset_s: float) -> list[tuple[float, float, str]]:
    """When each step and timer was due, when it went on, and what it was."""
    found = []
    for voyage in (one for one in facts.entities if one.machine == "voyage" and not one.branch_of):
        history = facts.histories.get(voyage.row, [])
        for entry in history:
            due = entry.at / 1000 - offset_s
            if entry.kind not in ENTERING:
                continue
            if entry.dest == _TIMER:
                left = next((later.at for later in history if later.source == _TIMER and later.seq > entry.seq), None)
                if left is not None:
                    found.append((due + _DELAY_S, left / 1000 - offset_s, f"{voyage.address} {entry.dest}"))
            elif entry.dest in _STEPS:
                begun = runs.by_step[voyage.address, entry.dest]
                index = bisect.bisect_left(begun, due - 0.005)
                if index < len(begun):
                    found.append((due, begun[index], f"{voyage.address} {entry.dest}"))
    return found
