"""How busy a limit is kept, and whether it is kept, by real workers of which some are killed.

    python scripts/limits.py [--running 5] [--entities 200] [--seconds 0.2] [--processes 8] [--hosts 1] [--kill 20]
                             [--threads 0] [--database sqlite|postgres|mysql]
    python scripts/limits.py --per-minute 100 --hosts 3 --entities 250 --seconds 0

Jobs pass a gate, so many at once, or so many in a minute. --kill 20: each twentieth kills its worker at its end. Told
is how many were inside at most; which share of the places was taken, from when all were to when the last job began; and
how long a place was free between two jobs. With --per-minute: how many began in a minute at most; on a server the wall
clocks of the hosts are 40 s apart. Exit status 1 where there were ever more than may, or ``fsmflow verify`` finds
anything.

The servers are those of FSMFLOW_TEST_POSTGRES_URL and FSMFLOW_TEST_MYSQL_URL. What counts are the ratios, on a machine
that does nothing else: two cores start a worker in the place of a killed one in half a second, busy ones in many.
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

from _installed import installed
from fsmflow.engine.runtime import current
from fsmflow.verify import verify
from tests.support.eventually import eventually
from tests.support.gates import business, most_in_a_minute, noted
from tests.support.processes import World
from tests.support.tolls import Toll

_PATIENCE_S = 600.0
_APART_S = 40


def main() -> int:
    options = _options()
    os.environ["TOLL_RUNNING"] = str(options.running)
    os.environ["TOLL_PER_MINUTE"] = str(options.per_minute or "")
    with installed(options.database) as place:
        for number in range(options.entities):
            dies = bool(options.kill) and number % options.kill == options.kill - 1
            Toll.start(str(number), seconds=options.seconds, dies=dies).trigger("go")
        _start(place, options)
        began = time.monotonic()
        eventually(lambda: Toll.counts().get("over", 0) == options.entities, within=_PATIENCE_S, what="all are through")
        print(f"{options.entities} entities on {options.database} in {time.monotonic() - began:.1f} s")
        is_kept = _tell(place, options)
        report = verify(current().store, current().machines.all(), strict=True)
        print("verify: holds" if report.holds else str(report))
        return 0 if is_kept and report.holds else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how busy a limit is kept.")
    parser.add_argument("--running", type=int, default=5, help="so many at once (default 5)")
    parser.add_argument("--per-minute", type=int, help="so many in a minute, instead")
    parser.add_argument("--entities", type=int, default=200, help="how many want to (default 200)")
    parser.add_argument("--seconds", type=float, default=0.2, help="how long a job takes (default 0.2)")
    parser.add_argument("--processes", type=int, default=8, help="workers of each host (default 8)")
    parser.add_argument("--hosts", type=int, default=1, help="supervisors (default 1)")
    parser.add_argument("--threads", type=int, default=0, help="so many jobs in threads of each process")
    parser.add_argument("--kill", type=int, default=0, help="each so-manieth job kills its worker")
    parser.add_argument("--database", choices=["sqlite", "postgres", "mysql"], default="sqlite")
    return parser.parse_args()


def _start(place: World, options: argparse.Namespace) -> None:
    plain = place.environment
    clock = os.pathsep.join([str(ROOT / "scripts/_chaos/clock"), plain["PYTHONPATH"]])
    beside = ["--threads", str(options.threads)] if options.threads else []
    # All who share a file of SQLite share a clock.
    apart_s = 0 if options.database == "sqlite" else _APART_S
    for number in range(options.hosts):
        place.environment = {**plain, "PYTHONPATH": clock, "CHAOS_SHIFT_S": str(number * apart_s)}
        place.supervisor(*beside, processes=options.processes)
    place.environment = plain


def _tell(place: World, options: argparse.Namespace) -> bool:
    """Tell what was seen; whether the limit was kept."""
    notes = noted(place.folder)
    if options.per_minute:
        most = most_in_a_minute(notes)
        print(f"at most {most} of {options.per_minute} began within a minute")
        return most <= int(options.per_minute)
    seen = business(notes, options.running)
    gaps = [f"{seen.gaps[int(len(seen.gaps) * share)] * 1000:.0f}" for share in (0.5, 0.9, 0.99)] if seen.gaps else []
    print(f"at most {seen.most} of {options.running} at once")
    print(f"{seen.share:.1%} of the places were taken for {seen.seconds:.1f} s")
    print(f"a place was free for {' / '.join(gaps)} ms (median / 90 % / 99 %)")
    return seen.most <= int(options.running)


if __name__ == "__main__":
    sys.exit(main())
