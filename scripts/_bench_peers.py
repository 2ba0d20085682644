"""The options of what is measured side by side with others, and what becomes of the findings."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from _packages import Unavailable
from _peers import concurrency, endurance, growth, picture, rounds, table
from _peers.catalogue import KINDS, OURS, YARDSTICK, chosen
from _peers.lines import Findings
from _peers.stand import Stand

_COMMITS: Final = 40
PARTS: Final = ("peers", "latency", "concurrency", "growth", "memory", "recovery")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What is measured, and where it is written."""
    what = parser.add_argument_group("side by side with others; several of them may be asked for at once")
    what.add_argument(
        "--peers", nargs="?", const="", metavar="NAMES", help="chains on these systems, or on all of them"
    )
    what.add_argument("--latency", action="store_true", help="how soon a job begins, ours and SimpleWorker's")
    what.add_argument("--concurrency", action="store_true", help="jobs that are coroutines, many at once")
    what.add_argument("--growth", action="store_true", help="a step, start_many and a fan-out in larger databases")
    what.add_argument("--memory", action="store_true", help="memory of a worker process over many steps")
    what.add_argument("--recovery", action="store_true", help="how soon a step runs again after kill -9")
    what.add_argument("--everything", action="store_true", help="all of these")
    how = parser.add_argument_group("how")
    how.add_argument("--on", default="sqlite,postgres,mysql", metavar="KINDS", help="databases, of fsmflow's own side")
    how.add_argument("--folder", type=Path, help="on the disk to be measured; a temporary one if not given")
    how.add_argument("--jobs", type=int, default=150, help="how many, one after the other, for --latency")
    how.add_argument("--sizes", default="1000,100000,1000000", help="how many entities, for --growth")
    how.add_argument("--branches", type=int, default=100_000, help="how many of one fan-out, for --growth")
    how.add_argument("--steps", type=int, default=100_000, help="how many, for --memory")
    how.add_argument("--waiting", type=int, default=1_000, help="how many jobs wait at once, for --concurrency")
    told = parser.add_argument_group("where it is written, besides a table")
    told.add_argument("--json", type=Path, metavar="FILE", help="the values of all rounds")
    told.add_argument("--picture", type=Path, metavar="FILE", help="bars, as SVG")
    told.add_argument("--markdown", nargs="?", const="", metavar="PAGE", help="as the block of a page; put into PAGE")
    told.add_argument("--read", type=Path, metavar="FILE", help="measure nothing, and show what --json has written")


def is_asked(options: argparse.Namespace) -> bool:
    """Whether any of this is to be done."""
    return bool(options.read or _parts(options))


def measure(options: argparse.Namespace) -> int:
    """Do it, and write what was found, also where it is interrupted. The exit status is 1 where something was left
    out."""
    if options.read:
        _write(Findings.from_json(json.loads(options.read.read_text(encoding="utf-8"))), options)
        return 0
    _check(options)
    findings = Findings(_machine(options))
    with (
        tempfile.TemporaryDirectory(prefix="fsmflow-bench-", dir=options.folder) as folder,
        contextlib.suppress(KeyboardInterrupt),
        Stand(Path(folder), options.database) as stand,
    ):
        findings.machine["commit_ms"] = _commits(stand, _kinds(options))
        for part in _parts(options):
            _PARTS[part](stand, findings, options)
            findings.machine["load"] = max(findings.machine["load"], os.getloadavg()[0])
    _write(findings, options)
    return 1 if findings.skipped else 0


def _parts(options: argparse.Namespace) -> Sequence[str]:
    if options.everything:
        options.peers = options.peers or ""
        return PARTS
    return [part for part in PARTS if getattr(options, part) not in (None, False)]


def _kinds(options: argparse.Namespace) -> list[str]:
    found = [kind.strip() for kind in options.on.split(",")]
    if unknown := [kind for kind in found if kind not in KINDS]:
        raise SystemExit(f"there is no database {unknown[0]!r}; there are {', '.join(KINDS)}")
    return found


def _check(options: argparse.Namespace) -> None:
    """Raises SystemExit for names that there are not, before anything is started."""
    _kinds(options)
    if options.peers is not None:
        chosen(options.peers)


def _peers(stand: Stand, findings: Findings, options: argparse.Namespace) -> None:
    entered = rounds.entries(chosen(options.peers), findings)
    rounds.races(stand, entered, findings, rounds=options.rounds, chains=options.chains)


def _latency(stand: Stand, findings: Findings, options: argparse.Namespace) -> None:
    names = [YARDSTICK, *(f"{OURS}-{kind}" for kind in _kinds(options))]
    rounds.latencies(stand, findings, names, rounds=options.rounds, jobs=options.jobs)


def _concurrency(stand: Stand, findings: Findings, options: argparse.Namespace) -> None:
    sizes = concurrency.Sizes(options.chains, options.waiting)
    concurrency.measure(stand, findings, _kinds(options), sizes, rounds=options.rounds)


def _growth(stand: Stand, findings: Findings, options: argparse.Namespace) -> None:
    entities = [int(size) for size in options.sizes.split(",")]
    sizes = growth.Sizes(entities, options.history, options.chains, options.branches)
    growth.measure(stand, findings, _kinds(options), sizes, rounds=options.rounds)


def _memory(stand: Stand, findings: Findings, options: argparse.Namespace) -> None:
    endurance.memory_over(stand, findings, _kinds(options), steps=options.steps)


def _recovery(stand: Stand, findings: Findings, options: argparse.Namespace) -> None:
    endurance.recovery(stand, findings, _kinds(options), kills=max(3, options.rounds))


_PARTS: Final[dict[str, Callable[[Stand, Findings, argparse.Namespace], None]]] = {
    "peers": _peers,
    "latency": _latency,
    "concurrency": _concurrency,
    "growth": _growth,
    "memory": _memory,
    "recovery": _recovery,
}


def _machine(options: argparse.Namespace) -> dict[str, object]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count() or 1,
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": [],
        "rounds": options.rounds,
    }


def _commits(stand: Stand, kinds: Sequence[str]) -> dict[str, float]:
    """How long one durable commit of one row takes on each of these, in milliseconds, in the median."""
    found = {}
    for kind in kinds:
        try:
            taken = []
            for write in stand.writes(kind, _COMMITS):
                begun = time.perf_counter()
                write()
                taken.append(time.perf_counter() - begun)
        except Unavailable as error:
            print(f"{KINDS[kind]}: {error}", file=sys.stderr)
            continue
        found[KINDS[kind]] = 1000 * statistics.median(taken)
    return found


def _write(findings: Findings, options: argparse.Namespace) -> None:
    if options.json:
        options.json.write_text(json.dumps(findings.to_json(), indent=1) + "\n", encoding="utf-8")
    if options.picture:
        options.picture.write_text(picture.draw(findings), encoding="utf-8")
    if options.markdown:
        table.put(Path(options.markdown), table.markdown(findings))
    print(table.markdown(findings) if options.markdown == "" else table.text(findings), end="\n")
