"""The kinds of faults: what each does, and how long it goes on.

A *brief* fault is over at once and hits few; many of them are struck. A *lease* fault takes an attempt's worker away
without its supervisor telling, so that its lease has to run out. An *outage* takes something away from everybody.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
import pymysql

from _chaos.hits import NOBODY, Hit, busy, wait_until
from _chaos.hosts import NEWEST, Host, signal_to
from _chaos.links import cut_database_link, cut_links, cut_redis_link, slow_links
from _chaos.world import RedisServer, World

BRIEF, LEASE, OUTAGE = "brief", "lease", "outage"
SERVED = ("postgres", "mysql")
ANY = ("sqlite", *SERVED)
#: Longer than a lease.
STOPPED_S = 21.0
SHIFT_S = 3600
#: How long a host runs another deployment, or with a wrong clock.
REPLACED_S = 10.0
_BUSY_SHARE = 0.8
_STOPPED = 2
_FOR_WHOLE_S = 10.0
#: What is struck where hosts are in a network, if nothing else is asked for.
IN_NETWORK = ("kill", "host", "clock", "link", "link-db", "link-redis", "link-slow")

#: Longer than a job of the load takes, so that its commit comes meanwhile.
_LOCKED_S = 0.3


@dataclass
class Struck:
    """A fault that was struck. ``pids``: the workers that it took away; ``at``, ``ended``: on the monotonic clock;
    ``alone``: whether nothing else was struck until it should have been recovered from."""

    kind: str
    at: float
    ended: float
    pids: list[int] = field(default_factory=list)
    alone: bool = True


@dataclass(frozen=True)
class Kind:
    """A kind of fault. ``target_s``: within how long everything that it hit is to have gone on, as promised."""

    name: str
    sort: str
    strike: Callable[[World, random.Random], Hit]
    databases: tuple[str, ...] = ANY
    target_s: float | None = None
    needs_links: bool = False


def kill(world: World, rng: random.Random) -> Hit:
    """SIGKILL of a worker process, once the one that was killed before has been replaced: what is measured is how one
    loss is made good, not how many at once are."""
    wait_until(world.is_whole, _FOR_WHOLE_S)
    return _signal_to_some(world, rng, signal.SIGKILL, 1)


def _signal_to_some(world: World, rng: random.Random, number: signal.Signals, count: int) -> Hit:
    """Mostly to workers that have just begun a run, so that there is something to lose."""
    workers = [worker for host in world.hosts for worker in host.workers()]
    chosen = busy(world, workers)[:count] if rng.random() < _BUSY_SHARE else []
    chosen = chosen or rng.sample(workers, min(count, len(workers)))
    hit = Hit(chosen)
    for pid in chosen:
        signal_to(pid, number)
    return hit


def lose_supervisor(world: World, rng: random.Random) -> Hit:
    """SIGKILL of a supervisor alone; its workers end by themselves. It comes back 3 s later."""
    return _lose(world, rng.choice(world.hosts), all_at_once=False)


def lose_host(world: World, rng: random.Random) -> Hit:
    """SIGKILL of a supervisor and all its workers in one go. It comes back 3 s later."""
    return _lose(world, rng.choice(world.hosts), all_at_once=True)


def _lose(world: World, host: Host, *, all_at_once: bool) -> Hit:
    busy(world, host.workers())
    hit = Hit(host.workers())
    host.lose(all_at_once=all_at_once)
    time.sleep(3.0)
    host.start()
    return hit


def stop(world: World, rng: random.Random) -> Hit:
    """SIGSTOP of two workers until their leases have run out and their steps have been taken over; then SIGCONT."""
    hit = _signal_to_some(world, rng, signal.SIGSTOP, _STOPPED)
    time.sleep(STOPPED_S)
    for pid in hit.pids:
        signal_to(pid, signal.SIGCONT)
    return hit


def term(world: World, rng: random.Random) -> Hit:
    """SIGTERM to a supervisor; another one takes its place."""
    host = rng.choice(world.hosts)
    hit = Hit(host.workers())
    host.end()
    host.start()
    return hit


def deploy(world: World, rng: random.Random) -> Hit:
    """A host runs the older deployment beside the newer one for a while, and then the newer one again."""
    return _replace_for_a_while(rng.choice(world.hosts), version=1)


def shift_clock(world: World, rng: random.Random) -> Hit:
    """A host runs with a clock that is an hour ahead or behind for a while, and then with a right one again."""
    return _replace_for_a_while(rng.choice(world.hosts), shift_s=rng.choice((SHIFT_S, -SHIFT_S)))


def _replace_for_a_while(host: Host, *, version: int = NEWEST, shift_s: int = 0) -> Hit:
    hit = Hit(host.workers())
    for version_now, shift_now, seconds in ((version, shift_s, REPLACED_S), (NEWEST, 0, 0.0)):
        host.end()
        host.version, host.shift_s = version_now, shift_now
        host.start()
        time.sleep(seconds)
    return hit


def _one(world: World, rng: random.Random) -> RedisServer:
    """One of the Redis servers. Where there is one alone, nothing is drawn: its seeds strike what they struck."""
    return world.redis[0] if len(world.redis) == 1 else rng.choice(world.redis)


def flush(world: World, rng: random.Random) -> Hit:
    """FLUSHALL."""
    with contextlib.closing(_one(world, rng).valkey.client()) as client:
        client.flushall()
    return NOBODY


def kill_redis(world: World, rng: random.Random) -> Hit:
    """SIGKILL of Valkey; an empty one comes up later."""
    valkey = _one(world, rng).valkey
    valkey.kill()
    time.sleep(rng.uniform(0.1, 3.0))
    valkey.start()
    return NOBODY


def fill_redis(world: World, rng: random.Random) -> Hit:
    """Valkey out of memory: it refuses every write."""
    with contextlib.closing(_one(world, rng).valkey.client()) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        time.sleep(rng.uniform(1.0, 4.0))
        client.config_set("maxmemory", "0")
    return NOBODY


def pause_redis(world: World, rng: random.Random) -> Hit:
    """Valkey answers nobody: by CLIENT PAUSE, or stopped by a signal."""
    valkey, seconds = _one(world, rng).valkey, rng.uniform(1.0, 7.0)
    if rng.random() < 0.5:
        with contextlib.closing(valkey.client()) as client:
            client.execute_command("CLIENT", "PAUSE", round(seconds * 1000), "ALL")
        time.sleep(seconds)
    else:
        valkey.signal(signal.SIGSTOP)
        time.sleep(seconds)
        valkey.signal(signal.SIGCONT)
    return NOBODY


def drop_redis(world: World, rng: random.Random) -> Hit:
    """The next answer of Valkey is lost with its connection: of a push, of a pop, or of anything."""
    _one(world, rng).proxy.tell(f"drop {rng.choice(('RPUSH', 'EVAL', ''))}")
    return NOBODY


def cut_redis(world: World, rng: random.Random) -> Hit:
    """A third of the connections to Valkey break."""
    _one(world, rng).proxy.tell("cut 0.34")
    return NOBODY


def hang_redis(world: World, rng: random.Random) -> Hit:
    """The network to Valkey carries nothing for a while, half of the times longer than a client waits."""
    return _hang(_one(world, rng).proxy.tell, rng)


def _hang(tell: Callable[[str], int], rng: random.Random) -> Hit:
    seconds = rng.uniform(1.0, 9.0)
    tell(f"hang {seconds}")
    time.sleep(seconds)
    return NOBODY


def shut_redis(world: World, rng: random.Random) -> Hit:
    """All connections to Valkey break, and new ones are refused for a while; it keeps what it has."""
    seconds = rng.uniform(0.5, 4.0)
    _one(world, rng).proxy.tell(f"shut {seconds}")
    time.sleep(seconds)
    return NOBODY


def _tell_database(world: World, command: str) -> int:
    return world.database_proxy.tell(command) if world.database_proxy is not None else 0


def drop_database(world: World, rng: random.Random) -> Hit:
    """The answer of the next COMMIT, or of the next statement, is lost with its connection."""
    _tell_database(world, f"drop {rng.choice(('COMMIT', 'COMMIT', ''))}")
    return NOBODY


def cut_database(world: World, rng: random.Random) -> Hit:
    """A third of the connections to the database break."""
    _tell_database(world, "cut 0.34")
    return NOBODY


def hang_database(world: World, rng: random.Random) -> Hit:
    """The network to the database carries nothing for a while."""
    return _hang(lambda command: _tell_database(world, command), rng)


def shut_database(world: World, rng: random.Random) -> Hit:
    """All connections to the database break, and new ones are refused for a while."""
    seconds = rng.uniform(0.5, 4.0)
    _tell_database(world, f"shut {seconds}")
    time.sleep(seconds)
    return NOBODY


def end_sessions(world: World, rng: random.Random) -> Hit:
    """The database server ends half of the sessions."""
    if world.database.kind == "postgres":
        found = world.database.rows("SELECT pid FROM pg_stat_activity WHERE datname = 'chaos' ORDER BY pid")
        statement = "SELECT pg_terminate_backend({})"
    else:
        found = world.database.rows("SELECT id FROM information_schema.processlist WHERE db = 'chaos' ORDER BY id")
        statement = "KILL {}"
    for (session,) in rng.sample(found, len(found) // 2):
        with contextlib.suppress(psycopg.Error, pymysql.MySQLError):  # it has gone by itself, or is our own
            world.database.rows(statement.format(int(session)))
    return NOBODY


def deadlock(world: World, rng: random.Random) -> Hit:
    """A session locks rows of entities that work and of their work, in one order or the other, and waits in between:
    whoever locks them in the other order meets it there."""
    tables = [("fsmflow_entity", "id"), ("fsmflow_work", "entity")]
    rng.shuffle(tables)
    with contextlib.suppress(psycopg.Error, pymysql.MySQLError), contextlib.closing(world.database.connect()) as other:
        cursor = other.cursor()
        cursor.execute("SELECT entity FROM fsmflow_work WHERE owner IS NOT NULL")
        rows = ", ".join(str(int(row)) for (row,) in cursor.fetchall()) or "0"
        cursor.execute("BEGIN")
        for table, column in tables:
            cursor.execute(f"SELECT {column} FROM {table} WHERE {column} IN ({rows}) ORDER BY {column} FOR UPDATE")
            time.sleep(_LOCKED_S)
        cursor.execute("ROLLBACK")
    return NOBODY


def lock_database(world: World, rng: random.Random) -> Hit:
    """Another process holds SQLite's write lock."""
    connection = world.database.connect()
    with contextlib.closing(connection):
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(rng.uniform(1.0, 6.0))
        connection.execute("ROLLBACK")
    return NOBODY


def restart_database(world: World, rng: random.Random) -> Hit:
    """The database server crashes, or is restarted in order."""
    world.database.restart(crash=rng.random() < 0.5)
    return NOBODY


def fill_disk(world: World, rng: random.Random) -> Hit:
    """The disk of the database is full; where its server ends by that, it is started again once there is room."""
    ballast = world.disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 65536)
    time.sleep(rng.uniform(1.0, 4.0))
    ballast.unlink()
    world.database.revive()
    return NOBODY


KINDS = {
    kind.name: kind
    for kind in (
        Kind("kill", BRIEF, kill, target_s=1.0),
        Kind("redis-drop", BRIEF, drop_redis),
        Kind("redis-cut", BRIEF, cut_redis),
        Kind("db-drop", BRIEF, drop_database, SERVED),
        Kind("db-cut", BRIEF, cut_database, SERVED),
        Kind("db-sessions", BRIEF, end_sessions, SERVED),
        Kind("db-deadlock", BRIEF, deadlock, SERVED),
        Kind("supervisor", LEASE, lose_supervisor, target_s=20.0),
        Kind("host", LEASE, lose_host, target_s=20.0),
        Kind("stop", LEASE, stop, target_s=20.0),
        Kind("term", LEASE, term),
        Kind("deploy", LEASE, deploy),
        Kind("clock", LEASE, shift_clock, SERVED),
        Kind("link", LEASE, cut_links, SERVED, target_s=20.0, needs_links=True),
        Kind("link-db", LEASE, cut_database_link, SERVED, target_s=20.0, needs_links=True),
        Kind("link-redis", LEASE, cut_redis_link, SERVED, needs_links=True),
        Kind("link-slow", LEASE, slow_links, SERVED, needs_links=True),
        Kind("redis-flush", OUTAGE, flush, target_s=10.0),
        Kind("redis-kill", OUTAGE, kill_redis, target_s=10.0),
        Kind("redis-full", OUTAGE, fill_redis, target_s=10.0),
        Kind("redis-pause", OUTAGE, pause_redis, target_s=10.0),
        Kind("redis-hang", OUTAGE, hang_redis, target_s=10.0),
        Kind("redis-shut", OUTAGE, shut_redis, target_s=10.0),
        Kind("db-restart", OUTAGE, restart_database, SERVED, target_s=5.0),
        Kind("db-hang", OUTAGE, hang_database, SERVED, target_s=5.0),
        Kind("db-shut", OUTAGE, shut_database, SERVED, target_s=5.0),
        Kind("db-lock", OUTAGE, lock_database, ("sqlite",), target_s=5.0),
        Kind("disk-full", OUTAGE, fill_disk, target_s=5.0),
    )
}
