"""Feeds fsmflow with inputs that are mostly wrong: whatever is not accepted must be refused by a named error.

    python scripts/fuzz.py [--inputs 100000] [--seed N] [--only definitions,cli,payloads,planted,texts]

What is fed, and what counts as good, is in tests/attacks/fuzz. Values and planted jobs go to SQLite, PostgreSQL and
MariaDB in turn; servers that FSMFLOW_TEST_POSTGRES_URL and FSMFLOW_TEST_MYSQL_URL do not name are started, and --quick
does without them. Printed for each target and database: the inputs, what came of them, and the slowest one. Of a
failure, its smallest input is printed; the other targets go on, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from _bootstrap import ensure_venv

if __name__ == "__main__":
    ensure_venv("test")

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from _servers import MariaDB, Postgres, databases, fast_folder
from tests.attacks.fuzz.driver import Servers, Tally, drive
from tests.attacks.fuzz.targets import TARGETS
from tests.support.servers import Valkey, fresh_mysql, fresh_postgres

SQLITE = "SQLite"
#: How much of all inputs a target gets, and on which databases besides SQLite.
SHARES = {"definitions": 0.25, "cli": 0.15, "payloads": 0.3, "planted": 0.15, "texts": 0.15}
ON_SERVERS = frozenset({"payloads", "planted"})
#: How much of its inputs a target gets on each server: a commit there takes longer than in memory.
SERVER_SHARE = 0.1
PROGRESS_S = 20.0
SHOWN = 3_000


@dataclass(frozen=True)
class Run:
    """One target on one database."""

    target: str
    database: str
    inputs: int


def main() -> int:
    options = _options()
    first_seed = random.randrange(10**6) if options.seed is None else options.seed
    print(f"{options.inputs:,} inputs, --seed {first_seed}", flush=True)
    _keep_quiet()
    failures = 0
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        urls = {} if options.quick else stack.enter_context(databases())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fsm-", dir=fast_folder())))
        valkey = Valkey(folder)
        valkey.start()
        stack.callback(valkey.stop)
        for run in _runs(options.only, options.inputs, urls):
            with _database(run.database, urls) as url:
                failures += not _finished(run, Servers(folder, valkey.url, url), first_seed)
    print(f"{failures or 'no'} failure{'' if failures == 1 else 's'} in {time.monotonic() - started:.0f} s")
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Feed fsmflow with inputs that are mostly wrong.")
    parser.add_argument("--inputs", type=int, default=100_000, help="how many in all (default: 100000)")
    parser.add_argument("--seed", type=int, help="repeat the run that was printed with this seed")
    parser.add_argument("--only", type=_targets, default=list(TARGETS), metavar="A,B", help=", ".join(TARGETS))
    parser.add_argument("--quick", action="store_true", help="leave out PostgreSQL and MariaDB")
    return parser.parse_args()


def _targets(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no target {unknown[0]!r}; there are {', '.join(TARGETS)}")
    return names


def _keep_quiet() -> None:
    """fsmflow reports each attempt that failed, and here nearly all of them do."""
    logging.getLogger("fsmflow").addHandler(logging.NullHandler())


def _runs(only: list[str], inputs: int, urls: dict[str, str]) -> Iterator[Run]:
    whole = sum(SHARES[name] for name in only)
    servers = [kind.label for kind in (Postgres, MariaDB) if kind.variable in urls]
    for name in only:
        of_target = round(inputs * SHARES[name] / whole)
        there = servers if name in ON_SERVERS else []
        of_server = round(of_target * SERVER_SHARE)
        yield Run(name, SQLITE, of_target - of_server * len(there))
        yield from (Run(name, label, of_server) for label in there)


@contextlib.contextmanager
def _database(label: str, urls: dict[str, str]) -> Iterator[str | None]:
    """The URL of a fresh database; None for SQLite, where each target makes its own."""
    fresh = {Postgres.label: (Postgres, fresh_postgres), MariaDB.label: (MariaDB, fresh_mysql)}.get(label)
    if fresh is None:
        yield None
        return
    kind, make = fresh
    with make(urls[kind.variable]) as url:
        yield url


def _finished(run: Run, servers: Servers, first_seed: int) -> bool:
    tally, started = Tally(), time.monotonic()
    said = started
    try:
        for _ in drive(TARGETS[run.target], servers, tally, inputs=run.inputs, first_seed=first_seed):
            if time.monotonic() - said > PROGRESS_S and tally.inputs < run.inputs:
                said = time.monotonic()
                print(f"  {run.target}: {tally.inputs:,} of {run.inputs:,}", flush=True)
    except Exception as error:  # noqa: BLE001 - to be told, whatever it is; the other targets go on
        print(f"{run.target} on {run.database}: FAILED after {tally.inputs:,} inputs", flush=True)
        print("  the smallest input:", _shown(tally.last))
        print("".join(traceback.format_exception(error))[-SHOWN:], flush=True)
        return False
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in tally.outcomes.most_common())
    took = f"{time.monotonic() - started:.0f} s, the slowest {tally.slowest_s:.2f} s"
    print(f"{run.target} on {run.database}: {tally.inputs:,} inputs in {took}: {outcomes}", flush=True)
    return True


def _shown(value: object) -> str:
    try:
        return repr(value)[:SHOWN]
    except Exception as error:  # noqa: BLE001 - it was drawn in order to be troublesome
        return f"a {type(value).__name__} that cannot be shown ({type(error).__name__})"


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # the databases are dropped on the way out
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
