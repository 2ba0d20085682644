"""What was measured: lines of figures, with a value of each figure for each round."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

from _packages import last_line


@dataclass
class Line:
    """One line of a section. ``figures``: the values of each by its name, one for each round; ``remarks``: what was
    missing."""

    section: str
    name: str
    label: str
    figures: dict[str, list[float]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    keeps: str = ""

    def add(self, found: Mapping[str, float]) -> None:
        """The values of one round."""
        for name, value in found.items():
            self.figures.setdefault(name, []).append(value)


@dataclass
class Findings:
    """All of a run."""

    machine: dict[str, Any] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def line(self, section: str, name: str, label: str, **more: Any) -> Line:
        """The line of this name; a new one where there is none."""
        for line in self.lines:
            if (line.section, line.name) == (section, name):
                return line
        self.lines.append(Line(section, name, label, **more))
        return self.lines[-1]

    def leave_out(self, what: str, why: Exception) -> None:
        """Note that something could not be measured; all that was said of it goes to standard error."""
        self.skipped[what] = last_line(str(why))
        print(f"{what} is left out: {why}", file=sys.stderr, flush=True)

    def of(self, section: str) -> list[Line]:
        """The lines of a section that have figures."""
        return [line for line in self.lines if line.section == section and (line.figures or line.remarks)]

    def to_json(self) -> dict[str, Any]:
        """The values of all rounds, with median, least and most of each."""
        return {
            "machine": self.machine,
            "skipped": self.skipped,
            "lines": [
                {**asdict(line), "spread": {name: spread(values) for name, values in line.figures.items()}}
                for line in self.lines
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Findings:
        """The same again."""
        lines = [Line(**{name: value for name, value in line.items() if name != "spread"}) for line in data["lines"]]
        return cls(dict(data["machine"]), lines, dict(data["skipped"]))


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median, least and most."""
    found = list(values)
    return {"median": statistics.median(found), "least": min(found), "most": max(found)}


def quantile(values: Iterable[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    found = sorted(values)
    return found[min(len(found) - 1, int(len(found) * share))]


class Table(NamedTuple):
    """Of a section, what is shown together. ``columns``: a figure, its head, and how its values are written."""

    section: str
    title: str
    columns: dict[str, tuple[str, str]]


TABLES: Final = (
    Table(
        "chains",
        "Chains of steps that do nothing",
        {
            "steps_per_s": ("steps/s", ",.0f"),
            "ratio": ("times SimpleWorker", ".2f"),
            "cpu_ms": ("CPU ms a step", ".2f"),
            "disk_bytes": ("disk bytes a step", ",.0f"),
        },
    ),
    Table(
        "chains",
        "What Redis does for a step",
        {
            "redis_commands": ("commands", ".1f"),
            "redis_trips": ("round trips", ".1f"),
            "redis_cpu_ms": ("CPU ms", ".2f"),
        },
    ),
    Table(
        "chains",
        "What PostgreSQL does for a step",
        {
            "pg_commits": ("commits", ".2f"),
            "pg_syncs": ("fsyncs", ".2f"),
            "wal_bytes": ("WAL bytes", ",.0f"),
            "hot_share": ("updates that are HOT", ".0%"),
            "pg_cpu_ms": ("CPU ms", ".2f"),
        },
    ),
    Table(
        "latency",
        "From the call to the first line of the job, on a worker that has nothing to do",
        {"p50_ms": ("p50 ms", ".2f"), "p95_ms": ("p95 ms", ".2f")},
    ),
    Table(
        "concurrency",
        "Jobs that are coroutines, in one process",
        {
            "jobs_per_s": ("jobs/s", ",.0f"),
            "cpu_ms": ("CPU ms a job", ".2f"),
            "pg_commits": ("commits a job", ".2f"),
            "wal_bytes": ("WAL bytes a job", ",.0f"),
            "at_once": ("at once", ",.0f"),
            "process_mb": ("MB, largest process", ".0f"),
            "all_mb": ("MB, all processes", ".0f"),
        },
    ),
    Table(
        "growth",
        "Growth",
        {
            "steps_per_s": ("steps/s", ",.0f"),
            "of_smallest": ("times the smallest", ".2f"),
            "cpu_ms": ("CPU ms a step", ".2f"),
            "started_per_s": ("start_many/s", ",.0f"),
            "seconds": ("seconds", ".1f"),
        },
    ),
    Table(
        "endurance",
        "Memory of a worker process over many steps",
        {
            "steps": ("steps", ",.0f"),
            "first_mb": ("MB after a tenth", ".1f"),
            "last_mb": ("MB at the end", ".1f"),
            "growth_mb": ("growth", "+.1f"),
        },
    ),
    Table("recovery", "From kill -9 until the step runs again", {"seconds": ("seconds", ".2f")}),
)
