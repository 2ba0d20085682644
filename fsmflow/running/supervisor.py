"""``fsmflow worker``: keeps worker processes alive, renews their leases, and runs maintenance."""

from __future__ import annotations

import os
import queue
import select
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Final

from fsmflow import clock, log, settings
from fsmflow.engine.runtime import Runtime
from fsmflow.engine.tasks import hook_caller
from fsmflow.errors import DatabaseUnavailable
from fsmflow.points import point
from fsmflow.running.lease import LEASE_MS, RENEW_S
from fsmflow.running.maintenance.sweep import Maintenance
from fsmflow.running.slot import Doing
from fsmflow.running.worker_handle import WorkerHandle

_TICK_S: Final = 0.25
_SWEEP_S: Final = 1.0
_MAX_RESPAWN_S: Final = 10.0
_MAX_FAILED_STARTS: Final = 5
_JOIN_S: Final = 10.0
#: How long maintenance waits for a hook.
_HOOK_S: Final = 5.0
#: How often ending lost attempts is tried again while a supervisor ends and the database is away.
_LAST_ROUNDS: Final = 20


@dataclass(frozen=True, kw_only=True)
class _Lost:
    row: int
    owner: str
    how: str
    timed_out: bool
    released: bool


class Supervisor:
    """N worker processes, one more standing by so that a dead one is replaced at once, and a maintenance thread."""

    def __init__(self, runtime: Runtime, *, processes: int, queues: Sequence[str], burst: bool, log_level: str) -> None:
        self._runtime = runtime
        self._count = processes
        self._queues = tuple(queues)
        self._burst = burst
        self._log_level = log_level
        self._environment = _environment(runtime)
        self._workers: list[WorkerHandle] = []
        self._maintenance = Maintenance(runtime, self._queues)
        self._lost: queue.SimpleQueue[_Lost] = queue.SimpleQueue()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._signals = 0
        self._told = 0
        self._ever_ready = False
        self._gave_up = False
        self._respawn_at = float("-inf")
        self._failed_starts = 0
        self._quiet_sweeps = 0

    def run(self) -> int:
        """Supervise until told to stop, or until nothing is due with ``burst``. The exit status.

        This thread talks to processes only, so that a database or Redis that hangs keeps no job beyond its limit
        alive and no dead process from being replaced; threads renew the leases and run maintenance.
        """
        reading = self._catch_signals()
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
            for worker in self._workers:
                worker.kill()
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

    def _tick(self) -> bool:
        self._reap()
        self._obey()
        if not self._ever_ready and self._failed_starts >= _MAX_FAILED_STARTS:
            log.stopping(f"{self._failed_starts} worker processes ended before any of them was ready")
            self._gave_up = True
            return False
        if not self._signals:
            self._fill_up()
        elif not self._workers:
            return False
        self._kill_overruns()
        if self._burst and not self._signals and self._quiet_sweeps >= 2:
            self._signals = 1
        return True

    def _reap(self) -> None:
        for worker in [worker for worker in self._workers if worker.poll()]:
            self._workers.remove(worker)
            doing = worker.doing()
            if doing is not None or (worker.exit_status != 0 and not self._signals):
                ready = "waiting" if worker.is_ready else "starting"
                log.worker_lost(
                    worker.pid, str(worker.exit), f"running a step of entity row {doing.row}" if doing else ready
                )
            if doing is not None:
                self._note_lost(worker, doing)
            if not worker.is_ready and not self._signals:
                # One that was killed says nothing about the settings, as one that ended by itself does.
                self._failed_starts += worker.exit_status != -signal.SIGKILL
                self._respawn_at = clock.monotonic() + min(0.5 * 2 ** min(self._failed_starts, 10), _MAX_RESPAWN_S)
            worker.close()

    def _note_lost(self, worker: WorkerHandle, doing: Doing) -> None:
        timed_out = worker.overrun is not None and worker.overrun.owner == doing.owner
        how = f"worker process {worker.pid} {worker.exit}"
        self._lost.put(
            _Lost(row=doing.row, owner=doing.owner, how=how, timed_out=timed_out, released=self._signals > 1)
        )
        self._wake.set()

    def _obey(self) -> None:
        if self._signals > self._told:
            for worker in self._workers:
                if self._signals == 1:
                    worker.terminate()
                else:
                    worker.kill()
            log.stopping("finishing the running steps" if self._signals == 1 else "now")
            self._told = self._signals

    def _fill_up(self) -> None:
        working = [worker for worker in self._workers if worker.is_working]
        standing_by = [worker for worker in self._workers if not worker.is_working]
        while len(working) < self._count and standing_by:
            worker = standing_by.pop(0)
            worker.put_to_work()
            working.append(worker)
        if any(worker.is_ready for worker in self._workers):
            self._ever_ready, self._failed_starts = True, 0
        if clock.monotonic() < self._respawn_at:
            return
        try:
            while len(self._workers) < self._count + 1:
                self._workers.append(WorkerHandle(self._queues, self._environment, self._log_level))
        except OSError as error:
            log.sweep_failed("starting a worker process", error)
            self._respawn_at = clock.monotonic() + _MAX_RESPAWN_S

    def _kill_overruns(self) -> None:
        for worker in self._workers:
            doing = worker.overruns()
            if doing is not None and worker.overrun is None:
                log.worker_overrun(worker.pid, doing.row)
                worker.overrun = doing
                worker.kill()

    def _renew(self) -> None:
        """Renew the leases of all that is being run, in one statement every few seconds."""
        wait_s = 0.0
        while not self._ended.wait(wait_s):
            owners = [claim for claim in (worker.renewable() for worker in list(self._workers)) if claim]
            try:
                point("renew.before", 0)
                self._runtime.store.work.renew(owners, lease_until=self._runtime.now() + LEASE_MS)
                wait_s = RENEW_S
            except Exception as error:  # noqa: BLE001 - it is tried again, and soon
                self._maintenance.no_renewals()
                log.sweep_failed("renewing leases", error)
                wait_s = _TICK_S
        self._runtime.store.link.forget_connection()

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _maintain(self) -> None:
        maintenance = self._maintenance
        hook_caller.set(self._call_hook)
        rounds_left = _LAST_ROUNDS
        while rounds_left and (not self._ended.is_set() or not self._lost.empty()):
            rounds_left -= self._ended.is_set()
            self._wake.clear()
            self._safely("ending lost attempts", lambda: self._end_lost(maintenance))
            if not self._signals:
                self._safely("sweeping", lambda: self._sweep(maintenance))
            self._wake.wait(_SWEEP_S if not self._ended.is_set() else _TICK_S)
        maintenance.withdraw()
        self._runtime.store.link.forget_connection()

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

    def _safely(self, what: str, action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - maintenance goes on, whatever one round of it met
            log.sweep_failed(what, error)

    def _sweep(self, maintenance: Maintenance) -> None:
        maintenance.sweep()
        if self._burst:
            now = self._runtime.now()
            active = self._runtime.store.work.active(now, self._queues) or len(self._runtime.store.events.due(now, 1))
            self._quiet_sweeps = self._quiet_sweeps + 1 if self._ever_ready and not active else 0

    def _end_lost(self, maintenance: Maintenance) -> None:
        while not self._lost.empty():
            lost = self._lost.get()
            try:
                if lost.released:
                    maintenance.released(lost.row, lost.owner)
                else:
                    maintenance.lost(lost.row, lost.owner, lost.how, timed_out=lost.timed_out)
            except DatabaseUnavailable:
                self._lost.put(lost)
                raise


def _environment(runtime: Runtime) -> dict[str, str]:
    path = os.pathsep.join([entry or os.getcwd() for entry in sys.path])
    return {**os.environ, **settings.to_environment(runtime.settings), "PYTHONPATH": path}
