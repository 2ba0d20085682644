"""One life of a process that is client, worker and supervisor by turns, until SIGKILL at a point, or until all is done.

What the operating system would keep of a process that dies stands on the board: memory that a parent shares with the
children that it forks. All else dies with them, and is found again in the database and in Redis, which are real.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import fsmflow
from fsmflow import points
from fsmflow.clock import Clock, to_datetime
from fsmflow.definition.names import OPERATIONS
from fsmflow.engine import runtime as runtime_of
from fsmflow.engine.runtime import Runtime
from fsmflow.points import POINTS
from fsmflow.running.executor import Executor
from fsmflow.running.maintenance.sweep import Maintenance
from fsmflow.running.slot import IDLE, RUNNING, SETTLING, Doing, Slot
from fsmflow.running.successor import Successor
from fsmflow.settings import Settings
from fsmflow.store.store import open_store
from fsmflow.store.work import Ticket
from tests.attacks.killed.checks import faults_of, shape_of
from tests.attacks.killed.kinds import Kind
from tests.attacks.killed.machines import tell_to
from tests.support.ahead import Ahead

NAMES = list(POINTS)
QUEUES = ("default", "slow", OPERATIONS)
#: So many rounds are taken for an endless one.
ROUNDS = 400
_TRACE = 20_000


class Board(ctypes.Structure):
    """Shared by all lives of a run."""

    _fields_ = (
        ("now", ctypes.c_int64),
        ("began", ctypes.c_int64),
        ("deaths", ctypes.c_int32),
        ("called", ctypes.c_int32),
        ("returned", ctypes.c_int32),
        ("first_row", ctypes.c_int64),
        ("length", ctypes.c_int32),
        ("died_at", ctypes.c_int32 * 8),
        ("trace", ctypes.c_uint8 * _TRACE),
    )

    def begin(self) -> None:
        """Forget the run before; time goes on."""
        self.began = self.now
        self.deaths = self.called = self.returned = self.length = self.first_row = 0

    def passed(self, life: int) -> list[str]:
        """The points that were passed in the n-th life, in order, that of its death among them."""
        start = self.died_at[life - 1] if life else 0
        end = self.died_at[life] if life < self.deaths else self.length
        return [NAMES[number] for number in self.trace[start:end]]


@dataclass(frozen=True)
class Death:
    """Die at the ``count``-th passing of a point in a life. ``then``: what others make of it: ``lost`` (its supervisor
    sees it), ``lease`` (nobody does), ``released`` (it was told to stop at once), ``flushed`` (Redis is empty too)."""

    point: str
    count: int = 1
    then: str = "lost"

    def __str__(self) -> str:
        return f"{self.point}~{self.count}:{self.then}"


@dataclass(frozen=True)
class Plan:
    """An entity of a kind, and where its processes die."""

    kind: Kind
    deaths: tuple[Death, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind.name}: {' + '.join(map(str, self.deaths)) or 'no death'}"


@dataclass
class Outcome:
    """What came of a plan. ``lives``: the points that each life passed."""

    plan: Plan
    lives: list[list[str]] = field(default_factory=list)
    shape: dict[str, list[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class _BoardClock(Clock):
    def __init__(self, board: Board) -> None:
        super().__init__(lambda: board.now)
        self._board = board

    def now(self) -> int:
        return int(self._board.now)


class Life:
    """The work of one child process."""

    def __init__(
        self, plan: Plan, board: Board, slot: Slot, *, run: str, place: tuple[str, str], effects: Path
    ) -> None:
        self._plan, self._board, self._slot, self._run = plan, board, slot, run
        self._passed: dict[str, int] = {}
        database_url, redis_url = place
        machines = self.kind.all_machines
        settings = Settings(database_url=database_url, redis_url=redis_url, machines=machines)
        fsmflow.configure(database_url=database_url, redis_url=redis_url, machines=machines)
        store = open_store(settings)
        store.clock = _BoardClock(board)
        self.runtime = Runtime(settings, store)
        self._maintenance = Maintenance(self.runtime, QUEUES)
        # It stands for one that has seen the database answer for long.
        self._maintenance._losses.answers_since = float("-inf")
        self._effects = effects
        # On a server a worker goes straight on with the next step, on SQLite each takes a doorbell.
        self._runs_on = not database_url.startswith("sqlite")
        tell_to(effects)

    def live(self, shape: dict[str, list[str]] | None) -> tuple[dict[str, list[str]], list[str]]:
        """Go on to the end; the shape of all histories, and what is wrong with them. Or be killed on the way."""
        if not self._board.first_row:
            self._board.first_row = self._last_row() + 1
        with runtime_of.installed(self.runtime):
            self._recover()
            for _ in range(ROUNDS):
                if not (self._call() or self._work() or self._sweep() or self._wait()):
                    break
            else:
                return {}, [f"no end after {ROUNDS} rounds"]
            points.listen(None)
            found = shape_of(self)
            return found, faults_of(self, found, shape)

    @property
    def kind(self) -> Kind:
        return self._plan.kind

    @property
    def run(self) -> str:
        return self._run

    @property
    def began(self) -> datetime:
        return to_datetime(self._board.began)

    @property
    def counts_crashes(self) -> bool:
        """Whether each run that was cut off has been counted as a crash."""
        return all(death.then != "released" for death in self._plan.deaths)

    @property
    def deaths(self) -> int:
        return int(self._board.deaths)

    @property
    def calls_returned(self) -> int:
        return int(self._board.returned)

    @property
    def effects(self) -> list[tuple[str, str, str]]:
        """The runs of jobs, as address, state and idempotency key."""
        text = self._effects.read_text() if self._effects.exists() else ""
        lines = [line.split(" ") for line in text.splitlines() if not line.startswith("-")]
        return [(address, state, key) for address, state, key in lines]

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """What a query gives; ``?`` stands for a value."""
        link = self.runtime.store.link
        return link.rows(sql.replace("?", link.mark), values)

    @property
    def first_row(self) -> int:
        return int(self._board.first_row)

    def _last_row(self) -> int:
        ((last,),) = self.rows("SELECT COALESCE(MAX(id), 0) FROM fsmflow_entity")
        return int(last)

    def _recover(self) -> None:
        """Do what a supervisor does that sees its worker process gone; a killed supervisor, or client, does nothing."""
        doings = [slot.read() for slot in (self._slot, self._slot.successor)]
        for slot in (self._slot, self._slot.successor):
            slot.write(Doing(state=IDLE))
        deaths = self._plan.deaths[: self._board.deaths]
        then = deaths[-1].then if deaths else ""
        if then == "flushed":
            self.runtime.doorbell.client().flushall()
        if not deaths:
            self.runtime.doorbell.set_marker()
        points.listen(self._pass)
        held = [it for it in doings if it is not None and it.state in (RUNNING, SETTLING) and it.owner]
        for row, owner in {(doing.row, doing.owner) for doing in held}:
            if then in ("lost", "flushed"):
                self._maintenance.lost(row, owner, "its process was killed")
            elif then == "released":
                self._maintenance.released(row, owner)

    def _pass(self, name: str, about: str) -> None:
        board = self._board
        board.trace[board.length] = NAMES.index(name)
        board.length += 1
        self._passed[name] = self._passed.get(name, 0) + 1
        planned = self._plan.deaths[board.deaths :][:1]
        if planned and (planned[0].point, planned[0].count) == (name, self._passed[name]):
            board.died_at[board.deaths] = board.length
            board.deaths += 1
            os.kill(os.getpid(), signal.SIGKILL)

    def _call(self) -> bool:
        """Make the next call of the client; that in which it died once more."""
        calls, board = self.kind.calls, self._board
        if board.returned == len(calls):
            return False
        number = board.returned
        call = calls[number]
        if board.called == number:
            if number and not call.when(self.kind.machine.get(self._run)):
                return False
            board.called += 1
        call.do(self.kind.machine, self._run, f"key-{number}")
        board.returned += 1
        return True

    def _work(self) -> bool:
        """Answer the first doorbell, and those that are taken ahead."""
        first = self._take(1)
        if not first:
            return False
        reserve = Ahead(self._take)
        successor = Successor(self.runtime, reserve, self._slot.successor)
        executor = Executor(
            self.runtime, self._slot, goes_on=lambda steps: True, run_on=self._runs_on, successor=successor
        )
        for ticket in reserve.after(first[0]):
            self.runtime.ring_for(executor.execute(ticket))
        return True

    def _take(self, most: int) -> list[Ticket]:
        """The first doorbells of the first queue that has any."""
        client = self.runtime.doorbell.client()
        for queue in QUEUES:
            ids: Any = client.lpop(f"rq:queue:{self.runtime.doorbell.rq_queue(queue)}", most) or []
            for id_ in ids:
                client.delete(f"rq:job:{id_.decode()}")
            if ids:
                return [_ticket(id_.decode()) for id_ in ids]
        return []

    def _sweep(self) -> bool:
        return self._maintenance.sweep(in_turn=False) > 0

    def _wait(self) -> bool:
        """Let time pass up to what is due next. False where nothing is left to be done."""
        if self._is_over():
            return False
        # Leases have nobody to renew them by now: whoever held one is dead.
        ((lease_ends,),) = self.rows("SELECT MIN(lease_until) FROM fsmflow_work WHERE lease_until > ?", self._board.now)
        moments = [moment for moment in (self._maintenance.next_due(), lease_ends) if moment is not None]
        self._board.now = min(moments, default=self._board.now)
        return bool(moments)

    def _is_over(self) -> bool:
        if self._board.returned < len(self.kind.calls) or self._last_row() < self.first_row:
            return False
        return not self.left_over()

    def left_over(self) -> list[tuple[str, str]]:
        """What is still to be done: rows of work, and messages and tasks on their way, with their kinds."""
        work = self.rows("SELECT 'work', kind FROM fsmflow_work WHERE entity >= ?", self.first_row)
        sql = "SELECT 'event', kind FROM fsmflow_event WHERE entity >= ? AND kind IN ('sent', 'align', 'kept')"
        return [*work, *self.rows(sql, self.first_row)]


def _ticket(id_: str) -> Ticket:
    row, epoch, attempt, dispatch = map(int, id_.split("-")[1:])
    return Ticket(row=row, epoch=epoch, attempt=attempt, dispatch=dispatch)


def counted(passed: Sequence[str]) -> dict[str, int]:
    """How often each point was passed, in the order of first passing."""
    found: dict[str, int] = {}
    for name in passed:
        found[name] = found.get(name, 0) + 1
    return found
