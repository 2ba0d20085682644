"""How many steps a second: a chain of steps that do nothing, on fsmflow and on RQ's SimpleWorker, side by side.

    python scripts/bench.py [--rounds 3] [--chains 300] [--workers 1] [--database postgresql://...]
    python scripts/bench.py --commands
    python scripts/bench.py --looks [--entities 1000000] [--history 0] [--database postgresql://...]
    python scripts/bench.py --web [URL ...] [--entities 1000000] [--history 0]
    python scripts/bench.py --peers [NAMES] [--latency] [--concurrency] [--growth] [--memory] [--recovery]
    python scripts/bench.py --everything --json all.json --picture docs/performance.svg --markdown docs/performance.md
    python scripts/bench.py --prune [--chains 30000] [--entities 1000000] [--history 0] [--database postgresql://...]

All chains are enqueued before the workers start. Steps per second are taken between the first tenth and the last
twentieth of the steps, so that start-up and drain do not count. The rounds take turns, and the ratio is taken within
each round, since machines are noisy. Redis and SQLite are the embedded ones unless FSMFLOW_REDIS_URL or --database
say otherwise.

``--commands`` measures how soon the command line answers instead, beside an empty program of click: the least of twenty
runs of each, which take turns. Python compiles it once and keeps that, as it does with a package that is installed.

``--looks`` measures how soon a database with so many entities answers listings and counts: the least of five. One that
has entities already is taken as it is.

``--web`` measures how soon each page of the dashboard of such a database is there, and each answer of its API, over
HTTP: the least and the median of five; and what it asks its database for while 1, 20 and 200 have the overview open. It
does so for each database that is named, one after the other, and for a SQLite file of its own where none is. A star
marks what is over its limit: 200 ms for a page, 100 ms for the API. That is told again at the end, and makes the exit
status 1.

``--prune`` measures whether a worker feels it that as many finished entities are deleted: its steps without, beside and
after ``fsmflow prune``. There have to be chains enough for all of that time.

``--peers`` runs the same chains on other systems, each in an environment of its own, which is made on demand and kept
in ``~/.cache/fsmflow-bench``; what cannot be installed is said, and left out. All have the same Valkey server, and new
databases on servers that are found or started, on the disk of ``--folder``. ``docs/performance.md`` says what the other
measures are.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from _bootstrap import ensure_venv

if __name__ == "__main__":
    ensure_venv("embedded,web,postgres,mysql")

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from redis import Redis
from rq import Queue

import fsmflow
from _bench_chain import BenchChain
from _bench_dashboard import dashboard
from _bench_fill import fill
from _bench_jobs import rq_step
from _bench_looks import counted, measure
from _bench_marks import STEPS, marks
from _bench_peers import add_options, is_asked
from _bench_peers import measure as measure_beside
from _bench_prune import Beside
from _bench_stock import Stock
from _bench_web import HEAD, crowds, measure_all
from fsmflow.engine.runtime import current
from fsmflow.settings import current as settings
from fsmflow.store.store import create_store

_PATIENCE_S = 300.0
_RUNS = 20
_LOOKS = 5
_EMPTY = "import click\nclick.Group('empty')()"
_FSMFLOW = "import sys\nfrom fsmflow.cli.main import main\nsys.exit(main())"


class Bench:
    """One run: a home of its own, a Redis, and a folder for the marks."""

    def __init__(self, folder: Path, options: argparse.Namespace, machines: Sequence[str] = ("_bench_chain",)) -> None:
        self.folder = folder
        self.options = options
        database_url = options.database or f"sqlite:///{folder}/bench.db"
        fsmflow.configure(database_url=database_url, home=folder, machines=machines)
        create_store(settings())
        self.redis_url = current().doorbell.url()
        self.environment = {
            **os.environ,
            "FSMFLOW_DATABASE_URL": database_url,
            "FSMFLOW_REDIS_URL": self.redis_url,
            "FSMFLOW_MACHINES": ",".join(machines),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "scripts")]),
        }

    def fsmflow(self, name: str) -> float:
        """Steps per second of fsmflow."""
        for number in range(self.options.chains):
            BenchChain.start(f"{name}-{number}").trigger("go")
        worker = [sys.executable, "-m", "fsmflow.cli", "worker", "--log-level", "WARNING"]
        return self._measure(name, [[*worker, "--processes", str(self.options.workers)]])

    def rq(self, name: str) -> float:
        """Steps per second of RQ's SimpleWorker, nothing stored in SQL."""
        with Redis.from_url(self.redis_url) as connection:
            queue = Queue("bench", connection=connection)
            for _ in range(self.options.chains):
                queue.enqueue(rq_step, 0)
        worker = [sys.executable, "-m", "rq.cli", "worker", "bench", "--url", self.redis_url, "--quiet"]
        return self._measure(name, [[*worker, "--worker-class", "rq.SimpleWorker"]] * self.options.workers)

    def _measure(self, name: str, commands: list[list[str]]) -> float:
        path = self.folder / f"marks-{name}"
        environment = {**self.environment, "BENCH_MARKS": str(path)}
        log = (self.folder / f"log-{name}").open("wb")
        workers = [subprocess.Popen(line, env=environment, stdout=log, stderr=log, cwd=ROOT) for line in commands]
        wanted = self.options.chains * STEPS
        deadline = time.monotonic() + _PATIENCE_S
        try:
            while path.stat().st_size // 8 < wanted if path.exists() else True:
                if time.monotonic() > deadline or any(worker.poll() for worker in workers):
                    raise SystemExit(f"{name} did not arrive: {Path(log.name).read_text()[-2000:]}")
                time.sleep(0.02)
        finally:
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
            for worker in workers:
                worker.wait()
            log.close()
        moments = marks(path)
        first, last = moments[len(moments) // 10], moments[len(moments) * 19 // 20]
        return len(moments) * 0.85 / (last - first)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chains", type=int, default=300)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--database", help="a database URL; a SQLite file of its own if not given")
    parser.add_argument("--commands", action="store_true", help="how soon the command line answers")
    parser.add_argument("--looks", action="store_true", help="how soon a large database answers who looks")
    parser.add_argument("--prune", action="store_true", help="whether workers feel it that old entities are deleted")
    parser.add_argument(
        "--web", nargs="*", metavar="URL", help="how soon the pages and the API of large databases answer"
    )
    parser.add_argument("--entities", type=int, default=1_000_000, help="how many, for --looks, --web and --prune")
    parser.add_argument("--history", type=int, default=0, help="how many lines of history each of these has, at least")
    add_options(parser)
    options = parser.parse_args()
    if is_asked(options):
        return measure_beside(options)
    if options.prune:
        return _measure_prune(options)
    if options.looks:
        return _measure_looks(options)
    if options.web is not None and len(options.web) < 2:
        options.database = (options.web or [options.database])[0]
        return _measure_web(options)
    if options.web:
        return _measure_each(options)
    if options.commands:
        return _commands()
    with tempfile.TemporaryDirectory(prefix="fsmflow-bench-") as folder:
        bench = Bench(Path(folder), options)
        ratios = [_round(bench, number) for number in range(options.rounds)]
    low, high = min(ratios), max(ratios)
    print(f"fsmflow / SimpleWorker: {statistics.median(ratios):.2f} (from {low:.2f} to {high:.2f})")
    return 0


def _large(options: argparse.Namespace, folder: str) -> dict[str, Any]:
    """A database with so many entities; the settings of whoever uses it."""
    url = options.database or f"sqlite:///{folder}/bench.db"
    chosen: dict[str, Any] = {"database_url": url, "home": folder, "machines": ["_bench_machines"]}
    fsmflow.configure(**chosen)
    store = create_store(settings())
    if not store.listing.machines():
        fill(current(), options.entities, history=options.history)
    return {**chosen, "redis_url": current().doorbell.url()}


def _measure_each(options: argparse.Namespace) -> int:
    """The same for several databases, each in a process of its own, as an installation has one."""
    size = [f"--entities={options.entities}", f"--history={options.history}"]
    late = 0
    for url in options.web:
        print(f"\n{urlsplit(url).scheme}:", flush=True)
        late += subprocess.run([sys.executable, __file__, "--web", url, *size], check=False).returncode
    return 1 if late else 0


def _measure_web(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="fsmflow-bench-") as folder:
        chosen = _large(options, folder)
        Stock(current()).fill()
        counted(current())
        late = []
        with dashboard(chosen) as found:
            print(HEAD, flush=True)
            for each in measure_all(current(), found):
                late += [each] if each.is_late else []
                print(each, flush=True)
            for crowd in crowds(found):
                print(crowd, flush=True)
    print("\n".join([f"{len(late)} over their limits", *map(str, late)]))
    return 1 if late else 0


def _measure_looks(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="fsmflow-bench-") as folder:
        _large(options, folder)
        for name, seconds, found in measure(current(), _LOOKS):
            print(f"{name:<38} {seconds * 1000:8.1f} ms   {found:>9,} found", flush=True)
    return 0


def _measure_prune(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="fsmflow-bench-") as folder:
        bench = Bench(Path(folder), options, ["_bench_chain", "_bench_machines"])
        fill(current(), options.entities, history=options.history)
        beside = Beside(bench.environment, Path(folder))
        alone = 0.0
        for name, rate, deleted in beside.measure(options.chains, "bench_order", "1d"):
            alone = alone or rate
            more = f"   {deleted:,} entities deleted" if deleted else ""
            print(f"{name:<8} {rate:6.0f} steps/s   {rate / alone:5.2f} times alone{more}", flush=True)
    return 0


def _commands() -> int:
    completing = {"_FSMFLOW_COMPLETE": "bash_complete", "COMP_WORDS": "fsmflow st", "COMP_CWORD": "1"}
    asked: list[tuple[str, str, list[str], dict[str, str]]] = [
        ("empty click program --help", _EMPTY, ["--help"], {}),
        ("fsmflow --help", _FSMFLOW, ["--help"], {}),
        ("completion of a command", _FSMFLOW, [], completing),
        ("fsmflow list", _FSMFLOW, ["list"], {}),
    ]
    least: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="fsmflow-bench-") as folder:
        ours = {**os.environ, "FSMFLOW_HOME": folder, "FSMFLOW_MACHINES": "_bench_chain"}
        ours["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "scripts")])
        ours["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "compiled")
        ours.pop("PYTHONDONTWRITEBYTECODE", None)
        init = [sys.executable, "-c", _FSMFLOW, "init"]
        subprocess.run(init, env=ours, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(_RUNS):
            for name, program, words, more in asked:
                begin = time.perf_counter()
                command = [sys.executable, "-c", program, *words]
                subprocess.run(
                    command, env={**ours, **more}, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                least[name] = min(time.perf_counter() - begin, least.get(name, _PATIENCE_S))
    empty = least["empty click program --help"]
    for name, seconds in least.items():
        print(f"{name:<28} {seconds * 1000:5.0f} ms   {seconds / empty:5.2f} times the empty one")
    return 0


def _round(bench: Bench, number: int) -> float:
    kinds: list[tuple[str, Callable[[str], float]]] = [("fsmflow", bench.fsmflow), ("SimpleWorker", bench.rq)]
    measured = {kind: run(f"{kind}-{number}") for kind, run in (kinds if number % 2 else reversed(kinds))}
    ratio = measured["fsmflow"] / measured["SimpleWorker"]
    rates = "   ".join(f"{kind} {rate:7.0f} steps/s" for kind, rate in sorted(measured.items()))
    print(f"round {number + 1}: {rates}   ratio {ratio:.2f}", flush=True)
    return ratio


if __name__ == "__main__":
    sys.exit(main())
