"""Faults without end against real processes and real servers, and what became of the work meanwhile.

    python scripts/chaos.py --seconds 600 [--database sqlite|postgres|mysql] [--faults kill,stop] [--seed 1]
                            [--redis 2] [--hosts 3] [--far 50] [--json FILE] [--keep FOLDER] [--contrast]
    python scripts/chaos.py --check FOLDER

Two hosts of three workers each move voyages (a retry, a fan-out, a transactional step, children, a timer, an approval,
a failure, a message, an undo) while workers and supervisors are killed, stopped and replaced, Valkey and the database
taken away, connections cut, disks filled. Then the faults end, everything must arrive, and what is left is checked
with plain SQL against what jobs and client noted. Exit status 1 if anything is lost, doubled, gapped or not there yet.

--hosts 3 makes each host a network namespace, with a link to the database and one to Redis, and cuts and delays these
in turn; --far 50 has the last of them 50 ms away from both all the time. That takes root on Linux, and a server.
--redis 2 puts some of the steps into a queue on a second Valkey server: either is struck, and each host has as many
workers for each of them.

The seed chooses the faults and their order; the processes' timing is theirs. The servers are its own, in a folder of
its own; as root it mounts a small disk for the database, seen by itself alone. --contrast does the same to plain RQ.
With CHAOS_CONCURRENCY=20 in the environment each process runs so many jobs beside each other, with FSMFLOW_RUN_ON=1
workers go on with the next step.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from _bootstrap import ensure_venv

if __name__ == "__main__":
    ensure_venv("embedded,postgres,mysql,demo")

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from _chaos.check import check
from _chaos.contrast import Contrast, contrast
from _chaos.driver import Driver
from _chaos.facts import read
from _chaos.faults import KINDS
from _chaos.plan import Injector, choose
from _chaos.probe import longest
from _chaos.recovery import recoveries
from _chaos.report import Report, as_json, figures, show, show_contrast
from _chaos.servers import ANSWERS_NOT, Sqlite
from _chaos.world import FSMFLOW, World, world
from _packages import Unavailable

_ARRIVES_WITHIN_S = 240.0
_READY_WITHIN_S = 60.0
_ON_THE_WAY = (
    "SELECT COUNT(*) FROM fsmflow_entity WHERE branch_of IS NULL AND (machine = 'voyage' AND state NOT IN "
    "('there', 'undone') OR machine = 'skiff' AND state <> 'landed')",
    "SELECT COUNT(*) FROM fsmflow_event WHERE kind = 'sent'",
)


def main() -> int:
    options = _options()
    if options.check:
        return _check_again(options.check)
    with _folder(options.keep) as folder:
        try:
            report = _run(options, folder)
            show(report)
            beside = _contrast(options, folder / "plain-rq") if options.contrast else None
        except Unavailable as why:
            print(f"{options.database}: not available: {why}", file=sys.stderr)
            return 2
    if options.json:
        more = {"contrast": asdict(beside)} if beside is not None else {}
        options.json.write_text(json.dumps(as_json(report) | more, indent=2) + "\n")
    return 0 if report.holds else 1


def _check_again(folder: Path) -> int:
    """Check what a run on SQLite has left in the folder that it was told to keep."""
    verdict = check(read(Sqlite(folder), folder))
    for kind, sentence in verdict.sentences():
        print(f"{kind}: {sentence}")
    print("   ".join(f"{kind}: {len(found)}" for kind, found in vars(verdict).items()))
    return 0 if verdict.holds else 1


def _contrast(options: argparse.Namespace, folder: Path) -> Contrast:
    folder.mkdir()
    print(f"{options.database}: the same to plain RQ, for {options.seconds:.0f} s", file=sys.stderr, flush=True)
    beside = contrast(folder, options)
    show_contrast(beside)
    return beside


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long faults are struck (default 60)")
    parser.add_argument("--database", choices=["sqlite", "postgres", "mysql"], default="sqlite")
    parser.add_argument("--faults", type=_kinds, help=f"only these of: {', '.join(KINDS)}")
    parser.add_argument("--seed", type=int, default=1, help="what chooses the faults (default 1)")
    parser.add_argument("--rate", type=float, default=1.0, help="voyages started a second (default 1)")
    parser.add_argument("--every", type=float, default=0.4, help="seconds between brief faults (default 0.4)")
    parser.add_argument("--processes", type=int, default=3, help="workers of each of the two hosts (default 3)")
    parser.add_argument("--redis", type=int, choices=[1, 2], default=1, help="Redis servers (default 1)")
    parser.add_argument("--hosts", type=int, default=0, help="so many, each in the network by links of its own")
    parser.add_argument("--far", type=float, default=0.0, help="so many milliseconds to the last of these and back")
    parser.add_argument("--json", type=Path, help="write the report to this file, too")
    parser.add_argument("--keep", type=Path, help="a new folder for logs, effects and, with SQLite, the database")
    parser.add_argument("--check", type=Path, metavar="FOLDER", help="only check again what --keep has kept of SQLite")
    parser.add_argument("--contrast", action="store_true", help="then do the same to plain RQ")
    options = parser.parse_args()
    if options.redis > 1 and (options.hosts or options.contrast):
        parser.error("--redis 2 goes neither with --hosts nor with --contrast")
    return options


def _kinds(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in KINDS]:
        raise argparse.ArgumentTypeError(f"there is no fault {', '.join(unknown)}; there are: {', '.join(KINDS)}")
    return names


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True)
        yield keep.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="fsmflow-chaos-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _run(options: argparse.Namespace, folder: Path) -> Report:
    shape = {"redis": options.redis, "hosts": options.hosts, "far_s": options.far / 1000}
    with world(options.database, folder, FSMFLOW, processes=options.processes, **shape) as made:
        _await_workers(made)
        kinds = choose(made, options.faults)
        injector = Injector(made, kinds, seed=options.seed, every_s=options.every)
        offset_s = time.time() - time.monotonic()
        with Driver(folder / "acks", rate=options.rate, seed=options.seed) as driver:
            print(f"{options.database}: striking for {options.seconds:.0f} s", file=sys.stderr, flush=True)
            injector.run(options.seconds)
            healed_at = time.monotonic()
            injector.heal()
            driver.drain()
            if not _has_arrived(made):
                _end(made)
            drained_s = time.monotonic() - healed_at
        if driver.failed:
            raise driver.failed[0]
        facts = read(made.database, folder)
        if options.keep and isinstance(made.database, Sqlite):
            made.database.rows("VACUUM INTO ?", [str(folder / made.database.path.name)])
        return Report(
            database=options.database,
            seconds=options.seconds,
            seed=options.seed,
            drained_s=drained_s,
            struck=injector.struck,
            recoveries=recoveries(facts, injector.struck, offset_s=offset_s),
            verdict=check(facts),
            violations=_verify(),
            figures=figures(facts, made.logs()),
            longest_s=longest(folder),
            skipped=made.skipped,
        )


def _verify() -> list[str]:
    """What ``fsmflow verify``, which is no part of this, finds wrong."""
    command = [sys.executable, "-m", "fsmflow.cli", "verify", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or not done.stdout.startswith("{"):
        return [f"it ended with status {done.returncode}: {done.stderr.strip()[-500:]}"]
    found = json.loads(done.stdout)
    listed = [f"{one['invariant']}: {one['address']}: {one['what']}" for one in found["violations"]]
    return listed if listed or found["holds"] else ["it does not hold, and lists nothing"]


def _await_workers(made: World) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while made.logs().count("worker.started") < len(made.hosts):
        if time.monotonic() > deadline:
            raise Unavailable(f"no worker is ready after {_READY_WITHIN_S:.0f} s: {made.logs()[-2000:]}")
        time.sleep(0.05)


def _end(made: World) -> None:
    """End the hosts: what still moves would be read at two moments."""
    for host in made.hosts:
        host.end()


def _has_arrived(made: World) -> bool:
    """Whether nothing is on its way any more; waits for that, but not for ever. The check tells what is."""
    deadline = time.monotonic() + _ARRIVES_WITHIN_S
    while time.monotonic() < deadline:
        with contextlib.suppress(*ANSWERS_NOT):
            if not any(made.database.rows(query)[0][0] for query in _ON_THE_WAY):
                return True
        time.sleep(0.2)
    return False


if __name__ == "__main__":
    sys.exit(main())
