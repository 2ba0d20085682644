"""What one process works with: the store, the doorbell and the machines of the settings in force."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fsmflow import clock, log, release
from fsmflow import settings as settings_of
from fsmflow.decision.entity import Snapshot
from fsmflow.engine.counting import Counting
from fsmflow.engine.registry import Registry
from fsmflow.errors import ConfigurationError
from fsmflow.points import point
from fsmflow.scope import scope
from fsmflow.settings import Settings
from fsmflow.store.host import host_of
from fsmflow.store.store import Store, open_store
from fsmflow.store.work import ticket_of
from fsmflow.values import dataclass

if TYPE_CHECKING:
    from fsmflow.dispatch.doorbell import Doorbell, Ring

_collected: ContextVar[list[Ring] | None] = ContextVar("fsmflow_collected_rings", default=None)


class Runtime:
    """Opened once per process and settings. Threads share it; each has a database connection of its own."""

    #: Whether what an event loop awaits is done in its own thread, and waiting for something brings that about.
    stays_here = False

    def __init__(
        self, settings: Settings, store: Store, *, machines: Registry | None = None, doorbell: Doorbell | None = None
    ) -> None:
        self.settings = settings
        #: Of this process: the code that is loaded, whatever becomes of its files.
        self.release = release.note(settings)
        self.store = store
        self.machines = machines or Registry(settings.machines)
        #: A worker and its supervisor put one here that counts.
        self.counting = Counting()
        if doorbell is not None:
            self.doorbell = doorbell

    @cached_property
    def doorbell(self) -> Doorbell:
        """It brings RQ and Redis along, which take longer to import than all else: who only looks needs neither."""
        made: Doorbell = import_module("fsmflow.dispatch.servers").doorbell_of(
            self.settings, self.store.installation, self.store.clock.now
        )
        shared: Doorbell = vars(self).setdefault("doorbell", made)  # of two threads at once, both get the same
        return shared

    def forget_redis(self) -> None:
        """Drop the connection to Redis, if there is one."""
        if "doorbell" in vars(self):
            self.doorbell.forget()

    def rung(self) -> frozenset[str]:
        """The queues in which this process has put jobs, since Redis answers it."""
        return self.doorbell.rung() if "doorbell" in vars(self) else frozenset()

    def now(self) -> int:
        """UTC now by the database's clock, in milliseconds."""
        return self.store.clock.now()

    def next_due(self) -> int | None:
        """The first moment after now at which something becomes due by itself, in milliseconds."""
        now = self.now()
        moments = (self.store.work.next_due_at(now), self.store.events.next_due_at(now))
        return min((moment for moment in moments if moment is not None), default=None)

    def idle(self, seconds: float) -> None:
        """Let others go on, between two looks at something that they are to bring about."""
        clock.pause(seconds)

    def rest(self, seconds: float) -> None:
        """Let others go on, between two pieces of what has time."""
        clock.pause(seconds)

    def check_outside(self, what: str) -> None:
        """Raises ConfigurationError where this thread has a transaction open, joined or not, as far as one is found."""
        if self.store.link.in_transaction or self.store.link.stranger() is not None:
            raise ConfigurationError(
                f"{what} inside a transaction that is open here: before its COMMIT nobody else sees what it has "
                f"written, and jobs wait for what it has locked; wait after it"
            )

    def dispatch(self, snapshot: Snapshot) -> None:
        """Ring for the job that a commit left. Never raises: what is not rung now is found again in SQL."""
        ring = ticket_of(snapshot)
        if ring is not None:
            self.ring_for([ring])

    def ring_for(self, rings: list[Ring]) -> None:
        """Ring, and never raise, whatever is wrong with Redis or on the way to it."""
        collected = _collected.get()
        if collected is not None:
            collected += rings
            return
        if not rings:
            return
        point("ring.before", rings[0][0].row)
        try:
            self.doorbell.ring(rings)
        except Exception as error:  # noqa: BLE001 - the commit stands, and its caller must learn that it does
            log.dispatch_failed(len(rings), error)
        point("ring.after", rings[0][0].row)


@scope
def collecting() -> Iterator[list[Ring]]:
    """Inside, this thread's rings are collected instead of rung; the caller rings them together with something else."""
    rings: list[Ring] = []
    token = _collected.set(rings)
    try:
        yield rings
    finally:
        _collected.reset(token)


def collect_no_more() -> None:
    """Rings are rung again in this thread, whatever ``collecting`` it is in."""
    _collected.set(None)


@dataclass(frozen=True, eq=False)
class _StandIn:
    thread: int
    runtime: Runtime


class _Current:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.runtime: Runtime | None = None
        self.pid = 0
        #: Runtimes of a parent process: kept, so that collecting them does not touch connections that are not ours.
        self.inherited: list[Runtime] = []
        #: In the order in which they were installed.
        self.stand_ins: tuple[_StandIn, ...] = ()
        self.settings_before: Settings | None = None


_current = _Current()


@scope
def installed(runtime: Runtime) -> Iterator[None]:
    """Inside, ``current()`` is this runtime, whatever is configured meanwhile; afterwards all is as it was before.

    It holds for the whole process. Where several are installed, a thread works with the one that it installed last;
    a thread that installed none with the one that was installed last.
    """
    mine = _StandIn(threading.get_ident(), runtime)
    with _current.lock:
        if not _current.stand_ins:
            _current.settings_before = settings_of.chosen()
        _current.stand_ins += (mine,)
    try:
        yield
    finally:
        with _current.lock:
            _current.stand_ins = tuple(other for other in _current.stand_ins if other is not mine)
            if not _current.stand_ins:
                settings_of.choose(_current.settings_before)
                _current.settings_before = None


def stand_in() -> Runtime | None:
    """The installed runtime that this thread works with, if any."""
    found = _current.stand_ins
    thread = threading.get_ident()
    return next((one.runtime for one in reversed(found) if one.thread == thread), found[-1].runtime if found else None)


def current() -> Runtime:
    """The runtime of this process, opened at first use; anew after ``configure()`` and after a fork.

    Raises ConfigurationError where the database cannot be used. Redis is not needed.
    """
    if _current.stand_ins and (installed_one := stand_in()) is not None:
        return installed_one
    settings = settings_of.current()
    runtime = _current.runtime
    if runtime is not None and _holds(runtime, settings):
        return runtime
    with _current.lock:
        runtime = _current.runtime
        if runtime is None or not _holds(runtime, settings):
            if settings.database is not None and _current.pid not in (0, os.getpid()):
                settings.database.dispose()
            close()
            runtime = Runtime(settings, open_store(settings))
            _current.runtime, _current.pid = runtime, os.getpid()
        return runtime


def _holds(runtime: Runtime, settings: Settings) -> bool:
    """Whether what was opened is still what is to be worked with here."""
    return runtime.settings is settings and _current.pid == os.getpid() and not runtime.store.link.has_moved


def joining(transaction: Any) -> AbstractContextManager[None]:
    """Inside, fsmflow writes in a transaction of the caller's: that of a Session or a Connection of SQLAlchemy, of a
    connection of Django or its alias, or of a Database of peewee; None joins nothing. What it leads to follows that
    transaction's commit.

    Raises ConfigurationError for what is no transaction; that it is one of another database is told at the first use.
    """
    return nullcontext() if transaction is None else current().store.link.joining(host_of(transaction))


def opened() -> Runtime | None:
    """The runtime that this thread works with, if there is one already; nothing is opened."""
    found = stand_in()
    return _current.runtime if found is None and _current.pid == os.getpid() else found


def belongs_here() -> bool:
    """Whether what is called now is to be done in this thread: it has a transaction open that this is a part of, that
    of a transactional job, of ``atomic()`` or of what was joined. Opens nothing. Raises ConfigurationError where it was
    another thread that has joined something."""
    runtime = opened()
    if runtime is not None:
        return runtime.stays_here or runtime.store.link.in_transaction
    database = settings_of.current().database
    return database is not None and bool(database.in_transaction())


def close() -> None:
    """Let go of this process's connection to Redis and of this thread's to the database; the next use opens anew."""
    with _current.lock:
        runtime, _current.runtime = _current.runtime, None
        if runtime is not None and _current.pid != os.getpid():
            _current.inherited.append(runtime)
        elif runtime is not None:
            runtime.forget_redis()
            runtime.store.link.forget_connection()
