"""Explores the models of the protocol, and prints the figures.

``python -m tests.attacks.model [--deep] [--traces]``: ``--deep`` takes wider bounds, and minutes; ``--traces`` shows
how each protocol that lacks something goes wrong. Seconds are processor time. The exit status is 1 where anything is
other than it should be.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.attacks.model.catalogue import DEEP, RIGHT, WRONG, Case
from tests.attacks.model.exploration import Report, explore


def main() -> int:
    parser = argparse.ArgumentParser(description="Explore the models of the protocol.")
    parser.add_argument("--deep", action="store_true", help="wider bounds, which take minutes")
    parser.add_argument("--traces", action="store_true", help="show how the wrong protocols go wrong")
    wanted = parser.parse_args()
    started, states, surprises = time.process_time(), 0, 0
    for case in (*RIGHT, *(DEEP if wanted.deep else ()), *WRONG):
        report = explore(case.model())
        states += report.states
        surprises += not _is_as_expected(case, report)
        print(_told(case, report, with_trace=wanted.traces), flush=True)
    cases = f"{len(RIGHT) + wanted.deep * len(DEEP)} right protocols, {len(WRONG)} wrong ones"
    print(f"{cases}: {states:,} states in {time.process_time() - started:.0f} s, {surprises} surprises")
    return 1 if surprises else 0


def _is_as_expected(case: Case, report: Report) -> bool:
    broken = report.violation.invariant if report.violation else ""
    return broken == case.breaks and (report.is_whole or bool(broken))


def _told(case: Case, report: Report, *, with_trace: bool) -> str:
    if _is_as_expected(case, report) and case.breaks and not with_trace:
        return f"WRONG  {case.name}: found in {report.states:,} states; broken: {case.breaks}"
    verdict = "WRONG" if case.breaks else "right"
    surprise = "" if _is_as_expected(case, report) else f"\nEXPECTED {case.breaks or 'nothing to be broken'}"
    return f"{verdict}  {case.name}: {report}{surprise}"


if __name__ == "__main__":
    sys.exit(main())
