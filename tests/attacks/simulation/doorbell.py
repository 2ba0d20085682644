"""Redis, as the code sees it: queues that lose, repeat, reorder and delay, and that are away for a while."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from fsmflow.dispatch.doorbell import Doorbell, Ring
from fsmflow.errors import RedisUnavailable
from fsmflow.store.work import Ticket
from tests.attacks.simulation.world import NEVER, Actor, World

#: Of what is rung, so much goes wrong where it may at all.
_SHARE: Final = 0.15


@dataclass
class _Rung:
    ticket: Ticket
    at: int
    visible_at: float


class SimulatedDoorbell(Doorbell):
    """One queue for all. Nothing of it outlives a flush."""

    def __init__(self, installation: str, world: World) -> None:
        self.installation = installation
        self.failures = 0
        self._world = world
        self._queue: list[_Rung] = []
        self._sleepers: list[Actor] = []
        self._has_marker = False
        self._away_until = 0.0

    def flush(self) -> None:
        """Forget everything."""
        self._queue.clear()
        self._has_marker = False

    def go_away(self, seconds: float) -> None:
        """Answer nobody for a while."""
        self._away_until = self._world.now_ms + seconds * 1000

    def take(self, actor: Actor) -> Ticket:
        """Wait for a ticket; it is then gone, whatever becomes of who took it."""
        world = self._world
        while True:
            world.pass_point("queue.pop")
            visible = [rung for rung in self._queue if rung.visible_at <= world.now_ms]
            if visible and not self._is_away():
                chosen = world.dice.choice(visible) if self._goes_wrong("reorder") else visible[0]
                self._queue.remove(chosen)
                return chosen.ticket
            self._sleepers.append(actor)
            moments = [rung.visible_at for rung in self._queue if rung.visible_at > world.now_ms]
            world.wait(actor, self._away_until if self._is_away() else min(moments, default=NEVER))

    def take_more(self, most: int) -> list[Ticket]:
        """Up to so many more that are there, without waiting."""
        if self._is_away():
            return []
        visible = [rung for rung in self._queue if rung.visible_at <= self._world.now_ms][:most]
        for rung in visible:
            self._queue.remove(rung)
        return [rung.ticket for rung in visible]

    def finish(self, done: Sequence[Ticket], rings: Sequence[Ring]) -> bool:
        """What is done is gone already."""
        return self.ring(rings)

    def ring(self, rings: Sequence[Ring], *, insist: bool = False) -> bool:
        """Put tickets into the queue. False where Redis is away, or its reply is lost."""
        self._world.pass_point("redis.push")
        if self._is_away():
            return not rings
        for ticket, _ in rings:
            if not self._goes_wrong("drop"):
                self._push(ticket)
                if self._goes_wrong("duplicate"):
                    self._push(ticket)
        for actor in self._sleepers:
            if not actor.is_frozen:
                actor.wake_at = min(actor.wake_at, self._world.now_ms)
        self._sleepers.clear()
        self._world.pass_point("redis.pushed")
        return not self._goes_wrong("lost reply")

    def _push(self, ticket: Ticket) -> None:
        delay = self._world.dice.uniform(10, 90_000) if self._goes_wrong("delay") else 0
        self._queue.append(_Rung(ticket, self._world.now(), self._world.now_ms + delay))

    def _goes_wrong(self, kind: str) -> bool:
        world = self._world
        return not world.is_calm and kind in world.weather.kinds and world.dice.random() < _SHARE

    def _is_away(self) -> bool:
        return self._world.now_ms < self._away_until

    def _ask(self, name: str) -> None:
        self._world.pass_point(name)
        if self._is_away():
            raise RedisUnavailable("connection refused")

    def add(self, pipe: Any, rings: Iterable[Ring]) -> None:
        """There is no pipeline."""
        self.ring(list(rings))

    def has_marker(self) -> bool:
        """Whether nothing has been lost since ``set_marker``."""
        self._ask("redis.marker")
        return self._has_marker

    def set_marker(self) -> None:
        """What is lost from now on is noticed."""
        self._ask("redis.mark")
        self._has_marker = True

    def appear(self, name: str) -> None:
        """Nobody asks."""

    def disappear(self, name: str) -> None:
        """Nobody asks."""

    def gone(self) -> list[str]:
        """Nobody."""
        return []

    def astray(self, rings: Sequence[Ring], dead: Sequence[str]) -> set[int]:
        """Nothing depends on whether it is rung at once."""
        return set()

    def take_turn(self, for_ms: int) -> int:
        """It is everybody's turn at any time: nothing may depend on it."""
        return 0

    def keep_turn(self, for_ms: int) -> None:
        """Nobody waits for it."""

    def announce(self, queues: Iterable[str]) -> None:
        """Somebody listens."""

    def withdraw(self, queues: Iterable[str]) -> None:
        """Nobody asks."""

    def listened(self) -> set[str]:
        """Nobody asks."""
        return set()

    def oldest(self, queues: Iterable[str]) -> dict[str, int | None]:
        """When the head of the queue was rung for."""
        self._ask("redis.head")
        head = self._queue[0].at if self._queue else None
        return dict.fromkeys(queues, head)

    def forget(self) -> None:
        """There is no connection."""

    def client(self) -> NoReturn:
        """There is none."""
        raise RedisUnavailable("a simulation has no Redis")
