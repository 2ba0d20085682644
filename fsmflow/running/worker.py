"""A worker process: stands by until the supervisor puts it to work, then takes and runs steps until told to stop."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any, Final

from fsmflow import clock, log, release, settings
from fsmflow.dispatch.client import REDIS_ERRORS, is_gone
from fsmflow.dispatch.doorbell import Ring
from fsmflow.dispatch.reserve import Reserve
from fsmflow.dispatch.rqworker import StepWorker
from fsmflow.engine.followup import on_its_own
from fsmflow.engine.registry import Registry
from fsmflow.engine.runtime import Runtime, current
from fsmflow.errors import ConfigurationError, DatabaseUnavailable, FsmflowError
from fsmflow.log import lines
from fsmflow.patience import Patience
from fsmflow.running.executor import Executor
from fsmflow.running.lanes import Lanes
from fsmflow.running.meters import Channel, Metering
from fsmflow.running.outage import DATABASE, REDIS, Outage
from fsmflow.running.presence import listener_of
from fsmflow.running.rooms import Rooms
from fsmflow.running.slot import ENDING, IDLE, Doing, Slot
from fsmflow.running.successor import Successor
from fsmflow.running.wear import Endurance, Wear
from fsmflow.store.work import Ticket

GO: Final = b"g"
STOP: Final = b"s"
#: The first pause before Redis or the database is asked again.
_FIRST_S: Final = 0.1
#: How long is waited for room for one more job, until it is time to look whether the process is to end.
_ROOM_S: Final = 0.5


class _StopWaiting(BaseException):
    """Raised by SIGTERM while the process only waits for a job."""


class WorkerProcess:
    """The loop of one worker process."""

    def __init__(
        self,
        slot: Slot,
        control: int,
        channel: Channel,
        queues: Sequence[str],
        name: str,
        endurance: Endurance,
        threads: int,
        *,
        shares: Mapping[str, int],
        limits: Mapping[str, int],
    ) -> None:
        self._threads = threads
        self._name = name
        self._connections = 0
        self._slot = slot
        self._control = control
        self._channel = channel
        self._queues = queues
        self._shares = shares
        self._rooms = Rooms(limits, self._wake)
        self._endurance = endurance
        self._go_reading, self._go_writing = os.pipe()
        self._main = threading.get_ident()
        self._stopping = False
        self._worker: StepWorker | None = None
        self._lanes: Lanes | None = None
        self._reserve = Reserve()
        #: The supervisor, which asks the same servers, tells of outages; only what it does not meet is told here.
        self._database, self._redis = Outage(DATABASE), Outage(REDIS)

    def main(self) -> int:
        """Get ready, wait to be put to work, work until SIGTERM. The exit status."""
        self._catch_signals()
        os.register_at_fork(after_in_child=_as_usual)
        threading.Thread(target=self._watch, daemon=True).start()
        release.note(settings.current())  # before its files are imported, which may change at any time
        # One of their modules may configure another database than the environment names.
        Registry(settings.current().machines).all()
        runtime = self._runtime()
        runtime.counting = Metering(self._channel.tell)
        runtime.machines.all()
        runtime.doorbell.stand_at(self._queues[0])
        self._catch_signals()  # again, whatever these modules made of them
        self._slot.write(Doing(state=IDLE))
        os.read(self._go_reading, 1)
        try:
            self._work(runtime)
        except _StopWaiting:
            self._stopping = True
        self._slot.write(Doing(state=ENDING))
        if self._lanes is not None:
            self._lanes.drain()
        if self._worker is not None:
            self._worker.leave()
        return 0

    def _catch_signals(self) -> None:
        """SIGTERM ends the process after its step. SIGINT does nothing, but is not ignored: what a job starts would
        ignore it too."""
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGINT, lambda number, frame: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGCHLD))

    def _runtime(self) -> Runtime:
        """The runtime, however long the database is away. Raises ConfigurationError for what waiting cannot mend."""
        patience = Patience(_FIRST_S)
        while True:
            try:
                return current()
            except DatabaseUnavailable as error:
                if self._stopping:
                    raise
                self._database.met(error, logging.DEBUG)
                patience.pause()

    def _work(self, runtime: Runtime) -> None:
        wear, patience = _fresh(self._endurance), Patience(_FIRST_S)
        executor = self._executor(runtime, wear)
        self._begin_lanes(runtime)
        while not self._is_stopping():
            try:
                self._work_once(runtime, executor, wear)
                patience.begin_anew()
            except REDIS_ERRORS as error:
                self._redis.met(error, logging.DEBUG if is_gone(error) else logging.WARNING)
                self._worker = None
                runtime.doorbell.forget()
                patience.pause()
            except DatabaseUnavailable as error:
                # Redis answers: this pause does not grow, and the next job finds out whether the database is back.
                self._database.met(error, logging.DEBUG)
                clock.pause(patience.next_s)
            except ConfigurationError as error:
                # The same, or the next job takes what it has refused.
                log.sweep_failed("taking a job", error)
                clock.pause(patience.next_s)

    def _executor(self, runtime: Runtime, wear: Wear) -> Executor:
        def goes_on(ran: int) -> bool:
            return not self._is_stopping() and wear.allows(ran)

        successor = Successor(runtime, self._reserve, self._slot.successor)
        run_on = settings.current().run_on
        return Executor(runtime, self._slot, goes_on=goes_on, run_on=run_on, successor=successor)

    def _work_once(self, runtime: Runtime, executor: Executor, wear: Wear) -> None:
        if self._worker is None:
            self._worker = self._connect(runtime, executor, wear)
            self._redis.over()
            if self._connections == 1:  # that Redis is back is told by the supervisor
                log.worker_started(os.getpid(), ", ".join(self._queues))
        if self._lanes is None:
            took = self._worker.work_once(block=not self._is_stopping())
        else:
            took = self._work_beside(self._lanes, self._worker, executor, wear)
        if took:
            self._database.over()
            self._end_if_worn(wear)

    def _work_beside(self, lanes: Lanes, worker: StepWorker, executor: Executor, wear: Wear) -> bool:
        """Take as many as there is room for, and begin them; of what does not run beside others, one runs here. Whether
        anything was taken."""
        wear.count(lanes.ended())
        self._end_if_worn(wear)
        room = lanes.room(_ROOM_S)
        if not room:
            worker.tell_alive()
            return False

        def perform(tickets: Sequence[Ticket]) -> None:
            alone = lanes.take_on(tickets)
            for other in alone[1:]:
                lanes.give_back(other)
            for first in alone[:1]:
                wear.count(lanes.run_alone(first, executor))

        return worker.work_several(room, perform, block=not self._is_stopping(), left=self._rooms.left)

    def _wake(self) -> None:
        worker = self._worker
        if worker is not None:
            worker.wake()

    def _begin_lanes(self, runtime: Runtime) -> None:
        """Where jobs run beside each other, if there is room for any."""
        slots = self._slot.lanes
        if slots:
            self._lanes = Lanes(runtime, slots, self._threads, self._rooms)
            self._lanes.start()

    def _connect(self, runtime: Runtime, executor: Executor, wear: Wear) -> StepWorker:
        def execute(ticket: Ticket) -> Sequence[Ring]:
            rings = executor.execute(ticket)
            wear.count(executor.ran)
            return runtime.doorbell.ring_others(rings)

        # A name that RQ knows already is refused: each connection has one of its own.
        self._connections += 1
        name = f"{self._name}.{self._connections}"
        listener = listener_of(runtime, self._name, self._queues)
        return StepWorker(
            self._queues,
            runtime.doorbell.at(self._queues[0]),
            execute,
            self._is_stopping,
            name=name,
            listener=listener,
            shares=self._shares,
            reserve=self._reserve,
        )

    def _end_if_worn(self, wear: Wear) -> None:
        why = wear.told()
        if why is not None and not self._stopping:
            log.worker_worn(os.getpid(), why)
            self._stopping = True

    def _is_stopping(self) -> bool:
        """Not only what ``_watch`` has read: it may have to wait for its turn while the next job is taken."""
        return self._stopping or self._slot.is_told_to_end

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
            elif sent == STOP:
                self._stopping = True
                os.write(self._go_writing, GO)
                if self._worker is not None and self._worker.waiting:
                    signal.pthread_kill(self._main, signal.SIGTERM)
            elif not sent:
                os.killpg(0, signal.SIGKILL)


def _fresh(endurance: Endurance) -> Wear:
    wear = Wear(endurance)
    if (why := wear.told()) is not None:
        log.worker_born_worn(os.getpid(), why)
    return wear


def _as_usual() -> None:
    """What a job forks ends by SIGTERM and SIGINT, as its author expects. What it commits as anybody may, of entities
    that are not those of the job, is not noted for the worker."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    on_its_own()


def main(arguments: Sequence[str], handed: Mapping[str, Any]) -> int:
    """Called by ``entry.py`` with the settings that the supervisor hands over."""
    parser = argparse.ArgumentParser(prog="fsmflow.running.worker")
    parser.add_argument("--slot", type=int, required=True)
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--queues", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--log-level", default="INFO")
    parser.add_argument("--log", default=lines.TEXT)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--max-jobs", type=int)
    parser.add_argument("--max-memory", type=int)
    for by_queue in ("--shares", "--limits"):
        parser.add_argument(by_queue, type=json.loads, default={})
    options = parser.parse_args(arguments)
    for descriptor in (options.slot, options.control, options.channel):
        os.set_inheritable(descriptor, False)
    lines.configure(options.log_level, options.log)
    settings.take_over(handed)
    endurance = Endurance(max_jobs=options.max_jobs, max_memory=options.max_memory)
    try:
        slot, channel, queues = Slot(options.slot), Channel(options.channel), options.queues.split(",")
        return WorkerProcess(
            slot,
            options.control,
            channel,
            queues,
            options.name,
            endurance,
            options.threads,
            shares=options.shares,
            limits=options.limits,
        ).main()
    except FsmflowError as error:
        log.worker_cannot_start(os.getpid(), error)
        return 1
