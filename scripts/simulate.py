"""Attacks the promises of fsmflow in a simulation: the real code, one thread, virtual time, and faults by the dice.

    python scripts/simulate.py [--schedules 10000] [--first SEED] [--processes 2]
    python scripts/simulate.py --seed 4711 [--variant "no fence"]

Each schedule follows from its seed: a machine made at random, two hosts with their workers, clients, and some weather
(processes and hosts that are killed or sleep, a database that crashes, dead-locks and leaves commits in doubt,
doorbells that get lost or come twice, clocks that jump). After every commit the invariants are looked up; in the end
everything must have arrived. A seed that breaks a promise is told with its trace, the same each time: see --seed.
Exit status 1 if any promise was broken.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from _bootstrap import ensure_venv

if __name__ == "__main__":
    ensure_venv("test")

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.attacks.simulation.runs import Summary, run, run_all
from tests.attacks.simulation.schedule import Outcome
from tests.attacks.simulation.variants import VARIANTS

_TOLD_EVERY_S = 15.0
_SHOWN = 3
_LINES = 60


def main() -> int:
    options = _options()
    if options.seed is not None:
        outcome = run(options.seed, options.variant)
        _show(outcome, len(outcome.trace))
        return 0 if outcome.holds else 1
    # The processes that run the schedules find the simulation where this one does.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    seeds = range(options.first, options.first + options.schedules)
    return _run(seeds, options.processes)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Attack the promises of fsmflow in a simulation.")
    parser.add_argument("--schedules", type=int, default=10_000, help="how many (default 10000)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the seed of the first (default 0)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="side by side (default: all cores)")
    parser.add_argument("--seed", type=int, help="run this one alone, and show its trace")
    parser.add_argument("--variant", choices=VARIANTS, help="with --seed: break the code in this way first")
    return parser.parse_args()


def _run(seeds: range, processes: int) -> int:
    started = told = time.monotonic()
    total = Summary()
    for total in run_all(seeds, processes):
        if time.monotonic() - told > _TOLD_EVERY_S:
            told = time.monotonic()
            print(f"{total.schedules:,} of {len(seeds):,} schedules, {len(total.broken)} broken", flush=True)
    for outcome in total.broken[:_SHOWN]:
        _show(outcome, _LINES)
    _tell(total, time.monotonic() - started)
    return 1 if total.broken else 0


def _show(outcome: Outcome, lines: int) -> None:
    print(f"\nseed {outcome.seed}: {outcome.violation or 'every promise holds'}")
    if len(outcome.trace) > lines:
        print(f"  ... {len(outcome.trace) - lines} lines before: python scripts/simulate.py --seed {outcome.seed}")
    for line in outcome.trace[-lines:]:
        print(f"  {line}")


def _tell(total: Summary, seconds: float) -> None:
    faults = ", ".join(f"{kind} {count:,}" for kind, count in sorted(total.faults.items()))
    print(f"\n{total.schedules:,} schedules in {seconds:.0f} s: {total.points:,} points, {total.jobs:,} jobs run")
    print(f"{total.transitions:,} transitions checked, {sum(total.faults.values()):,} faults ({faults})")
    print(f"{len(total.broken)} schedules broke a promise")


if __name__ == "__main__":
    sys.exit(main())
