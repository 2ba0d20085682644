"""Doorbells on several Redis servers: those of a queue are on the server that it has for itself, or on that of all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, Final

from redis import Redis

from fsmflow.definition.priority import queue_below
from fsmflow.dispatch.doorbell import QUIET_S, Doorbell, Ring
from fsmflow.dispatch.listeners import Listener
from fsmflow.settings import Settings, queues
from fsmflow.store.work import Ticket
from fsmflow.values import replace

#: One of several servers is left alone for so many times as long as it took to fail, and so many seconds at most.
LEFT: Final = 5
LEFT_S: Final = 10.0


def doorbell_of(settings: Settings, installation: str, now: Callable[[], int]) -> Doorbell:
    """The doorbell of an installation, on as many servers as its settings name. Opens nothing."""
    made = Servers if settings.queues else Doorbell
    return made(settings, installation, now)


class _OneOfMany(Doorbell):
    """That of one server. While it hangs, those who have others to ring for are not kept."""

    def _quiet_s(self, took_s: float) -> float:
        return max(QUIET_S, min(took_s * LEFT, LEFT_S))


class Servers(Doorbell):
    """As many doorbells as there are servers, and each is rung for what is on its server: one that is away keeps
    nobody from ringing the others. What is of no queue is at the first one, which is that of all other queues.

    Where something is asked of all, it is known only once each has answered: REDIS_ERRORS are raised where one does
    not. ``servers`` are asked one by one by whoever goes on without one.
    """

    def __init__(self, settings: Settings, installation: str, now: Callable[[], int]) -> None:
        self.installation = installation
        self._now = now
        self._queues = settings.queues
        self._first_url = settings.redis_url
        self._by_url: dict[str | None, Doorbell] = {
            url: _OneOfMany(replace(settings, redis_url=url), installation, lambda: self._now())
            for url in (settings.redis_url, *settings.queues.values())
        }
        self._first = self._here = self._by_url[settings.redis_url]

    @property
    def servers(self) -> Sequence[Doorbell]:
        """One by one, the one of all other queues first."""
        return tuple(self._by_url.values())

    def at(self, queue: str) -> Doorbell:
        """The doorbell of a queue, and of its priorities."""
        return self._by_url[queues.where(self._queues, queue_below(queue)) or self._first_url]

    def stand_at(self, queue: str) -> None:
        """From now on this process takes jobs where this queue is, and what it has done is forgotten there."""
        self._here = self.at(queue)

    def ring_others(self, rings: Sequence[Ring]) -> Sequence[Ring]:
        """Ring at once for what is on other servers than the one at which this process stands; the rest."""
        split = self._split(rings)
        rest = split.pop(self._here, [])
        for server, theirs in split.items():
            server.ring(theirs)
        return rest

    def _split(self, rings: Iterable[Ring]) -> dict[Doorbell, list[Ring]]:
        split: dict[Doorbell, list[Ring]] = {}
        for ring in rings:
            split.setdefault(self.at(ring[1]), []).append(ring)
        return split

    def _of(self, names: Iterable[str]) -> dict[Doorbell, list[str]]:
        split: dict[Doorbell, list[str]] = {}
        for name in names:
            split.setdefault(self.at(name), []).append(name)
        return split

    def ring(self, rings: Sequence[Ring], *, insist: bool = False) -> bool:
        """Each on its server. False where one of them did not take its own."""
        taken = [server.ring(theirs, insist=insist) for server, theirs in self._split(rings).items()]
        return all(taken)

    def finish(self, done: Sequence[Ticket], rings: Sequence[Ring]) -> bool:
        """The same, and forget those that are done where this process stands."""
        return self._here.finish(done, self.ring_others(rings))

    def rung(self) -> frozenset[str]:
        """The queues in which jobs were put, of all servers."""
        return frozenset(chain.from_iterable(server.rung() for server in self.servers))

    def check(self) -> None:
        """Raises RedisUnavailable for a URL that could never be used."""
        for server in self.servers:
            server.check()

    def check_writes(self) -> None:
        """Write to all, without changing anything."""
        for server in self.servers:
            server.check_writes()

    def listeners(self) -> list[Listener]:
        """The worker processes on all servers, the oldest first."""
        found = {each.name: each for server in self.servers for each in server.listeners()}
        return sorted(found.values(), key=lambda each: (each.since, each.name))

    def listened(self) -> set[str]:
        """The queues on which workers listen now, on all servers."""
        return {queue for server in self.servers for queue in server.listened()}

    def oldest(self, queues: Iterable[str]) -> dict[str, int | None]:
        """Of each queue, by its server."""
        return {name: at for server, names in self._of(queues).items() for name, at in server.oldest(names).items()}

    def astray(self, rings: Sequence[Ring], dead: Sequence[str]) -> set[int]:
        """Of each ticket, by the server of its queue."""
        split = self._split(rings)
        return {row for server, theirs in split.items() for row in server.astray(theirs, dead)}

    def place_of(self, ring: Ring) -> int | None:
        """By the server of its queue."""
        return self.at(ring[1]).place_of(ring)

    def announce(self, queues: Iterable[str]) -> None:
        """Each queue on its server."""
        for server, names in self._of(queues).items():
            server.announce(names)

    def withdraw(self, queues: Iterable[str]) -> None:
        """Each queue on its server."""
        for server, names in self._of(queues).items():
            server.withdraw(names)

    def appear(self, name: str) -> None:
        """On all servers."""
        for server in self.servers:
            server.appear(name)

    def disappear(self, name: str) -> None:
        """On all servers."""
        for server in self.servers:
            server.disappear(name)

    def absent(self, process: str) -> None:
        """On all servers."""
        for server in self.servers:
            server.absent(process)

    def forget(self) -> None:
        """Drop all connections."""
        for server in self.servers:
            server.forget()

    # What is of no queue.

    @property
    def is_asleep(self) -> bool:
        """Whether the first one is."""
        return self._first.is_asleep

    def url(self) -> str:
        """The URL of the first one."""
        return self._first.url()

    def client(self) -> Redis:
        """The client of the first one."""
        return self._first.client()

    def has_moved(self, url: str) -> bool:
        """Whether another server has taken over from the first one."""
        return self._first.has_moved(url)

    def version(self) -> str | None:
        """Which server answers first."""
        return self._first.version()

    def add(self, pipe: Any, rings: Iterable[Ring]) -> None:
        """To a pipeline of the first one."""
        self._first.add(pipe, rings)

    def has_marker(self) -> bool:
        """Of the first one."""
        return self._first.has_marker()

    def set_marker(self) -> None:
        """On the first one."""
        self._first.set_marker()

    def gone(self) -> list[str]:
        """By the first one."""
        return self._first.gone()

    def take_turn(self, for_ms: int) -> int:
        """At the first one, at which all sweepers meet."""
        return self._first.take_turn(for_ms)

    def keep_turn(self, for_ms: int) -> None:
        """At the first one."""
        self._first.keep_turn(for_ms)
