"""How much many hosts ask of their database that have nothing to do.

    python scripts/idle.py [--hosts 100] [--seconds 60] [--database postgres|mysql]

Each host is a supervisor with one worker process: of a hundred there are two hundred processes, which take some
gigabytes of memory, and minutes to start. What is counted is what the server counts in its own database or, of MySQL,
by itself: transactions, of which a statement outside of one is one, too; and there all statements. The more hosts there
are, the less often each asks. Exit status 1 where all of them together ask more than a hundred times a second.

The server is its own. With the default of a hundred connections PostgreSQL has no room for so many hosts.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from _bootstrap import ensure_venv

if __name__ == "__main__":
    ensure_venv("test")

import _servers

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from _installed import installed
from _packages import Unavailable
from fsmflow.engine.runtime import current
from tests.support.eventually import eventually
from tests.support.processes import World

_STARTS_WITHIN_S = 600.0
_MOST = 100
#: Of a supervisor two, of its worker and of the one that stands by one, and some to spare.
_CONNECTIONS = 6
_TOLD = {
    "postgres": "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()",
    "mysql": "SHOW GLOBAL STATUS LIKE 'Questions'",
}


def main() -> int:
    options = _options()
    try:
        return _measure(options)
    except Unavailable as why:
        print(f"{options.database}: not available: {why}", file=sys.stderr)
        return 2


def _measure(options: argparse.Namespace) -> int:
    with _server(options.database, options.hosts), installed(options.database) as place:
        began = time.monotonic()
        _start(place, options.hosts)
        print(f"{options.hosts} hosts were ready after {time.monotonic() - began:.0f} s", flush=True)
        # Whoever has just started asks at once.
        time.sleep(options.seconds / 2)
        before, began = _asked(options.database), time.monotonic()
        time.sleep(options.seconds)
        a_second = (_asked(options.database) - before) / (time.monotonic() - began)
        print(f"{options.database} was asked {a_second:.1f} times a second by all of them")
        return 0 if a_second <= _MOST else 1


@contextlib.contextmanager
def _server(kind: str, hosts: int) -> Iterator[None]:
    """A server of this kind with room for so many hosts, named in the environment. Raises Unavailable."""
    server: _servers.Server = _servers.Postgres() if kind == "postgres" else _servers.MariaDB()
    server.most_connections = max(server.most_connections, _CONNECTIONS * hosts)
    if not server.programs:
        reason = _servers.install([server])
        if not server.programs:
            raise Unavailable(reason)
    with _servers.running(server):
        os.environ[server.variable] = server.url()
        yield


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what hosts without work ask of their database.")
    parser.add_argument("--hosts", type=int, default=100, help="supervisors, each with a worker (default 100)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long it is counted (default 60)")
    parser.add_argument("--database", choices=sorted(_TOLD), default="postgres")
    return parser.parse_args()


def _start(place: World, hosts: int) -> None:
    started = []
    for _ in range(hosts):
        started.append(place.supervisor(processes=1))
        # One after the other: two cores would start none of a hundred in time.
        eventually(started[-1].workers, within=_STARTS_WITHIN_S, what="its worker")
    eventually(
        lambda: sum(host.log.count("worker.started") for host in started) >= hosts,
        within=_STARTS_WITHIN_S,
        what="all are ready",
    )


def _asked(database: str) -> int:
    return int(current().store.link.query(_TOLD[database])[0][-1])


if __name__ == "__main__":
    sys.exit(main())
