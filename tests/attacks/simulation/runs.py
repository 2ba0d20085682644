"""Runs schedules: one after the other, in several processes, with the code as it is or with a wrong variant of it."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.attacks.simulation.laboratory import Laboratory
from tests.attacks.simulation.schedule import Outcome, Schedule
from tests.attacks.simulation.variants import applied

#: Where there is one, in memory: no disk is to be waited for.
_MEMORY: Final = Path("/dev/shm")
_AT_ONCE: Final = 50


@dataclass
class Summary:
    """What so many schedules came to."""

    schedules: int = 0
    points: int = 0
    transitions: int = 0
    jobs: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    broken: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """One more."""
        self.schedules += 1
        self.points += outcome.points
        self.transitions += outcome.transitions
        self.jobs += outcome.jobs
        self.faults += outcome.faults
        if not outcome.holds:
            self.broken.append(outcome)

    def merge(self, other: Summary) -> None:
        """Those of another process."""
        for name in ("schedules", "points", "transitions", "jobs"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.faults += other.faults
        self.broken += other.broken


@contextmanager
def laboratory() -> Iterator[Laboratory]:
    """A place in which schedules run; its database goes with it."""
    folder = str(_MEMORY) if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="fsmflow-simulation-", dir=folder) as path:
        made = Laboratory(Path(path))
        try:
            yield made
        finally:
            made.close()


def run(seed: int, variant: str | None = None) -> Outcome:
    """The schedule of one seed."""
    with laboratory() as made, applied(variant, made.store):
        return Schedule(made, seed).run()


def first_broken(seeds: Iterable[int], variant: str | None = None) -> Outcome | None:
    """The first of these that breaks a promise."""
    with laboratory() as made, applied(variant, made.store):
        outcomes = (Schedule(made, seed).run() for seed in seeds)
        return next((outcome for outcome in outcomes if not outcome.holds), None)


def run_all(seeds: range, processes: int) -> Iterator[Summary]:
    """Run all of these, side by side; what has come of them so far, time and again."""
    batches = [seeds[start : start + _AT_ONCE] for start in range(0, len(seeds), _AT_ONCE)]
    total = Summary()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for summary in pool.imap_unordered(_batch, batches):
            total.merge(summary)
            yield total


def _batch(seeds: range) -> Summary:
    summary = Summary()
    with laboratory() as made:
        for seed in seeds:
            summary.add(Schedule(made, seed).run())
    return summary
