"""Which fault when: chosen from a seed, so that a run with the same options strikes the same faults in the same order.

Brief faults come all the time, in a thread of their own. Meanwhile outages come in threes: two of them alone, with no
brief faults until each should be over, so that its recovery can be told from that of others; the third on top of them.
After that comes a window in which leases run out, and one of brief faults alone.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable, Iterator

from _chaos.faults import BRIEF, IN_NETWORK, KINDS, LEASE, OUTAGE, Kind, Struck
from _chaos.world import World

#: Half of the brief faults are of this kind.
_MOST = "kill"
_BEFORE_ALONE_S = 1.0
_ALONE_S = 6.0
_AFTER_S = 3.0
_LEASE_WINDOW_S = 24.0
_BEFORE_LEASES_END_S = 9.0
_BRIEF_WINDOW_S = 25.0


class Injector:
    """Strikes faults for a given time, and keeps a record of them."""

    def __init__(self, world: World, kinds: Iterable[Kind], *, seed: int, every_s: float) -> None:
        self.struck: list[Struck] = []
        self._world = world
        self._kinds = list(kinds)
        self._seed = seed
        self._every_s = every_s
        self._quiet = threading.Event()
        self._over = threading.Event()
        self._failed: list[BaseException] = []

    def run(self, seconds: float) -> None:
        """Strike for so long. Servers and hosts are started by this thread, whose end would be theirs."""
        deadline = time.monotonic() + seconds
        brief = threading.Thread(target=self._strike_brief_ones, daemon=True)
        brief.start()
        rng = random.Random(f"{self._seed}-rare")
        windows = self._windows(rng)
        while (left := deadline - time.monotonic()) > 0 and not self._failed:
            self.heal()
            window = next(windows, None)
            if window in (None, BRIEF) or (window is LEASE and left < _LEASE_WINDOW_S / 2):
                self._over.wait(min(left, _BRIEF_WINDOW_S))
            elif window is LEASE:
                self._let_leases_run_out(rng)
            else:
                self._strike_outages(rng, deadline)
        self._over.set()
        brief.join()
        if self._failed:
            raise self._failed[0]

    def _windows(self, rng: random.Random) -> Iterator[str]:
        self._outages = _rounds([kind for kind in self._kinds if kind.sort == OUTAGE], rng)
        self._leases = _rounds([kind for kind in self._kinds if kind.sort == LEASE and kind.name != "stop"], rng)
        sorts = {kind.sort for kind in self._kinds}
        while sorts & {OUTAGE, LEASE}:
            yield from [OUTAGE] * (OUTAGE in sorts)
            yield from [LEASE] * (LEASE in sorts)
            yield from [BRIEF] * (BRIEF in sorts and not self._world.has_links)

    def _strike_brief_ones(self) -> None:
        rng = random.Random(f"{self._seed}-brief")
        brief = [kind for kind in self._kinds if kind.sort == BRIEF]
        weights = [max(len(brief) - 1, 1) if kind.name == _MOST else 1 for kind in brief]
        try:
            while brief and not self._over.wait(rng.uniform(0.3, 1.7) * self._every_s):
                kind = rng.choices(brief, weights)[0]
                if not self._quiet.is_set():
                    self._strike(kind, random.Random(rng.random()), alone=True)
        except BaseException as error:  # noqa: BLE001 - raised again by run()
            self._failed.append(error)

    def _strike(self, kind: Kind, rng: random.Random, *, alone: bool) -> None:
        began = time.monotonic()
        hit = kind.strike(self._world, rng)
        at = hit.at if hit.pids else began
        self.struck.append(Struck(kind.name, at, time.monotonic(), hit.pids, alone))

    def _strike_outages(self, rng: random.Random, deadline: float) -> None:
        for alone, after_s in ((True, _ALONE_S), (True, _ALONE_S), (False, _AFTER_S)):
            if alone:
                self._quiet.set()
                self._over.wait(_BEFORE_ALONE_S)
            else:
                self._quiet.clear()
            kind, own = next(self._outages), random.Random(rng.random())
            if time.monotonic() < deadline:
                self._strike(kind, own, alone=alone)
            self._over.wait(max(0.0, min(after_s, deadline - time.monotonic())))

    def _let_leases_run_out(self, rng: random.Random) -> None:
        until = time.monotonic() + _LEASE_WINDOW_S
        stopping = random.Random(rng.random())
        stop = threading.Thread(target=lambda: self._strike(KINDS["stop"], stopping, alone=True))
        if any(kind.name == "stop" for kind in self._kinds):
            stop.start()
        kind = next(self._leases, None)
        if kind is not None:
            self._strike(kind, random.Random(rng.random()), alone=True)
        self._over.wait(max(0.0, until - _BEFORE_LEASES_END_S - time.monotonic()))
        self._quiet.set()
        self._over.wait(max(0.0, until - time.monotonic()))
        if stop.ident is not None:
            stop.join()
        self._quiet.clear()

    def heal(self) -> None:
        """Start the hosts whose supervisor has ended by itself, as systemd or Kubernetes would."""
        for host in self._world.hosts:
            if host.pid is None:
                host.start()


def _rounds(kinds: list[Kind], rng: random.Random) -> Iterator[Kind]:
    """Each kind once, in any order, and again."""
    own = random.Random(rng.random())
    while kinds:
        yield from own.sample(kinds, len(kinds))


def choose(world: World, names: Iterable[str] | None) -> list[Kind]:
    """The kinds of faults that this world can have, of those that are wanted. Why others cannot is noted in it."""
    standard = IN_NETWORK if world.has_links else [name for name, fault in KINDS.items() if not fault.needs_links]
    wanted = [KINDS[name] for name in (standard if names is None else names)]
    kind = world.database.kind
    for fault in wanted:
        if fault.needs_links and not world.has_links:
            world.skipped.setdefault(fault.name, "it takes --hosts")
        if kind not in fault.databases:
            world.skipped.setdefault(fault.name, f"not on {kind}: {_why_not(fault, kind)}")
    return [fault for fault in wanted if fault.name not in world.skipped]


def _why_not(fault: Kind, kind: str) -> str:
    if fault.name == "clock":
        return "all that use it are on one host, which has one clock"
    return "it is a file, without a server" if kind == "sqlite" else "it is for SQLite, where one may write at a time"
