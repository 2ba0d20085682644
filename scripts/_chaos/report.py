"""The report of a run: figures for people and for programs."""

from __future__ import annotations

import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from _chaos.check import Verdict
from _chaos.contrast import Contrast
from _chaos.facts import Facts
from _chaos.faults import KINDS, Struck
from _chaos.recovery import Recovery

_SHOWN = 20
#: A statement ends within this, whatever becomes of the network.
STATEMENT_S = 20.0
#: Figures of the logs: what each counts, and the event that it counts.
_LOGGED = {
    "stale commits refused": "result.discarded",
    "attempts of lost workers ended": "attempt.crashed",
    "commits in doubt, read again": "commit.in_doubt",
    "results kept until the database was back": "settle.waits",
    "steps left to another deployment": "claim.released",
    "times that an empty Redis was filled from SQL": "redis.empty",
}


@dataclass(frozen=True)
class Report:
    """What a run came to."""

    database: str
    seconds: float
    seed: int
    drained_s: float
    struck: Sequence[Struck]
    recoveries: Sequence[Recovery]
    verdict: Verdict
    violations: Sequence[str]
    figures: Mapping[str, float]
    skipped: Mapping[str, str]
    #: How long the longest statement took that was asked from a host in the network, well or not.
    longest_s: float = 0.0

    @property
    def holds(self) -> bool:
        return self.verdict.holds and not self.violations and self.longest_s < STATEMENT_S


def figures(facts: Facts, logs: str) -> dict[str, float]:
    """Counts of what happened."""
    roots = [one for one in facts.entities if not one.branch_of]
    entries = [entry for history in facts.histories.values() for entry in history]
    steps = {(run.address, run.key) for run in facts.runs}
    fair = Counter((run.address, run.key) for run in facts.runs if not run.fails)
    repeats = sum(count - 1 for count in fair.values())
    answers = Counter(call.answer for call in facts.calls)
    seen = Counter(re.findall(r"\b([a-z]+\.[a-z_]+): ", logs))
    return {
        "entities": len(roots),
        "branches": len(facts.entities) - len(roots),
        "transitions": sum(entry.kind == "transition" for entry in entries),
        "steps": len(steps),
        "runs of jobs": len(facts.runs),
        "runs repeated, per 1,000 steps": round(1000 * repeats / max(len(steps), 1), 1),
        "events that came too late to be applied": sum(entry.kind == "discarded" for entry in entries),
        "load average of this machine": round(os.getloadavg()[1], 1),
        "its CPUs": os.cpu_count() or 1,
        **_by_host(facts),
        "calls acknowledged": answers["acknowledged"],
        "calls whose outcome the client did not learn": answers["unknown"],
        **{what: seen[event] for what, event in _LOGGED.items()},
    }


def _by_host(facts: Facts) -> dict[str, float]:
    counts = Counter(run.host for run in facts.runs if run.host)
    return {f"runs on {host}": count for host, count in sorted(counts.items())}


def show(report: Report) -> None:
    """Print it."""
    console = Console(highlight=False, width=_width())
    console.print(
        f"\n{report.database}: {len(report.struck)} faults in {report.seconds:.0f} s (seed {report.seed}); "
        f"all that was begun had arrived {report.drained_s:.1f} s after the last one"
    )
    console.print(_table(report))
    console.print("The times are seconds until what the fault had hit went on; how they are taken: _chaos/recovery.py")
    for name, reason in report.skipped.items():
        console.print(f"skipped: {name}: {reason}")
    console.print("   ".join(f"{what}: {_plain(count)}" for what, count in report.figures.items()))
    if report.longest_s:
        console.print(f"longest statement of a host, cut off or not: {report.longest_s:.1f} s")
    verdict = vars(report.verdict)
    counts = {**{kind: len(found) for kind, found in verdict.items()}, "violations": len(report.violations)}
    console.print("   ".join(f"{kind}: {count}" for kind, count in counts.items()))
    for kind, sentence in list(report.verdict.sentences())[:_SHOWN]:
        console.print(f"  {kind}: {sentence}")
    for sentence in report.violations[:_SHOWN]:
        console.print(f"  fsmflow verify: {sentence}")


def _width() -> int:
    return max(Console().width, 110)


def _table(report: Report) -> Table:
    table = Table("fault", "struck", "measured", "p50", "p99", "longest", "to be within")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in _rows(report):
        target = row["target_s"]
        cells = [_plain(row[name]) for name in ("p50_s", "p99_s", "longest_s")]
        table.add_row(
            str(row["fault"]), str(row["struck"]), str(row["measured"]), *cells, "" if target is None else f"{target} s"
        )
    return table


def _rows(report: Report) -> list[dict[str, str | float | None]]:
    counts = Counter(fault.kind for fault in report.struck)
    times = defaultdict(list)
    for recovery in report.recoveries:
        times[recovery.kind].append(recovery.seconds)
    return [
        {
            "fault": name,
            "struck": counts[name],
            "measured": len(times[name]),
            "p50_s": _quantile(times[name], 0.5),
            "p99_s": _quantile(times[name], 0.99),
            "longest_s": _quantile(times[name], 1.0),
            "target_s": kind.target_s,
        }
        for name, kind in KINDS.items()
        if counts[name]
    ]


def _quantile(values: Sequence[float], share: float) -> float | None:
    if not values:
        return None
    return round(sorted(values)[max(0, math.ceil(share * len(values)) - 1)], 2)


def _plain(value: object) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def show_contrast(found: Contrast) -> None:
    """Print what became of plain RQ's chains."""
    console = Console(highlight=False, width=_width())
    console.print(
        f"\nplain RQ, each job enqueuing the next: {found.faults} faults; waited for {found.waited_s} s after them"
    )
    table = Table("chains", "arrived", "lost", "stuck", "steps enqueued twice", "rows written twice", "repeats / 1,000")
    cells = (found.chains, found.arrived, found.lost, found.stuck, found.forked, found.rows_doubled)
    table.add_row(*map(_plain, cells), _plain(found.repeats_per_1000))
    console.print(table)
    where = ", ".join(f"{count} in {place}" for place, count in found.stuck_in.items())
    console.print("lost: no job of the chain is anywhere any more; stuck: one is left in Redis, and nobody runs it")
    console.print(f"stuck: {where}" if where else "none is stuck")


def as_json(report: Report) -> dict[str, object]:
    """The same for programs, with what each recovery was of."""
    return {
        "database": report.database,
        "seconds": report.seconds,
        "seed": report.seed,
        "holds": report.holds,
        "faults": len(report.struck),
        "drained_s": round(report.drained_s, 2),
        "kinds": _rows(report),
        "figures": dict(report.figures),
        **vars(report.verdict),
        "violations": list(report.violations),
        "skipped": dict(report.skipped),
        "longest_s": round(report.longest_s, 2),
        "recoveries": [asdict(recovery) for recovery in report.recoveries],
        "struck": [asdict(fault) for fault in report.struck],
    }
