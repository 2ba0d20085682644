"""What steps cost: processor time of processes, commands of Redis, commits and WAL of PostgreSQL."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import psycopg
from redis import Redis

from _peers.stand import connect

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_SYNCS: Final = "SELECT wal_sync FROM pg_stat_wal"
#: From PostgreSQL 18 on.
_SYNCS_NOW: Final = "SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal'"
_POSTMASTER: Final = "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)"

Counts = Mapping[str, float]


def family(roots: Iterable[int]) -> dict[int, list[str]]:
    """What the kernel says of these processes and of all that descend from them, by their pids."""
    stats = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            stats[int(place.parent.name)] = place.read_text().rsplit(")", 1)[1].split()
    found = {pid: stats[pid] for pid in roots if pid in stats}
    while more := {pid: stat for pid, stat in stats.items() if int(stat[1]) in found and pid not in found}:
        found |= more
    return found


def cpu_s(roots: Iterable[int]) -> float:
    """The processor time that they have taken so far, those included that have ended and were waited for."""
    return sum(int(value) for stat in family(roots).values() for value in stat[11:15]) / _TICKS


def memory(roots: Iterable[int]) -> list[int]:
    """The resident memory of each of them, in bytes, the largest first."""
    return sorted((int(stat[21]) * _PAGE for stat in family(roots).values()), reverse=True)


def redis_counts(redis: Redis) -> Counts:
    """What a Redis server has done so far."""
    info: Any = redis.info()
    return {
        "redis_commands": info["total_commands_processed"],
        "redis_trips": info["total_reads_processed"],
        "redis_cpu_ms": 1000 * (info["used_cpu_sys"] + info["used_cpu_user"]),
    }


def postgres_counts(url: str) -> Counts:
    """What a PostgreSQL server has done so far in a database; syncs and WAL are those of the whole server."""
    with contextlib.closing(connect("postgres", url)) as connection:

        def row(sql: str) -> Any:
            return connection.execute(sql).fetchone()

        (commits,) = row("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
        (syncs,) = row(_SYNCS_NOW if connection.info.server_version >= 180_000 else _SYNCS)
        (wal,) = row("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")
        updates, hot = row("SELECT sum(n_tup_upd), sum(n_tup_hot_upd) FROM pg_stat_user_tables")
        found = {"pg_commits": commits, "pg_syncs": syncs, "wal_bytes": wal, "updates": updates, "hot": hot}
        with contextlib.suppress(psycopg.Error, OSError):
            found["pg_cpu_ms"] = 1000 * cpu_s([int(row(_POSTMASTER)[0])])
    return {name: float(value or 0) for name, value in found.items()}


def spent(before: Counts, after: Counts, steps: int) -> dict[str, float]:
    """What each step has cost between two counts."""
    return {name: (after[name] - value) / steps for name, value in before.items() if name in after}
