"""Whether workers feel it that old entities are deleted: steps a second without, beside and after ``fsmflow prune``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from _bench_chain import BenchChain
from _bench_marks import marks

_FSMFLOW = [sys.executable, "-m", "fsmflow.cli"]
#: How long the workers are looked at without it, before and after.
_ALONE_S = 20.0
_WARM_S = 3.0


class Beside:
    """One worker with a backlog, and somebody who deletes. ``environment``: that of both."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._path = folder / "marks-prune"
        self._environment = {**environment, "BENCH_MARKS": str(self._path)}

    def measure(self, chains: int, machine: str, older: str) -> Iterator[tuple[str, float, int]]:
        """What was measured, in steps a second, and how many entities had been deleted by then."""
        for number in range(chains):
            BenchChain.start(f"beside-{number}").trigger("go")
        with self._worker():
            yield "alone", self._rate(_ALONE_S), 0
            first, began = self._steps(), time.monotonic()
            prune = [*_FSMFLOW, "prune", machine, "--older", older, "--yes", "--json"]
            pruned = subprocess.run(prune, env=self._environment, check=True, capture_output=True, text=True)
            rate = (self._steps() - first) / (time.monotonic() - began)
            yield "beside", rate, _deleted(pruned.stdout)
            yield "after", self._rate(_ALONE_S), 0

    @contextmanager
    def _worker(self) -> Iterator[None]:
        worker = subprocess.Popen([*_FSMFLOW, "worker", "--log-level", "WARNING"], env=self._environment)
        try:
            while not self._steps():
                if worker.poll() is not None:
                    raise SystemExit("the worker has ended")
                time.sleep(0.1)
            time.sleep(_WARM_S)
            yield
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait()

    def _steps(self) -> int:
        return len(marks(self._path))

    def _rate(self, seconds: float) -> float:
        first, began = self._steps(), time.monotonic()
        time.sleep(seconds)
        return (self._steps() - first) / (time.monotonic() - began)


def _deleted(told: str) -> int:
    """How many entities ``prune --json`` says it has deleted."""
    return sum(machine["entities"] for machine in json.loads(told)["machines"])
