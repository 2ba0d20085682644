"""Actors that take turns in one thread, and the time in which they do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from greenlet import getcurrent, greenlet

#: 2026-01-02 03:04:05 UTC, in the milliseconds of the store.
EPOCH_MS: Final = 1_767_323_045_000
NEVER: Final = math.inf


class Dead(BaseException):
    """Unwinds an actor that has been killed. Whatever it would still touch raises this again: it changes nothing."""


class Endless(Exception):
    """The actors went on and on without coming to an end."""


@dataclass(eq=False)
class Host:
    """What dies and sleeps together, and goes by one clock."""

    name: str
    skew_ms: int = 0
    actors: list[Actor] = field(default_factory=list)


class Actor(greenlet):  # type: ignore[misc]  # it comes without types
    """One simulated process, or a thread of one. ``killed`` is called once it has been."""

    def __init__(
        self, world: World, name: str, host: Host, body: Callable[[], None], killed: Callable[[], None] | None
    ) -> None:
        super().__init__(lambda: world.begin(self, body), world.hub)
        self.world = world
        self.name = name
        self.host = host
        self.killed = killed
        self.wake_at: float = 0
        self.is_dead = False
        self.is_frozen = False
        #: Called with the moment each time the actor goes on: where its time limit strikes.
        self.alarm: Callable[[float], None] | None = None
        #: What the database keeps for a connection; see ``database``.
        self.connection: object = None


@dataclass(kw_only=True)
class Weather:
    """How rough a schedule is. Each seed has its own: what strikes seldom together is found by what strikes alone."""

    switch: float = 0.2
    fault: float = 0.01
    kinds: tuple[str, ...] = ()


class World:
    """Time, the actors, and the dice. All that happens follows from the seed."""

    def __init__(self, seed: int, weather: Weather) -> None:
        self.dice = Random(seed)
        self.weather = weather
        self.now_ms: float = 0
        self.is_calm = False
        self.actors: list[Actor] = []
        self.trace: list[tuple[float, str, str]] = []
        #: What strikes where a fault does, what becomes of those who die, and of what they fail with.
        self.strike: Callable[[Actor, str], None] = lambda actor, name: None
        self.dropped: Callable[[Actor], None] = lambda actor: None
        self.failed: Callable[[Actor, Exception], None] = lambda actor, error: None
        self._doomed: list[Actor] = []
        self.points = 0
        self.hub = getcurrent()

    def spawn(
        self,
        name: str,
        host: Host,
        body: Callable[[], None],
        killed: Callable[[], None] | None = None,
        *,
        after_s: float = 0,
    ) -> Actor:
        """A new actor, which begins after a while."""
        actor = Actor(self, name, host, body, killed)
        actor.wake_at = self.now_ms + after_s * 1000
        self.actors.append(actor)
        host.actors.append(actor)
        return actor

    def begin(self, actor: Actor, body: Callable[[], None]) -> None:
        """The whole life of an actor."""
        try:
            body()
        except Dead:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the schedule has failed
            if not actor.is_dead:
                self.failed(actor, error)

    def tell(self, what: str) -> None:
        """Note what happens, for the trace of a schedule that fails."""
        self.trace.append((self.now_ms, current_name(), what))

    def now(self) -> int:
        """UTC by the clock of whoever asks, in milliseconds."""
        return EPOCH_MS + int(self.now_ms) + (actor.host.skew_ms if (actor := current_actor()) is not None else 0)

    def exact(self) -> int:
        """UTC by the clock of the database, in milliseconds."""
        return EPOCH_MS + int(self.now_ms)

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return self.now_ms / 1000

    def sleep(self, seconds: float) -> None:
        """Let others go on for so long. Outside of any actor time just passes."""
        actor = current_actor()
        if actor is None:
            self.now_ms += seconds * 1000
            return
        self.wait(actor, self.now_ms + seconds * 1000)

    def wait(self, actor: Actor, until_ms: float) -> None:
        """Suspend the actor that runs. Whoever has something for it sets its ``wake_at`` to an earlier moment."""
        if actor.is_dead:
            raise Dead
        actor.wake_at = until_ms
        self.hub.switch()
        if actor.is_dead:
            raise Dead
        if actor.alarm is not None:
            actor.alarm(self.now_ms)

    def pass_point(self, name: str, about: str = "") -> None:
        """Where others may go on first, and where a fault may strike. Nothing happens outside of actors."""
        actor = current_actor()
        if actor is None:
            return
        if actor.is_dead:
            raise Dead
        self.points += 1
        dice, weather = self.dice, self.weather
        if dice.random() < weather.switch:
            self.now_ms += dice.randrange(4)
            self.wait(actor, self.now_ms)
        if not self.is_calm and dice.random() < weather.fault:
            self.strike(actor, name)

    def kill(self, actor: Actor, why: str) -> None:
        """SIGKILL: it does nothing any more. Returns only where somebody else is killed than the one that runs."""
        if actor.is_dead:
            return
        actor.is_dead = True
        self.trace.append((self.now_ms, actor.name, f"KILLED {why}"))
        self.actors.remove(actor)
        actor.host.actors.remove(actor)
        self.dropped(actor)
        if actor.killed is not None:
            actor.killed()
        if actor is getcurrent():
            raise Dead
        self._doomed.append(actor)

    def freeze(self, actor: Actor, until_ms: float) -> None:
        """SIGSTOP, until a moment."""
        actor.wake_at = max(actor.wake_at, until_ms)
        actor.is_frozen = True
        if actor is getcurrent():
            self.wait(actor, until_ms)

    def run(self, until: Callable[[], bool], *, most: int) -> None:
        """Let the actors go on until something has come about. Raises Endless after so many turns."""
        for _ in range(most):
            while self._doomed:
                _unwind(self._doomed.pop())
            if until():
                return
            actor = self._next()
            if actor is None:
                raise Endless("nobody has anything to do any more")
            actor.is_frozen = False
            actor.switch()
            if actor.dead and not actor.is_dead:
                self._ended(actor)
        raise Endless(f"no end after {most:,} turns, at {self.now_ms / 1000:.1f} s")

    def _next(self) -> Actor | None:
        ready = [actor for actor in self.actors if actor.wake_at <= self.now_ms]
        if not ready:
            moment = min((actor.wake_at for actor in self.actors), default=NEVER)
            if moment == NEVER:
                return None
            self.now_ms = moment
            ready = [actor for actor in self.actors if actor.wake_at <= moment]
        return ready[0] if len(ready) == 1 else self.dice.choice(ready)

    def _ended(self, actor: Actor) -> None:
        """Its work is done: a client's is, at some time."""
        actor.is_dead = True
        self.actors.remove(actor)
        actor.host.actors.remove(actor)

    def close(self) -> None:
        """Let go of all that is left."""
        for actor in [*self.actors, *self._doomed]:
            actor.is_dead = True
            self.dropped(actor)
            _unwind(actor)
        self.actors.clear()


def _unwind(actor: Actor) -> None:
    if not actor:  # it has not begun yet, or has ended
        return
    for _ in range(100):
        actor.throw(Dead)
        if actor.dead:
            return
    raise AssertionError(f"{actor.name} does not end")


def current_actor() -> Actor | None:
    """The actor that runs; None in the hub."""
    actor = getcurrent()
    return actor if isinstance(actor, Actor) else None


def current_name() -> str:
    actor = current_actor()
    return "world" if actor is None else actor.name
