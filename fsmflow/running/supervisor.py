"""``fsmflow worker``: keeps worker processes alive, renews their leases, and runs maintenance."""

from __future__ import annotations

import os
import queue
import select
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final
from uuid import uuid4

from fsmflow import log
from fsmflow.definition.names import DELIVERIES, OPERATIONS
from fsmflow.dispatch.doorbell import Doorbell
from fsmflow.engine.drains import Drain, drains
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.tasks import hook_caller
from fsmflow.errors import DatabaseUnavailable
from fsmflow.log import drains as log_of_drains
from fsmflow.points import point
from fsmflow.running.fork import leave_if_forked
from fsmflow.running.lease import LEASE_MS, RENEW_S
from fsmflow.running.maintenance.sweep import Maintenance
from fsmflow.running.meters import Channel, Counts, Metering
from fsmflow.running.outage import DATABASE, Outage
from fsmflow.running.wear import Endurance
from fsmflow.running.workers import Crew, LostAttempt, LostWorker, Workers
from fsmflow.store.file import DatabaseFile

_TICK_S: Final = 0.25
_JOIN_S: Final = 10.0
#: How long maintenance waits for a hook.
_HOOK_S: Final = 5.0
#: How often ending lost attempts is tried again while a supervisor ends and the database is away.
_LAST_ROUNDS: Final = 20
#: So many sweeps in a row find nothing that is due before a burst is over.
_QUIET_SWEEPS: Final = 2
#: Queues on which every worker listens.
_OWN: Final = {OPERATIONS, DELIVERIES}


def crews_of(runtime: Runtime, queues: Sequence[str], processes: int) -> list[Crew]:
    """So many processes for each Redis server that has some of these queues: a process waits for jobs at one alone. One
    is enough where only those of fsmflow's own machines are."""
    split: dict[Doorbell, list[str]] = {}
    for name in queues:
        split.setdefault(runtime.doorbell.at(name), []).append(name)
    return [Crew(queues=tuple(names), count=processes if set(names) - _OWN else 1) for names in split.values()]


class Supervisor:
    """N worker processes, one more standing by, a thread that renews their leases, and a maintenance thread."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        processes: int,
        queues: Sequence[str],
        burst: bool,
        log_options: Sequence[str],
        endurance: Endurance,
        concurrency: int = 0,
        threads: int = 0,
    ) -> None:
        self._runtime = runtime
        self._queues = tuple(queues)
        self._burst = burst
        name = uuid4().hex
        options = ["--threads", str(threads), *log_options, *endurance.options]
        self._channel, self._counts = Channel.create(), Counts()
        runtime.counting = Metering(self._counts.take)
        crews, lanes = crews_of(runtime, self._queues, processes), concurrency + threads
        self._workers = Workers(
            runtime, crews, burst=burst, options=options, name=name, channel=self._channel.writing, lanes=lanes
        )
        self._maintenance = Maintenance(runtime, self._queues, name)
        #: Workers that have ended, and whether what they held is to be given back instead of ended.
        self._lost: queue.SimpleQueue[tuple[LostWorker, bool]] = queue.SimpleQueue()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._outage = Outage(DATABASE)
        self._pid = os.getpid()
        self._signals = self._obeyed = 0
        self._file = DatabaseFile.of(runtime.store.link)
        self._quiet_sweeps = 0
        #: That this host drains, as was read last, and whether that is heeded.
        self._drain: Drain | None = None
        self._drains = self._gave_up = False

    def run(self) -> int:
        """Supervise until told to stop, or until nothing is due with ``burst``. The exit status: 1 where no process
        ever got ready, or where the file of the database is gone.

        This thread talks to processes only, so that a database or Redis that hangs keeps no job beyond its limit
        alive and no dead process from being replaced; threads renew the leases and run maintenance.
        """
        reading = self._catch_signals()
        # Before anybody is put to work; from then on it is read in another thread.
        self._safely("looking for a drain", self._look_for_drain)
        self._runtime.store.link.forget_connection()
        threads = [
            threading.Thread(target=self._maintain, name="fsmflow-maintenance", daemon=True),
            threading.Thread(target=self._renew, name="fsmflow-leases", daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            while self._tick():
                if not all(thread.is_alive() for thread in threads):
                    log.stopping("a thread of the supervisor has ended")
                    return 1
                if select.select([reading], [], [], _TICK_S)[0]:
                    os.read(reading, 4096)
        finally:
            self._workers.kill()
            self._safely("taking counts", self._listen)
            self._ended.set()
            self._wake.set()
            for thread in threads:
                thread.join(_JOIN_S)
            signal.set_wakeup_fd(-1)
        return 1 if self._gave_up else 0

    def _catch_signals(self) -> int:
        """A descriptor that becomes readable with every signal."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        os.set_blocking(reading, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        return reading

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _tick(self) -> bool:
        """Look after the worker processes; whether to go on."""
        if self._file is not None and self._file.is_gone:
            log.database_gone(str(self._file.path))
            self._gave_up = True
            return False
        self._reap()
        self._safely("taking counts", self._listen)
        self._obey()
        failed = self._workers.fail_to_start
        if failed is not None:
            log.gave_up(failed)
            self._gave_up = True
            return False
        self._heed_drain()
        if not self._signals and not self._drains:
            self._workers.fill_up()
        elif self._signals and self._workers.are_gone:
            return False
        self._workers.kill_overruns()
        self._workers.kill_those_that_stay()
        if self._burst and not self._signals and (self._drains or self._quiet_sweeps >= _QUIET_SWEEPS):
            self._signals = 1
        return True

    def _look_for_drain(self) -> None:
        """Whether this host drains. Where the database does not answer, what was known stays. One query, and the less
        often the more supervisors there are, who all ask it."""
        share = self._maintenance.share
        if not share.is_due:
            return
        self._drain = drains(self._runtime).get(socket.gethostname())
        share.taken()
        self._maintenance.listen(listens=self._drain is None)

    def _heed_drain(self) -> None:
        """Have all take nothing new and end after the running step, once; they are replaced when it is over."""
        drain = self._drain
        if drain is not None and not self._drains:
            log_of_drains.heeded(str(drain))
            self._workers.terminate()
        elif drain is None and self._drains:
            log_of_drains.over()
        self._drains = drain is not None

    def _reap(self) -> None:
        for lost in self._workers.reap(stopping=self._signals > 0 or self._drains):
            self._lost.put((lost, self._signals > 1))
            self._wake.set()

    def _listen(self) -> None:
        """Take what worker processes have told, those that have ended among them."""
        self._counts.take(self._channel.told())

    def _obey(self) -> None:
        """The first signal: finish what is running. A second one: stop now."""
        signals = self._signals
        if signals == self._obeyed:
            return
        if signals == 1:
            self._workers.terminate()
        else:
            self._workers.kill()
        log.stopping("finishing the running steps" if signals == 1 else "now")
        self._obeyed = signals

    def _renew(self) -> None:
        """Renew the leases of all that is being run, in one statement every few seconds."""
        wait_s = 0.0
        while not self._ended.wait(wait_s):
            owners = self._workers.renewable()
            try:
                point("renew.before", 0)
                self._runtime.store.work.renew(owners, lease_until=self._runtime.now() + LEASE_MS)
                wait_s = RENEW_S
                if owners:
                    self._outage.over()
            except Exception as error:  # noqa: BLE001 - it is tried again, and soon
                self._maintenance.no_renewals()
                self._tell("renewing leases", error)
                wait_s = _TICK_S
        self._runtime.store.link.forget_connection()

    def _maintain(self) -> None:
        """End lost attempts, and sweep once a second, or have another supervisor do so. While it ends, lost attempts
        alone, a limited number of times."""
        hook_caller.set(self._call_hook)
        rounds_left = _LAST_ROUNDS
        while rounds_left and (not self._ended.is_set() or not self._lost.empty()):
            leave_if_forked(self._pid, "a guard, a callback or a hook")
            rounds_left -= self._ended.is_set()
            self._wake.clear()
            self._safely("ending lost attempts", self._end_lost)
            if not self._signals:
                self._safely("sweeping", self._sweep)
            self._safely("keeping counts", self._keep_counts)
            self._wake.wait(self._maintenance.again_s if not self._ended.is_set() else _TICK_S)
        if self._file is None or not self._file.is_gone:  # else the embedded server would be made anew for it
            self._safely("keeping counts", self._keep_counts)
            self._maintenance.withdraw()
        self._runtime.store.link.forget_connection()

    def _end_lost(self) -> None:
        """End what dead workers held, and ring for what they left behind."""
        while not self._lost.empty():
            lost, given_back = self._lost.get()
            try:
                for attempt in lost.attempts:
                    self._end(attempt, given_back)
                self._maintenance.left_behind(lost.name)
            except DatabaseUnavailable:
                self._lost.put((lost, given_back))
                raise

    def _end(self, attempt: LostAttempt, given_back: bool) -> None:
        if given_back:
            self._maintenance.released(attempt.row, attempt.owner)
        else:
            self._maintenance.lost(attempt.row, attempt.owner, attempt.how, timed_out=attempt.timed_out)

    def _sweep(self) -> None:
        self._look_for_drain()
        self._maintenance.sweep(paced=True)
        self._outage.over()
        if self._burst:
            now = self._runtime.now()
            active = self._runtime.store.work.active(now, self._queues) or len(self._runtime.store.events.due(now, 1))
            self._quiet_sweeps = self._quiet_sweeps + 1 if self._workers.ever_ready and not active else 0

    def _keep_counts(self) -> None:
        self._counts.keep(self._runtime.store.meters, at_once=self._ended.is_set())

    def _safely(self, what: str, action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - maintenance goes on, whatever one round of it met
            self._tell(what, error)

    def _tell(self, what: str, error: BaseException) -> None:
        """Tell of what went wrong; that the database is away is told once."""
        if isinstance(error, DatabaseUnavailable):
            self._outage.met(error)
        else:
            log.sweep_failed(what, error)

    def _call_hook(self, call: Callable[[], None]) -> None:
        """Call a hook in a thread of its own: one that hangs must not keep maintenance from going on."""

        def run() -> None:
            call()
            self._runtime.store.link.forget_connection()

        thread = threading.Thread(target=run, name="fsmflow-hook", daemon=True)
        thread.start()
        thread.join(_HOOK_S)
        if thread.is_alive():
            log.hook_hangs(_HOOK_S)
