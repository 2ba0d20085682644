"""Clients: programs that start entities and ask things of them, and that remember what they were promised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from fsmflow import Machine
from fsmflow.errors import DatabaseUnavailable, EntityNotFound, FsmflowError
from tests.attacks.simulation.machines import Design
from tests.attacks.simulation.oracle import Oracle, Violation
from tests.attacks.simulation.world import World

REQUESTS: Final = ("go", "go", "go", "poke", "poke", "retry", "resume", "pause", "cancel", "again", "back", "undo")
#: Of one who stops and lets go, time and again.
PAUSES: Final = ("pause", "resume", "resume")
RARE: Final = ("skip", "rewind", "force")


#: How many entries a request may lead to at most, and whether it may find nothing to do.
_MOST: Final = {"resume": 2, "undo": 2}
_MAY_DO_NOTHING: Final = frozenset({"pause", "resume"})


@dataclass
class Request:
    """Something that was asked for, and what its caller has learnt of it: None while that is nothing."""

    number: int
    name: str
    entity_id: str
    acknowledged: bool | None = None

    @property
    def what(self) -> str:
        return f"{self.name} {self.entity_id}"

    def check(self, oracle: Oracle) -> None:
        """What was acknowledged has happened once, what was refused has not, and of the rest nobody knows."""
        if self.name == "start":
            there = any(known.address.partition(":")[2] == self.entity_id for known in oracle.known.values())
            if self.acknowledged and not there:
                raise Violation(f"4 start {self.entity_id} was acknowledged, and it is not there")
            return
        least = int(self.acknowledged is True and self.name not in _MAY_DO_NOTHING)
        most = 0 if self.acknowledged is False else _MOST.get(self.name, 1)
        oracle.check_received(self.number, f"request {self.number} ({self.what})", least=least, most=most)


class Client:
    """Asks so many things, one after the other, and dies in the midst of it where the weather is bad."""

    def __init__(
        self,
        world: World,
        design: Design,
        requests: list[Request],
        ids: list[str],
        words: tuple[str, ...] = REQUESTS,
    ) -> None:
        self._words = words
        self._world = world
        self._design = design
        self._requests = requests
        self._ids = ids
        self._keyed: tuple[Request, Callable[[], Any]] | None = None

    def run(self, count: int) -> None:
        """Ask; what was begun with a key by a client that died is asked again first."""
        if self._keyed is not None:
            self._ask(*self._keyed)
        for _ in range(count):
            self._world.sleep(self._world.dice.choice([0, 0.05, 1, 10]))
            self._one()

    def _one(self) -> None:
        dice, machine = self._world.dice, self._design.machine
        number = len(self._requests)
        if not self._ids or (len(self._ids) < 3 and dice.random() < 0.4):
            self._start(number)
            return
        entity_id = dice.choice(self._ids)
        name = dice.choice(self._words if dice.random() < 0.95 else RARE)
        request = Request(number, name, entity_id)
        self._requests.append(request)
        if name in ("go", "poke", "again", "back"):
            key = f"k{number}" if dice.random() < 0.5 else None
            action = lambda: machine.get(entity_id).trigger(name, key=key, op=number)  # noqa: E731
            if key is not None:
                self._keyed = (request, action)
            self._ask(request, action)
        else:
            self._ask(request, lambda: self._operate(machine.get(entity_id), name, f"op {number}"))

    def _start(self, number: int) -> None:
        dice, machine = self._world.dice, self._design.machine
        entity_id = f"e{len(self._ids)}"
        self._ids.append(entity_id)
        size = dice.randrange(4)
        data = {"size": size, "items": list(range(size))}
        request = Request(number, "start", entity_id)
        self._requests.append(request)
        try:
            adopted = {"state": "s1"} if dice.random() < 0.1 else {}
            machine.start(entity_id, data, if_exists="return", **adopted)
            request.acknowledged = True
        except DatabaseUnavailable as error:
            self._world.tell(f"start {entity_id}: {error}")

    def _operate(self, handle: Machine, name: str, reason: str) -> Any:
        if name == "rewind":
            return handle.rewind(self._world.dice.choice(["s1", "new"]), reason=reason)
        if name == "force":
            return handle.force(self._world.dice.choice(["s1", "new"]), reason=reason)
        return getattr(handle, name)(reason=reason)

    def _ask(self, request: Request, action: Callable[[], Any]) -> None:
        try:
            action()
            request.acknowledged = True
        except EntityNotFound:
            request.acknowledged = False
        except DatabaseUnavailable as error:
            self._world.tell(f"{request.what}: {error}")
        except FsmflowError as error:
            self._world.tell(f"{request.what} refused: {type(error).__name__}")
            if request.acknowledged is None:
                request.acknowledged = False
        self._keyed = None
