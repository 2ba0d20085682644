"""Faults of a network: links that carry nothing for a while, or carry it late."""

from __future__ import annotations

import random
import time

from _chaos.hits import NOBODY, Hit, busy
from _chaos.hosts import Host
from _chaos.island import DATABASE, REDIS, Island
from _chaos.world import World

#: Longer than a lease, and than others take to go on with what was held by it.
CUT_S = 22.0
FAR_S = 0.1


def cut_links(world: World, rng: random.Random) -> Hit:
    """A host is cut off from all, for longer than its leases last."""
    return _cut(world, DATABASE, REDIS)


def cut_database_link(world: World, rng: random.Random) -> Hit:
    """A host is cut off from the database, and not from Redis, which goes on to hand it jobs."""
    return _cut(world, DATABASE)


def cut_redis_link(world: World, rng: random.Random) -> Hit:
    """A host is cut off from Redis, and not from the database."""
    _cut(world, REDIS)
    return NOBODY


def _cut(world: World, *links: str) -> Hit:
    """One host after the other; no packet comes through, and nobody is told."""
    host, island = _next_host(world)
    busy(world, host.workers())
    hit = Hit(host.workers())
    island.cut(*links)
    time.sleep(CUT_S)
    island.mend(*links)
    return hit


def slow_links(world: World, rng: random.Random) -> Hit:
    """Database and Redis are far from a host for a while."""
    _, island = _next_host(world)
    island.delay(FAR_S)
    time.sleep(CUT_S)
    island.delay(0.0)
    return NOBODY


def _next_host(world: World) -> tuple[Host, Island]:
    host = world.hosts[next(world.turns) % len(world.hosts)]
    if host.island is None:
        raise ValueError(f"{host.name} has no links of its own")
    return host, host.island
