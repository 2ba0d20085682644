"""A worker process: stands by until the supervisor puts it to work, then takes and runs steps until told to stop."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Final

from fsmflow import clock, log, settings
from fsmflow.dispatch.doorbell import REDIS_ERRORS
from fsmflow.dispatch.rqworker import StepWorker
from fsmflow.engine.registry import Registry
from fsmflow.engine.runtime import Runtime, current
from fsmflow.errors import ConfigurationError, DatabaseUnavailable, FsmflowError
from fsmflow.patience import Patience
from fsmflow.running.executor import Executor
from fsmflow.running.slot import IDLE, Doing, Slot

GO: Final = b"g"
#: The first pause before Redis or the database is asked again.
_FIRST_S: Final = 0.1


class _StopWaiting(BaseException):
    """Raised by SIGTERM while the process only waits for a job."""


class WorkerProcess:
    """The loop of one worker process."""

    def __init__(self, slot: Slot, control: int, queues: Sequence[str], name: str) -> None:
        self._name = name
        self._connections = 0
        self._slot = slot
        self._control = control
        self._queues = queues
        self._go_reading, self._go_writing = os.pipe()
        self._stopping = False
        self._worker: StepWorker | None = None

    def main(self) -> int:
        """Get ready, wait to be put to work, work until SIGTERM. The exit status."""
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.register_at_fork(after_in_child=_as_usual)
        threading.Thread(target=self._watch, daemon=True).start()
        # One of their modules may configure another database than the environment names.
        Registry(settings.current().machines).all()
        runtime = self._runtime()
        runtime.machines.all()
        self._slot.write(Doing(state=IDLE))
        os.read(self._go_reading, 1)
        try:
            self._work(runtime)
        except _StopWaiting:
            self._stopping = True
        if self._worker is not None:
            self._worker.leave()
        return 0

    def _runtime(self) -> Runtime:
        """The runtime, however long the database is away. Raises ConfigurationError for what waiting cannot mend."""
        patience = Patience(_FIRST_S)
        while True:
            try:
                return current()
            except DatabaseUnavailable as error:
                if self._stopping:
                    raise
                log.sweep_failed("connecting to the database", error)
                patience.pause()

    def _work(self, runtime: Runtime) -> None:
        executor = Executor(runtime, self._slot)
        patience = Patience(_FIRST_S)
        while not self._stopping:
            try:
                if self._worker is None:
                    self._worker = self._connect(runtime, executor)
                    log.worker_started(os.getpid(), ", ".join(self._queues))
                self._worker.work_once(block=not self._stopping)
                patience.begin_anew()
            except REDIS_ERRORS as error:
                log.redis_lost(error, patience.next_s)
                self._worker = None
                runtime.doorbell.forget()
                patience.pause()
            except ConfigurationError as error:
                # Redis answers: this pause does not grow, and the next job finds out whether the database is back, or
                # takes what it has refused.
                log.sweep_failed("taking a job", error)
                clock.pause(patience.next_s)

    def _connect(self, runtime: Runtime, executor: Executor) -> StepWorker:
        # A name that RQ knows already is refused: each connection has one of its own.
        self._connections += 1
        name = f"{self._name}.{self._connections}"
        return StepWorker(self._queues, runtime.doorbell, executor.execute, self._is_stopping, name=name)

    def _is_stopping(self) -> bool:
        return self._stopping

    def _on_term(self, signum: int, frame: FrameType | None) -> None:
        self._stopping = True
        os.write(self._go_writing, GO)
        if self._worker is not None and self._worker.waiting:
            raise _StopWaiting

    def _watch(self) -> None:
        """End the whole process group once the supervisor is gone: its end of the pipe closes then."""
        while True:
            sent = os.read(self._control, 1)
            if sent == GO:
                os.write(self._go_writing, GO)
            elif not sent:
                os.killpg(0, signal.SIGKILL)


def _as_usual() -> None:
    """What a job forks ends by SIGTERM and SIGINT, as its author expects."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m fsmflow.running.worker``; only a supervisor calls it."""
    parser = argparse.ArgumentParser(prog="fsmflow.running.worker")
    parser.add_argument("--slot", type=int, required=True)
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--queues", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--log-level", default="INFO")
    options = parser.parse_args(arguments)
    log.configure(options.log_level)
    try:
        slot, queues = Slot(options.slot), options.queues.split(",")
        return WorkerProcess(slot, options.control, queues, options.name).main()
    except FsmflowError as error:
        sys.stderr.write(f"fsmflow worker: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
