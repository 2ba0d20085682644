"""What stands in a sandbox for Redis and for a worker's supervisor."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from fsmflow.channels import Channel, Log
from fsmflow.dispatch.doorbell import Doorbell, Ring
from fsmflow.dispatch.listeners import Listener
from fsmflow.errors import RedisUnavailable
from fsmflow.running.slot import RUNNING, SETTLING, Doing, Slot
from fsmflow.store.work import Ticket
from fsmflow.testing.faults import Faults, Killed


class Nowhere(dict[str, Channel]):
    """A channel of any name, which leads nowhere: whatever it takes is taken."""

    def __missing__(self, _: str) -> Channel:
        return Log("DEBUG")


class MemoryDoorbell(Doorbell):
    """Keeps what is rung for in a list, first in, first out; it is always there and loses nothing."""

    def __init__(self, installation: str) -> None:
        self.installation = installation
        self.failures = 0
        self._tickets: deque[Ticket] = deque()
        self._queues: set[str] = set()

    def take(self) -> Ticket | None:
        """The ticket that has waited longest, which is then gone; None where none waits."""
        try:
            return self._tickets.popleft()
        except IndexError:
            return None

    def ring(self, rings: Sequence[Ring], *, insist: bool = False) -> bool:
        """Keep a ticket for each."""
        for ticket, queue in rings:
            self._queues.add(queue)
            self._tickets.append(ticket)
        return True

    def add(self, pipe: Any, rings: Iterable[Ring]) -> None:
        """Keep a ticket for each: there is no pipeline."""
        self.ring(list(rings))

    def rung(self) -> frozenset[str]:
        """The queues that were rung in."""
        return frozenset(self._queues)

    def has_marker(self) -> bool:
        """True: nothing has been lost."""
        return True

    def set_marker(self) -> None:
        """Nothing is ever lost, so there is nothing to tell it by."""

    def appear(self, name: str) -> None:
        """A sandbox has no supervisors."""

    def disappear(self, name: str) -> None:
        """A sandbox has no supervisors."""

    def absent(self, process: str) -> None:
        """A sandbox has no worker processes."""

    def listeners(self) -> list[Listener]:
        """None: the sandbox runs all jobs itself."""
        return []

    def place_of(self, ring: Ring) -> int | None:
        """None: what waits is run first."""
        return None

    def gone(self) -> list[str]:
        """Nobody."""
        return []

    def astray(self, rings: Sequence[Ring], dead: Sequence[str]) -> set[int]:
        """What waits is run first."""
        return set()

    def take_turn(self, for_ms: int) -> int:
        """0: a sandbox has one sweeper."""
        return 0

    def keep_turn(self, for_ms: int) -> None:
        """Nobody else waits for it."""

    def announce(self, queues: Iterable[str]) -> None:
        """Tell that the sandbox runs the jobs of these queues."""
        self._queues.update(queues)

    def withdraw(self, queues: Iterable[str]) -> None:
        """The sandbox goes on running the jobs of all queues."""

    def listened(self) -> set[str]:
        """All queues that were ever named: the sandbox runs the jobs of each."""
        return set(self._queues)

    def oldest(self, queues: Iterable[str]) -> dict[str, int | None]:
        """No queue has anything left when it is asked: what waits is run first."""
        return dict.fromkeys(queues)

    def forget(self) -> None:
        """There is no connection to drop."""

    def url(self) -> NoReturn:
        """Raises RedisUnavailable."""
        raise RedisUnavailable("a sandbox has no Redis; fsmflow.configure() chooses one, outside of the sandbox")

    def client(self) -> NoReturn:
        """Raises RedisUnavailable."""
        self.url()


class Watch(Slot):
    """One attempt, as a supervisor sees it: what it holds, and that its worker dies where that is planned."""

    def __init__(self, faults: Faults, note: Callable[[Doing], None]) -> None:
        self._faults = faults
        self._note = note
        self.doing = Doing(state=RUNNING)
        self.has_run = False

    def write(self, doing: Doing) -> None:
        """Note what the executor does now. Raises Killed in place of the settlement of a lost attempt."""
        if doing.state in (RUNNING, SETTLING):
            self.doing = doing
            self._note(doing)
        if doing.state == SETTLING:
            self.has_run = True
            if self._faults.is_killed(doing.owner):
                raise Killed
