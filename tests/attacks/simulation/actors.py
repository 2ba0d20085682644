"""Hosts with supervisors and workers: simulated processes that run the real ``Maintenance`` and ``Executor``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from fsmflow.engine.runtime import Runtime
from fsmflow.errors import DatabaseUnavailable, FsmflowError
from fsmflow.points import point
from fsmflow.running.executor import Executor
from fsmflow.running.lease import LEASE_MS
from fsmflow.running.limits import TimeLimit, TimeUp
from fsmflow.running.maintenance.sweep import Maintenance
from fsmflow.running.slot import RUNNING, SETTLING, Doing, Slot
from fsmflow.running.successor import Successor
from tests.attacks.simulation.doorbell import SimulatedDoorbell
from tests.attacks.simulation.gathering import BESIDE, Gathering
from tests.attacks.simulation.world import Actor, Dead, Host, World, current_actor
from tests.support.ahead import Ahead

RENEW_S: Final = 5.0
SWEEP_S: Final = 1.0
OVERRUN_S: Final = 5.0
_LONGEST_S: Final = 60.0


class SimulatedSlot(Slot):
    """Memory shared with the supervisor: it outlives the worker."""

    def __init__(self) -> None:
        self.doing = Doing(state=0)

    def write(self, doing: Doing) -> None:
        """Note what the worker does."""
        actor = current_actor()
        if actor is not None and actor.is_dead:
            raise Dead
        self.doing = doing

    def held(self) -> Doing | None:
        """The attempt that is held, or was when the worker died."""
        return self.doing if self.doing.state in (RUNNING, SETTLING) and self.doing.owner else None


class SimulatedLimit(TimeLimit):
    """A time limit in virtual time: it strikes where the actor goes on."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """The limit counts inside."""
        actor = current_actor()
        limit_s = self.deadline - self.began
        if limit_s == float("inf") or actor is None:
            yield
            return
        self._armed = True
        deadline = actor.world.now_ms + limit_s * 1000
        actor.alarm = lambda now: self._strike(now, deadline)
        try:
            yield
        finally:
            self.disarm()

    def disarm(self) -> None:
        """End the limit."""
        actor = current_actor()
        self._armed = False
        if actor is not None:
            actor.alarm = None

    def _strike(self, now: float, deadline: float) -> None:
        if now > deadline and self._armed:
            if self._shielded:
                self._due = True
                return
            raise TimeUp


@dataclass
class _Lost:
    row: int
    owner: str
    released: bool


@dataclass(frozen=True)
class Manners:
    """Whether workers go straight on with the next step of an entity, whether they take several at once, and whether
    they take doorbells ahead."""

    runs_on: bool
    gathers: bool
    draws: bool


@dataclass(eq=False)
class Machinery:
    """What the hosts of a schedule share."""

    world: World
    runtime: Runtime
    doorbell: SimulatedDoorbell
    queues: tuple[str, ...]
    #: How long nothing will be due, in seconds: a real sweeper looks every second, in virtual time that is in vain.
    idle_s: Callable[[], float]
    manners: Manners


@dataclass(eq=False)
class WorkerHost:
    """A host with one supervisor: a few workers, leases, and maintenance."""

    shared: Machinery
    name: str
    workers: int
    host: Host = field(init=False)
    _slots: dict[Actor, list[SimulatedSlot]] = field(default_factory=dict)
    _lost: deque[_Lost] = field(default_factory=deque)
    _sweeper: Actor = field(init=False)
    _maintenance: Maintenance = field(init=False)
    _lives: int = 0

    def start(self, after_s: float = 0) -> None:
        """Start the supervisor, anew after the host was lost."""
        self._lives += 1
        life = self._lives
        self.host = Host(f"{self.name}{life}")
        self._slots, self._lost = {}, deque()
        self._maintenance = Maintenance(self.shared.runtime, self.shared.queues)
        world = self.shared.world
        for name, body in (("sweeper", self._maintain), ("leases", self._renew)):
            actor = world.spawn(f"{self.host.name}/{name}", self.host, body, lambda: self.lose(life), after_s=after_s)
            if name == "sweeper":
                self._sweeper = actor
        for number in range(self.workers):
            self._hire(number, after_s)

    def _hire(self, number: int, after_s: float) -> None:
        slots = [SimulatedSlot() for _ in range(1 + BESIDE * self.shared.manners.gathers + self.shared.manners.draws)]
        name = f"{self.host.name}/worker{number}"
        actor = self.shared.world.spawn(
            name, self.host, lambda: self._work(slots), lambda: self._bury(actor, number), after_s=after_s
        )
        self._slots[actor] = slots

    def _bury(self, actor: Actor, number: int) -> None:
        """The supervisor finds its worker dead, and starts another."""
        slots = self._slots.pop(actor, None)
        if slots is None:
            return
        world = self.shared.world
        for held in _held(slots):
            self._lost.append(_Lost(held.row, held.owner, released=world.dice.random() < 0.2))
            if not self._sweeper.is_frozen:
                self._sweeper.wake_at = min(self._sweeper.wake_at, world.now_ms + 10)
        self._hire(number, world.dice.uniform(0.1, 1))

    def lose(self, life: int | None = None) -> None:
        """The whole host is gone at once; another one comes after a while."""
        if life not in (None, self._lives):
            return
        world, running = self.shared.world, current_actor()
        doomed = list(self.host.actors)
        self.start(after_s=world.dice.uniform(0.5, 30))
        for actor in doomed:
            if actor is not running:
                world.kill(actor, "with its host")
        if running in doomed:
            world.kill(running, "with its host")

    def _work(self, slots: Sequence[SimulatedSlot]) -> None:
        shared, actor = self.shared, current_actor()
        if actor is None:
            raise AssertionError("a worker is an actor")
        reserve = Ahead(shared.doorbell.take_more)
        successor = Successor(shared.runtime, reserve, slots[-1]) if shared.manners.draws else None
        executor = Executor(
            shared.runtime, slots[0], goes_on=lambda steps: True, run_on=shared.manners.runs_on, successor=successor
        )
        gathering = Gathering(shared.runtime, slots[1:], executor)
        while True:
            ticket = shared.doorbell.take(actor)
            try:
                if shared.manners.gathers:
                    gathering.work([ticket, *shared.doorbell.take_more(BESIDE - 1)])
                elif shared.manners.draws:
                    for each in reserve.after(ticket):
                        shared.runtime.ring_for(executor.execute(each))
                else:
                    shared.runtime.ring_for(executor.execute(ticket))
            except DatabaseUnavailable:
                shared.world.sleep(0.1)

    def _renew(self) -> None:
        shared = self.shared
        while True:
            owners = [claim for pair in list(self._slots.items()) for claim in self._renewable(*pair)]
            wait_s = RENEW_S
            try:
                point("renew.before", 0)
                shared.runtime.store.work.renew(owners, lease_until=shared.runtime.now() + LEASE_MS)
            except DatabaseUnavailable:
                self._maintenance.no_renewals()
                wait_s = 0.2
            shared.world.sleep(wait_s)

    def held_by(self, actor: Actor) -> list[Doing]:
        """What a worker of this host holds."""
        return _held(self._slots.get(actor, ()))

    def _renewable(self, actor: Actor, slots: Sequence[SimulatedSlot]) -> list[tuple[int, str]]:
        if actor.is_frozen:
            return []
        now = self.shared.world.monotonic()
        return [(held.row, held.owner) for held in _held(slots) if held.state == RUNNING and now < held.deadline]

    def _maintain(self) -> None:
        shared = self.shared
        while True:
            try:
                while self._lost:
                    self._end(self._lost[0])
                    self._lost.popleft()
                self._maintenance.sweep()
            except DatabaseUnavailable:
                shared.world.tell("the database is away")
            self._kill_overruns()
            shared.world.sleep(max(SWEEP_S, min(shared.idle_s(), _LONGEST_S)))

    def _end(self, lost: _Lost) -> None:
        try:
            if lost.released:
                self._maintenance.released(lost.row, lost.owner)
            else:
                self._maintenance.lost(lost.row, lost.owner, "its worker process was killed")
        except DatabaseUnavailable:
            raise
        except FsmflowError as error:
            # As the supervisor does: it is logged, and the lease runs out.
            self.shared.world.tell(f"not ended at once: {error}")

    def _kill_overruns(self) -> None:
        now = self.shared.world.monotonic()
        for actor, slots in list(self._slots.items()):
            if any(held.state == RUNNING and now > held.deadline + OVERRUN_S for held in _held(slots)):
                self.shared.world.kill(actor, "overran its limit")


def _held(slots: Sequence[SimulatedSlot]) -> list[Doing]:
    return [held for held in (slot.held() for slot in slots) if held is not None]
