"""``sandbox``: the whole of fsmflow in one process, in memory, at the pace of a test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any, Final

from fsmflow import clock
from fsmflow import settings as settings_of
from fsmflow.channels import Channel
from fsmflow.clock import HandClock
from fsmflow.engine.runtime import Runtime, installed, stand_in
from fsmflow.errors import did_you_mean, shown
from fsmflow.running.executor import Executor
from fsmflow.running.lease import LEASE_MS
from fsmflow.running.maintenance.sweep import Maintenance
from fsmflow.running.slot import Doing
from fsmflow.running.surroundings import Surroundings
from fsmflow.scope import scope
from fsmflow.settings import MachineSource, Settings
from fsmflow.settings.channels import read_channels
from fsmflow.settings.permissions import read_permissions
from fsmflow.store.link import open_database
from fsmflow.store.memory import MemoryDatabase
from fsmflow.store.store import open_or_create_store
from fsmflow.store.work import Ticket
from fsmflow.testing.doubles import MemoryDoorbell, Nowhere, Watch
from fsmflow.testing.faults import Faults, FaultyRegistry, Killed, SandboxError

#: So much is run in one call of ``run`` or ``advance`` before it is taken for endless.
LIMIT: Final = 100_000

_UNITS: Final = ("weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds")

Machines = MachineSource | Iterable[MachineSource] | None


@scope
def sandbox(
    machines: Machines = None,
    *,
    start: datetime | None = None,
    limit: int = LIMIT,
    database: Any = None,
    permissions: Mapping[str, Any] | None = None,
    channels: Mapping[str, Channel] | None = None,
) -> Iterator[Sandbox]:
    """Inside, all of fsmflow works in memory: no database server, no Redis, no worker, and time stands still.

    ``machines``: classes, or modules to search; as in the settings if not given. ``start``: the moment at which the
    clock begins, now if not given. ``database``: a peewee Database of yours to work on, in which the tables of fsmflow
    are made, in place of SQLite in memory; or its URL. ``permissions``: as ``configure`` takes them; none if not given.
    ``channels``: likewise; if not given, each that is named is there, and what it is told goes nowhere. Nothing runs
    but when the sandbox is told to, by ``run`` and ``advance``.

    It holds for the whole process, other threads included; a sandbox inside it goes before it. Afterwards all is as
    it was configured before, whatever happened inside. Raises ConfigurationError and DefinitionError for machines
    that cannot be used.
    """
    memory = MemoryDatabase() if database is None else None
    opened = open_database(database) if isinstance(database, str) else None
    box = None
    try:
        given = None if permissions is None else read_permissions(permissions)
        led = Nowhere() if channels is None else read_channels(channels)
        settings = Settings(
            database=memory or opened or database, machines=_sources(machines), permissions=given, channels=led
        )
        box = Sandbox(settings, HandClock(_beginning(start)), limit)
        with installed(box._runtime):  # noqa: SLF001 - the box is made here
            yield box
    finally:
        if box is not None:
            box._is_closed = True  # noqa: SLF001 - the box is made here
        if memory is not None:
            memory.dismiss()
        if opened is not None and not opened.is_closed():
            opened.close()


def _sources(machines: Machines) -> tuple[MachineSource, ...]:
    if machines is None:
        outer = stand_in()
        chosen = outer.settings if outer is not None else settings_of.chosen()
        # Those of the environment are read without being kept: what is configured must not depend on a test.
        return (chosen or settings_of.from_environment()).machines
    if isinstance(machines, (str, type, ModuleType)):
        return (machines,)
    return tuple(machines)


def _beginning(start: datetime | None) -> int:
    if start is None:
        return clock.local_now()
    if start.utcoffset() is None:
        raise SandboxError(
            f"start={start!r} has no time zone; give an aware datetime, such as datetime(..., tzinfo=UTC)"
        )
    return clock.from_datetime(start)


class _Budget:
    """What one call may run. What never ends is told, not waited for."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.spent = 0
        self.attempts = 0

    def spend(self, count: int, now: datetime) -> None:
        self.spent += count
        if self.spent > self.limit:
            raise SandboxError(
                f"more than {self.limit:,} jobs and timers ran in one call, and at {now.isoformat()} more were due: "
                f"does a machine go round in circles without an end? If it is meant to, take shorter steps with "
                f"advance(), or give sandbox(limit=...)"
            )


class Sandbox:
    """Made by ``sandbox``. Runs what is due when it is told to, in the thread that tells it, and moves the clock."""

    def __init__(self, settings: Settings, hand_clock: HandClock, limit: int) -> None:
        # In a test of a framework's the tables are there, and a transaction is open that others must not wait for.
        store = open_or_create_store(settings)
        self._database = settings.database
        store.clock = hand_clock
        self._clock = hand_clock
        self._limit = limit
        self._faults = Faults()
        self._machines = FaultyRegistry(settings.machines, self._faults)
        self._doorbell = MemoryDoorbell(store.installation)
        self._runtime = _SandboxRuntime(self, settings, store, machines=self._machines, doorbell=self._doorbell)
        queues = [queue for definition in self._machines.all().values() for queue in definition.queues]
        self._maintenance = Maintenance(self._runtime, dict.fromkeys(queues))
        #: The attempts that are being run, as entity row and owner of the claim.
        self._running: set[tuple[int, str]] = set()
        self._surroundings: Surroundings | None = None
        self._is_closed = False

    @property
    def now(self) -> datetime:
        """The moment at which the clock of the sandbox stands, in UTC."""
        return clock.to_datetime(self._clock.now())

    @property
    def next_due(self) -> datetime | None:
        """When something becomes due by itself: a timer, a retry, a schedule. None where nothing will."""
        self._check_open()
        moment = self._maintenance.next_due()
        return None if moment is None else clock.to_datetime(moment)

    @property
    def database(self) -> Any:
        """The peewee Database of the sandbox. For what shares a database with fsmflow (a ``status_field``, the writes
        of transactional jobs), bind your models to it and create their tables: ``box.database.bind_ctx([OrderRow])``.
        """
        self._check_open()
        return self._database

    def run(self) -> int:
        """Run all that is due now, and what follows from it, until nothing is due; how many attempts of jobs ran.

        The clock stands still meanwhile. Raises SandboxError where there is no end to it, and for entities of
        machines that the sandbox was not given.
        """
        return self._go(self._clock.now()).attempts

    def advance(self, by: timedelta | float | None = None, /, **units: float) -> int:
        """Let time pass: ``advance(days=3)``, a timedelta, or seconds; how many attempts of jobs ran meanwhile.

        What is due now runs first. Then the clock stops at each moment at which something becomes due, and it runs
        there, and so does what follows from it. Raises what ``run`` raises.
        """
        return self._go(self._clock.now() + clock.to_ms(self._duration(by, units))).attempts

    def fail(self, name: str, error: BaseException | type[BaseException], *, times: int = 1) -> None:
        """Have the next ``times`` attempts of a job, or of a state's job, raise ``error`` in place of running.

        What the state's ``retry`` says then applies. Raises SandboxError for a name that no machine has.
        """
        self._check_open()
        self._machines.check_name(name)
        self._faults.fail(name, error, times)

    def crash(self, name: str, *, times: int = 1, after_job: bool = False) -> None:
        """Have the next ``times`` attempts of a job, or of a state's job, be lost as if their worker had been killed.

        The attempt is claimed and then lost before its job has begun; with ``after_job`` once the job has run: what
        it did outside has happened, and what it returned is lost. Raises SandboxError for a name that no machine has.
        """
        self._check_open()
        self._machines.check_name(name)
        self._faults.crash(name, times, after_job=after_job)

    def _go(self, until: int) -> _Budget:
        """Run what is due up to a moment; what that came to."""
        self._check_open()
        link = self._runtime.store.link
        if link.in_transaction:
            raise SandboxError("a transaction is open on the database of the sandbox; run() belongs after its commit")
        if (found := link.stranger()) is not None:
            raise SandboxError(
                f"{found.what}, and jobs would wait for what it has locked; run() belongs after its commit"
            )
        budget = _Budget(self._limit)
        if not _is_in_event_loop():
            self._run_until(until, budget)
        else:
            # Each async job has an event loop of its own, and a thread can be in one only.
            with ThreadPoolExecutor(1) as pool:
                pool.submit(copy_context().run, self._run_elsewhere, until, budget).result()
        return budget

    def _run_elsewhere(self, until: int, budget: _Budget) -> None:
        try:
            self._run_until(until, budget)
        finally:
            self._runtime.store.link.forget_connection()

    def _run_until(self, until: int, budget: _Budget) -> None:
        # Of this run alone: one that a job asks for has surroundings of its own.
        before, self._surroundings = self._surroundings, Surroundings()
        try:
            self._run_here(until, budget)
        finally:
            self._surroundings = before

    def _run_here(self, until: int, budget: _Budget) -> None:
        with installed(self._runtime):
            stirred = self._clock.now()
            self._run_now(budget)
            while (moment := self._next_stop(stirred)) is not None and moment <= until:
                self._clock.move_to(moment)
                if self._run_now(budget):
                    stirred = moment
            self._clock.move_to(until)
            self._run_now(budget)

    def _next_stop(self, stirred: int) -> int | None:
        """When something becomes due, or alarms begin or end that workers would look for meanwhile."""
        moments = (self._maintenance.next_due(), self._maintenance.next_look(stirred))
        return min((moment for moment in moments if moment is not None), default=None)

    def _run_now(self, budget: _Budget) -> bool:
        """Run what is due until nothing is; whether there was anything."""
        before = budget.spent
        while self._answer(budget) + self._sweep(budget):
            pass
        return budget.spent > before

    def _answer(self, budget: _Budget) -> int:
        """Run the attempts that were rung for; how many tickets there were."""
        answered = 0
        while (ticket := self._doorbell.take()) is not None:
            answered += 1
            budget.attempts += self._execute(ticket)
            budget.spend(1, self.now)
        return answered

    def _sweep(self, budget: _Budget) -> int:
        # Time moves in leaps here, and an attempt may be running: the leap itself must not be taken for its death.
        self._runtime.store.work.renew(list(self._running), lease_until=self._clock.now() + LEASE_MS)
        handled = self._maintenance.sweep()
        self._check_machines()
        budget.spend(handled, self.now)
        return handled

    def _execute(self, ticket: Ticket) -> bool:
        """Run one attempt, as a worker and its supervisor do. Whether a job was run."""
        watch = Watch(self._faults, self._note)
        try:
            self._runtime.ring_for(Executor(self._runtime, watch, self._surroundings).execute(ticket))
        except Killed:
            self._runtime.store.link.roll_back_open_transaction()
            self._maintenance.lost(ticket.row, watch.doing.owner, "its worker was killed by crash() of the sandbox")
        finally:
            self._running.discard((ticket.row, watch.doing.owner))
        self._check_machines()
        return watch.has_run

    def _note(self, doing: Doing) -> None:
        self._running.add((doing.row, doing.owner))

    def _check_machines(self) -> None:
        missing, self._machines.missing = self._machines.missing, None
        if missing is not None:
            raise SandboxError(f"{missing}. Name it in sandbox(machines=[...])") from missing

    def _check_open(self) -> None:
        if self._is_closed:
            raise SandboxError("this sandbox has been left; open another one with sandbox(...)")

    def _duration(self, by: timedelta | float | None, units: dict[str, float]) -> timedelta:
        wrong = next((unit for unit in units if unit not in _UNITS), None)
        if wrong is not None:
            raise SandboxError(f"advance({wrong}=...){did_you_mean(wrong, _UNITS)}; it takes {', '.join(_UNITS)}")
        if (by is None) == (not units):
            raise SandboxError("advance() takes one duration: advance(days=3), a timedelta, or seconds")
        try:
            duration = by if isinstance(by, timedelta) else timedelta(**units) if by is None else timedelta(seconds=by)
            self.now + duration
        except (TypeError, ValueError, OverflowError) as error:
            raise SandboxError(f"advance({shown(by if by is not None else units)}): {error}") from error
        if duration < timedelta():
            raise SandboxError(f"advance({shown(by if by is not None else units)}): time does not go back")
        return duration

    def _idle(self) -> None:
        """What waiting comes to where nothing happens by itself: run what is due. Raises TimeoutError if nothing is."""
        if self._go(self._clock.now()).spent:
            return
        due = self.next_due
        hint = "fire the trigger that it takes"
        if due is not None:
            hint = f"the next timer or retry is due in {due - self.now}: let that time pass with advance()"
        raise TimeoutError(f"nothing is due in this sandbox, so what is waited for never comes by itself; {hint}")


def _is_in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _SandboxRuntime(Runtime):
    """The runtime of a sandbox: whoever waits in it has it run what is due. One thing is done after the other."""

    stays_here = True

    def __init__(self, box: Sandbox, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._box = box

    def idle(self, seconds: float) -> None:
        """Run what is due now. Raises TimeoutError where nothing is: nothing else will ever bring it about."""
        self._box._idle()  # noqa: SLF001 - a part of the box

    def rest(self, seconds: float) -> None:
        """Nobody else is there who could go on."""
