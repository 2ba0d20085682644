"""SIGKILL at each point of fsmflow, in each kind of step: found by a run without deaths, then died at one by one.

    python -m tests.attacks.killed [--database sqlite|postgres|mysql|all] [--pairs] [--every N] [--kind NAME] [-v]

A run without deaths notes which points a kind passes, and how often. Then an entity of the kind is started for the
first, the middle and the last passing of each, and the process that passes it kills itself there; another one goes on,
and must come to what comes without a death. Whoever ends the attempt of a dead process dies in that, too.
--pairs: what goes on dies at each point that it passes, the first time and the last. --pairs N: each N-th of those.
--every N: each N-th of the single deaths, but each point and each kind at least once. --seconds N: as many as that
time allows.
--plan 'job.before~1:lost lost.before~1:lost' with --kind: only these deaths. --jobs: so many processes side by side.

The databases are those of FSMFLOW_TEST_POSTGRES_URL and FSMFLOW_TEST_MYSQL_URL; the Valkey server is its own. The exit
status is 1 where anything was wrong. The last line of the output is the figures, as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fsmflow.log import lines
from fsmflow.running import fanout, items
from tests.attacks.killed.kinds import KINDS, Kind
from tests.attacks.killed.life import Death, Outcome, Plan, counted
from tests.attacks.killed.place import Place
from tests.support.servers import Valkey, fresh_mysql, fresh_postgres

#: What others make of a death, by turns.
THENS = ("lost", "lease", "lost", "released", "lost", "flushed")
#: What ends the attempt of a process that is dead.
AFTERWARDS = {"lost": "lost.before", "lease": "expire.before", "released": "release.before"}


@dataclass
class Figures:
    """What was done on a database."""

    database: str
    plans: int = 0
    kills: int = 0
    pairs: int = 0
    points: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    passed: dict[str, dict[str, int]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count a run. ``points`` and ``kinds``: how many deaths there were in each; ``passed``: how often each kind
        passes each point where nothing dies."""
        deaths = outcome.plan.deaths
        self.plans += 1
        self.kills += len(outcome.lives) - 1
        self.pairs += len(deaths) == 2
        for death in deaths:
            self.points[death.point] = self.points.get(death.point, 0) + 1
            self.kinds[outcome.plan.kind.name] = self.kinds.get(outcome.plan.kind.name, 0) + 1
        self.faults += [f"{self.database}: {outcome.plan}: {fault}" for fault in outcome.faults]

    def include(self, part: Figures) -> None:
        """Add those of a part."""
        self.plans, self.kills = self.plans + part.plans, self.kills + part.kills
        self.pairs, self.faults = self.pairs + part.pairs, [*self.faults, *part.faults]
        for mine, its in ((self.points, part.points), (self.kinds, part.kinds)):
            mine.update({name: mine.get(name, 0) + count for name, count in its.items()})
        self.passed = part.passed

    def __str__(self) -> str:
        each = f"{len(self.passed)} kinds of step, {sum(map(len, self.passed.values()))} pairs of a kind and a point"
        pairs = f"{self.pairs} pairs of points"
        return f"{self.database}: {each}, {self.kills} kills, {pairs}, {len(self.faults)} faults, {self.seconds:g} s"


def singles(kinds: Sequence[Kind], passed: dict[str, dict[str, int]]) -> Iterator[Plan]:
    """A death at the first, the middle and the last passing of each point by each kind; then, where a job begins, and
    where an attempt is ended that has died there."""
    turn = 0
    for kind in kinds:
        for point, count in passed[kind.name].items():
            for time_ in sorted({1, (count + 1) // 2, count}):
                yield Plan(kind, (Death(point, time_, THENS[turn % len(THENS)]),))
                turn += 1
        if "job.before" in passed[kind.name]:
            for then, point in AFTERWARDS.items():
                yield Plan(kind, (Death("job.before", 1, then), Death(point)))


def seconds_of(outcome: Outcome) -> Iterator[Plan]:
    """After a death, another at the first and the last passing of each point that was passed since."""
    plan = outcome.plan
    for turn, (point, count) in enumerate(counted(outcome.lives[1]).items()):
        for time_ in sorted({1, count}):
            yield Plan(plan.kind, (*plan.deaths, Death(point, time_, THENS[turn % len(THENS)])))


def sampled(plans: Sequence[Plan], every: int) -> list[Plan]:
    """Each N-th, and as many more as it takes for each point and each kind to be there."""
    chosen = [plan for number, plan in enumerate(plans) if number % every == 0]
    seen = {name for plan in chosen for name in (plan.kind.name, plan.deaths[-1].point)}
    for plan in plans:
        names = {plan.kind.name, plan.deaths[-1].point}
        if not names <= seen:
            chosen.append(plan)
            seen |= names
    return chosen


def explore(place: Place, options: argparse.Namespace, database: str) -> Figures:
    """The whole of it on one database, or the part of it that is asked for."""
    figures, started = Figures(database), time.monotonic()
    kinds = [kind for kind in KINDS if options.kind in (None, kind.name)]
    for kind in kinds:
        outcome = place.run(Plan(kind))
        _note(figures, outcome, options)
        figures.passed[kind.name] = counted(outcome.lives[0])
    plans = sampled(list(singles(kinds, figures.passed)), options.every)
    if options.plan:
        plans = [Plan(kinds[0], tuple(map(_death, options.plan.split())))]
    part, parts = map(int, options.part.split("/"))
    for number, plan in _mixed(plans)[part::parts]:
        if options.seconds and time.monotonic() - started > options.seconds:
            break
        outcome = place.run(plan)
        _note(figures, outcome, options)
        seconds = list(seconds_of(outcome)) if options.pairs and len(outcome.lives) == 2 else []
        for pair in seconds[number % options.pairs :: options.pairs] if seconds else ():
            _note(figures, place.run(pair), options)
    figures.faults += [f"{database}: in the end: {fault}" for fault in place.verified()]
    figures.seconds = round(time.monotonic() - started, 1)
    return figures


def _mixed(plans: Sequence[Plan]) -> list[tuple[int, Plan]]:
    """Numbered, and in an order in which each beginning has something of everything; always the same one."""
    return sorted(enumerate(plans), key=lambda numbered: zlib.crc32(str(numbered[1]).encode()))


def _note(figures: Figures, outcome: Outcome, options: argparse.Namespace) -> None:
    figures.add(outcome)
    if options.verbose or outcome.faults:
        print(f"{figures.database}: {outcome.plan}: {outcome.faults or 'well'}", flush=True)


def _death(text: str) -> Death:
    point, _, rest = text.partition("~")
    count, _, then = rest.partition(":")
    return Death(point, int(count or 1), then or "lost")


def run_part(options: argparse.Namespace) -> Figures:
    """A part of the plans, in this process and those that it forks, on a database and a Valkey server of its own."""
    lines.configure("CRITICAL")
    # Small pages, so that there are several of them.
    fanout.PAGE, fanout._AHEAD, items.PAGE = 2, 2, 2  # type: ignore[misc]
    gc.freeze()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey = Valkey(Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp"))))
        valkey.start()
        stack.callback(valkey.stop)
        url = stack.enter_context(_opened(options.database, folder))
        return explore(Place(url, valkey.url, folder), options, options.database)


@contextlib.contextmanager
def _opened(database: str, folder: Path) -> Iterator[str]:
    """The URL of a new database of a kind."""
    if database == "sqlite":
        yield f"sqlite:///{folder}/fsmflow.db"
        return
    fresh = {"postgres": fresh_postgres, "mysql": fresh_mysql}[database]
    variable = f"FSMFLOW_TEST_{database.upper()}_URL"
    if not os.environ.get(variable):
        raise SystemExit(f"{variable} is not set; it names the server on which databases may be made")
    with fresh(os.environ[variable]) as url:
        yield url


def run_side_by_side(database: str, jobs: int) -> Figures:
    """All of it on one kind of database, in so many processes. What each tells of is passed on."""
    command = [sys.executable, "-m", "tests.attacks.killed", *sys.argv[1:], "--database", database, "--part"]
    started = time.monotonic()
    parts = [subprocess.Popen([*command, f"{part}/{jobs}"], stdout=subprocess.PIPE, text=True) for part in range(jobs)]
    done = Figures(database)
    try:
        for part in parts:
            *told, last = part.communicate()[0].splitlines() or [""]
            print("\n".join(told), end="\n" if told else "", flush=True)
            if not last.startswith("{"):
                raise SystemExit(f"a part of the plans ended with {part.returncode} and no figures: {last}")
            done.include(Figures(**json.loads(last)))
    finally:
        for part in parts:
            part.terminate()
    done.seconds = round(time.monotonic() - started, 1)
    return done


def main() -> int:
    options = _read_arguments()
    # What was made on a server is put away, however this ends.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if options.part:
        print(json.dumps(vars(run_part(options))))
        return 0
    databases = ["sqlite", "postgres", "mysql"] if options.database == "all" else [options.database]
    done = [run_side_by_side(database, options.jobs) for database in databases]
    print("\n".join(map(str, done)))
    print(json.dumps([vars(figures) for figures in done]))
    return 1 if any(figures.faults for figures in done) else 0


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--database", choices=["sqlite", "postgres", "mysql", "all"], default="sqlite")
    parser.add_argument("--every", type=int, default=1, help="each N-th of the single deaths only")
    parser.add_argument("--pairs", type=int, nargs="?", const=1, default=0, help="pairs too; with N, each N-th of them")
    parser.add_argument("--kind", choices=[kind.name for kind in KINDS], help="this kind of step only")
    parser.add_argument("--plan", help="these deaths only, as point~count:then ...")
    parser.add_argument("--seconds", type=float, default=0.0, help="begin no further death, and its pairs, after these")
    parser.add_argument("--jobs", type=int, default=2, help="so many processes side by side")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("-v", "--verbose", action="store_true", help="tell of each plan")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
