"""Runs a part of a peer in the environment of that peer:

    python -m _peers.program NAME enqueue CHAINS        all chains, before the workers start
    python -m _peers.program NAME serve NUMBER WORKERS  a worker, until it is ended
    python -m _peers.program NAME latency JOBS          one job after the other, on a worker that has nothing to do
    python -m _peers.program NAME attend                a server that the peer needs, until it is ended

NAME is a module of ``_peers.programs``. A program stands on the standard library and its own packages.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from _bench_marks import count, keep

#: How long a worker has nothing to do before it gets the next job, and how long a job may take to begin.
_IDLE_S = 0.02
_PATIENCE_S = 60.0


def main() -> None:
    name, verb, *numbers = sys.argv[1:]
    program = importlib.import_module(f"_peers.programs.{name}")
    if verb == "latency":
        _latency(program.sends(int(numbers[0])))
    else:
        getattr(program, verb)(*map(int, numbers))


def _latency(sends: Iterator[Callable[[], object]]) -> None:
    """Keeps when each was sent in a file beside that of the marks, which says when each began."""
    path, sent = Path(os.environ["BENCH_MARKS"]), []
    for send in sends:
        time.sleep(_IDLE_S)
        sent.append(time.monotonic())
        send()
        while count(path) < len(sent):
            if time.monotonic() > sent[-1] + _PATIENCE_S:
                raise SystemExit(f"job {len(sent)} did not begin within {_PATIENCE_S:.0f} s")
            time.sleep(0.0005)
    keep(path.with_suffix(".sent"), sent)


if __name__ == "__main__":
    main()
