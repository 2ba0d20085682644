"""Runs the jobs of many entities at once, ``async`` ones on one event loop, others in threads: claimed and committed
together."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from fsmflow import clock, log
from fsmflow.engine.observation import observed_attempt
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import FsmflowError
from fsmflow.log import endings
from fsmflow.log.lines import running
from fsmflow.points import point
from fsmflow.running.attempt import Attempt, Ended
from fsmflow.running.claim import claim_attempts, new_owner
from fsmflow.running.committer import Committer, Ending
from fsmflow.running.executor import Executor
from fsmflow.running.job import Job
from fsmflow.running.lane_executor import LaneExecutor
from fsmflow.running.lease import hand_back
from fsmflow.running.limits import LoopLimit, ToldLimit
from fsmflow.running.outage import outlast
from fsmflow.running.permits import Instead
from fsmflow.running.rooms import Rooms
from fsmflow.running.slot import Slot
from fsmflow.store.link import Link
from fsmflow.store.work import Ticket

#: Of so many attempts that came one after the other and ran beside others, one more is taken at a time.
_STREAK: Final = 8
_TICK_S: Final = 0.5
#: A loop that has not gone on in so many looks is blocked.
_BLOCKED_TICKS: Final = 10
#: How long what a job has left behind may take to end as it is cancelled.
_LEFT_S: Final = 1.0
#: After so many ticks it is asked whose claims are gone.
_CLAIMS_TICKS: Final = 6


class _Lane:
    """An attempt that runs beside others."""

    def __init__(self, executor: LaneExecutor, ticket: Ticket, attempt: Attempt) -> None:
        self.executor, self.ticket, self.attempt = executor, ticket, attempt
        self.job: Job | None = None
        #: Those that its job has begun, too.
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()

    @property
    def claim(self) -> tuple[int, str]:
        """What its claim is known by."""
        return self.attempt.claim.row, self.attempt.claim.owner

    def lose(self) -> None:
        """The claim is gone, and the job is told."""
        if self.job is not None and isinstance(self.job.limit, LoopLimit):
            self.job.limit.strike(self.job.view.cancelled())


class Alone(NamedTuple):
    """An attempt that is claimed and does not run beside others; its executor tells the supervisor of it meanwhile."""

    executor: LaneExecutor
    ticket: Ticket
    attempt: Attempt


#: The one that a task belongs to.
_lane: ContextVar[_Lane | None] = ContextVar("fsmflow_lane", default=None)


class BrokenLoop(Exception):
    """Something went wrong beside the jobs: the process has to end."""


class Lanes:
    """As many lanes as there are slots, ``threads`` of them for jobs that run in threads. One thread takes attempts on;
    what is raised in another one that nobody has foreseen is raised there, so that the process ends."""

    def __init__(self, runtime: Runtime, slots: Sequence[Slot], threads: int = 0, rooms: Rooms | None = None) -> None:
        self._runtime = runtime
        self._rooms = rooms or Rooms()
        self._count = len(slots)
        self._streak = 0
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads or 1, thread_name_prefix="fsmflow-job")
        #: How many jobs run in threads, or wait for one.
        self._in_threads = 0
        self._changed = threading.Condition()
        self._free = deque(LaneExecutor(runtime, slot) for slot in slots)
        self._running: dict[asyncio.Task[None], _Lane] = {}
        self._lane_of: WeakKeyDictionary[asyncio.Task[Any], _Lane] = WeakKeyDictionary()
        self._fault: BaseException | None = None
        self._ended = 0
        self._loop = asyncio.new_event_loop()
        self._committer = Committer(runtime, self._freed, self._fail)
        self._loop.set_task_factory(self._task)
        self._ticks = 0

    def start(self) -> None:
        """Start the loop, and whoever looks whether it goes on."""
        threading.Thread(target=self._go, name="fsmflow-loop", daemon=True).start()
        threading.Thread(target=self._look, name="fsmflow-loop-watch", daemon=True).start()
        self._committer.start()

    def room(self, timeout_s: float) -> int:
        """How many may be taken on now; waits until there is room for one, but not for longer. What may run here alone,
        once it is claimed, is known of nothing before: one at a time is taken where there was such a thing lately."""
        with self._changed:
            self._changed.wait_for(lambda: self._room() or self._fault, timeout_s)
            self._check()
            return self._room()

    def _room(self) -> int:
        if self._in_threads > self._threads:
            return 0  # one waits for a thread already; of the next it would be known too late
        return min(len(self._free), max(self._streak // _STREAK, 1))

    def is_empty(self, timeout_s: float) -> bool:
        """Whether all have come to their end; waits for that, but not for longer."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._free) == self._count or self._fault, timeout_s)
            self._check()
            return len(self._free) == self._count

    def drain(self) -> None:
        """Wait until all have come to their end."""
        while not self.is_empty(_TICK_S):
            pass

    def ended(self) -> int:
        """How many have come to their end since this was asked last."""
        with self._changed:
            ended, self._ended = self._ended, 0
            return ended

    def take_on(self, tickets: Sequence[Ticket]) -> list[Alone]:
        """Claim these, for which there is room, in one commit, and begin those that run beside others: the rest is
        returned, and whoever has it lets go of it. In the place of those that have to wait for a limit come those who
        were called, whose doorbells may be far behind."""
        called: list[Ticket] = []
        rest = self._take_on(tickets, called.append)
        return [*rest, *self._take_on(list(dict.fromkeys(called)))] if called else rest

    def _take_on(self, tickets: Sequence[Ticket], instead: Instead | None = None) -> list[Alone]:
        with self._changed:
            executors = [self._free.popleft() for _ in tickets]
        claims = [(ticket, new_owner()) for ticket in tickets]
        for executor, (ticket, owner) in zip(executors, claims, strict=True):
            executor.expect(ticket.row, owner)
            point("claim.before", ticket.row)
        try:
            attempts = claim_attempts(self._runtime, claims, instead)
        except FsmflowError:
            # The process lives on, and must not be taken to run these: their leases would be renewed for ever.
            self._let_go(executors)
            raise
        return self._begin_all(list(zip(executors, tickets, attempts, strict=True)))

    def _begin_all(self, claimed: Sequence[tuple[LaneExecutor, Ticket, Attempt | None]]) -> list[Alone]:
        lanes, rest, in_vain = [], [], []
        with self._runtime.counting.together():
            for executor, ticket, attempt in claimed:
                if attempt is None:
                    in_vain.append((executor, ticket))
                    continue
                executor.claimed(attempt)
                self._rooms.take(executor, attempt)
                if self._takes(attempt):
                    lanes.append(_Lane(executor, ticket, attempt))
                else:
                    executor.queue(attempt)
                    rest.append(Alone(executor, ticket, attempt))
        with self._changed:
            self._in_threads += sum(not is_async(lane.attempt) for lane in lanes)
        self._loop.call_soon_threadsafe(self._begin, lanes)
        self._streak = 0 if rest else self._streak + len(lanes)
        if in_vain:
            self._runtime.doorbell.finish([ticket for _, ticket in in_vain], [])
            self._let_go([executor for executor, _ in in_vain])
        return rest

    def _takes(self, attempt: Attempt) -> bool:
        """Whether an attempt runs beside others: an ``async`` job, or one that runs in a thread, which commits alone
        and has never been cut off by the death of its process, as that might happen again."""
        spec = attempt.spec
        if spec.transactional or spec.at_most_once or is_suspect(attempt):
            return False
        if is_async(attempt):
            return self._count > self._threads
        return self._threads > 0 and spec.thread and not attempt.makes_branches

    def run_alone(self, alone: Alone, executor: Executor) -> int:
        """Run an attempt by another executor, in this thread; how many were run. One that others are to be spared runs
        once these have ended."""
        attempt = alone.attempt
        executor.expect(attempt.claim.row, attempt.claim.owner)
        self._let_go([alone.executor])
        if is_suspect(attempt) or attempt.spec.at_most_once:
            self.drain()
        rings = executor.run(attempt)
        self._runtime.doorbell.finish([alone.ticket], rings)
        return executor.ran

    def give_back(self, alone: Alone) -> None:
        """Leave an attempt to others, as another one runs here first. It counts as none."""
        attempt = alone.attempt
        why = "another job runs before it here"
        outlast(attempt.address, lambda: hand_back(self._runtime, attempt.snapshot, attempt.claim, why))
        self._runtime.doorbell.finish([alone.ticket], [])
        self._let_go([alone.executor])

    def _let_go(self, executors: Sequence[LaneExecutor]) -> None:
        for executor in executors:
            executor.rest()
        self._rooms.leave(executors)
        with self._changed:
            self._free += executors
            self._changed.notify_all()

    def _check(self) -> None:
        if self._fault is not None:
            raise BrokenLoop("the loop of async jobs, or a thread that commits them") from self._fault

    def _go(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._fail(FsmflowError("a job has stopped the loop that it shares with others"))
        except BaseException as error:  # noqa: BLE001 - as above: SystemExit of a task that a job has begun
            self._fail(error)

    def _task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        """A new task, noted as one of the job that begins it."""
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
        lane = _lane.get()
        if lane is not None:
            lane.tasks.add(task)
            self._lane_of[task] = lane
        return task

    def _begin(self, lanes: Sequence[_Lane]) -> None:
        for lane in lanes:
            copy_context().run(self._begin_one, lane)

    def _begin_one(self, lane: _Lane) -> None:
        _lane.set(lane)  # in a context of its own, which its task inherits
        task = self._loop.create_task(self._run(lane), name=lane.attempt.address)
        self._running[task] = lane
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def _run(self, lane: _Lane) -> None:
        attempt = lane.attempt
        running.set(attempt.fields)
        lane.job = job = await self._prepared(lane)
        if is_async(attempt):
            with observed_attempt(attempt.snapshot, attempt.claim):
                ended = await job.run_in_loop(lambda coroutine: _Turns(coroutine, self._runtime.store.link))
            await _end_those_left(lane)
            job.view.close_session()
        else:
            ended = await self._in_thread(lane, job)
        seen = attempt.seen_as(job.view.snapshot)
        self._committer.commit(Ending(executor=lane.executor, ticket=lane.ticket, attempt=seen, ended=ended))

    async def _in_thread(self, lane: _Lane, job: Job) -> Ended:
        try:
            return await self._loop.run_in_executor(self._pool, lane.executor.go_in_thread, lane.attempt, job)
        finally:
            with self._changed:
                self._in_threads -= 1
                self._changed.notify_all()

    async def _prepared(self, lane: _Lane) -> Job:
        """The job. What undoes something asks the database for that: in a thread, which may wait."""
        prepare = partial(lane.executor.prepare, lane.attempt, LoopLimit if is_async(lane.attempt) else ToldLimit)
        if lane.attempt.is_undoing:
            return await self._loop.run_in_executor(None, prepare)
        return prepare()

    def _freed(self, executors: Sequence[LaneExecutor]) -> None:
        self._rooms.leave(executors)
        with self._changed:
            self._free += executors
            self._ended += len(executors)
            self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._fault = self._fault or error
            self._changed.notify_all()

    def _look(self) -> None:
        """Tell the supervisor of a job that keeps the loop from going on, as it ends the process then; and jobs of
        claims that are gone."""
        blocked, before = 0, -1
        for turn in itertools.count(1):
            self._loop.call_soon_threadsafe(self._tick)
            clock.pause(_TICK_S)
            # By looks and not by time: the whole process may have stood still.
            blocked, before = (blocked + 1 if self._ticks == before else 0), self._ticks
            task = asyncio.current_task(self._loop)
            lane = None if task is None else self._lane_of.get(task)
            if lane is not None and blocked >= _BLOCKED_TICKS:
                lane.executor.blocks(lane.attempt)
            self._tell_limits()
            if turn % _CLAIMS_TICKS == 0:
                self._committer.submit(self._look_at_claims)

    def _tell_limits(self) -> None:
        for lane in list(self._running.values()):
            limit = None if lane.job is None else lane.job.limit
            if isinstance(limit, ToldLimit) and limit.is_over():
                seconds = clock.monotonic() - limit.began
                endings.limit_passed(lane.attempt.address, lane.attempt.spec.job_name, seconds)

    def _tick(self) -> None:
        self._ticks += 1
        for limit in [lane.job.limit for lane in self._running.values() if lane.job is not None]:
            limit.look()

    def _look_at_claims(self) -> None:
        lanes = list(self._running.values())
        try:
            live = self._runtime.store.work.live([lane.claim for lane in lanes])
        except FsmflowError as error:
            log.sweep_failed("looking after claims", error)
            return
        for lane in lanes:
            if lane.claim not in live:
                self._loop.call_soon_threadsafe(lane.lose)


async def _end_those_left(lane: _Lane) -> None:
    """Cancel what a job has begun and left: its attempt is over. What does not heed that goes on, and is told."""
    left = [task for task in lane.tasks if not task.done() and task is not asyncio.current_task()]
    for task in left:
        task.cancel()
    if left and (await asyncio.wait(left, timeout=_LEFT_S))[1]:
        endings.tasks_left(lane.attempt.address, lane.attempt.spec.job_name)


def is_async(attempt: Attempt) -> bool:
    """Whether its job is written with ``async def``."""
    return not attempt.makes_branches and inspect.iscoroutinefunction(attempt.spec.job)


def is_suspect(attempt: Attempt) -> bool:
    """Whether a worker has died with it before: it may be what the others died of."""
    work = attempt.snapshot.work
    return work is not None and work.crashes > 0


class _Turns:
    """Awaits a coroutine, and refuses to let others have their turn while it holds a transaction open: they would write
    in it."""

    def __init__(self, coroutine: Any, link: Link) -> None:
        self._coroutine = coroutine
        self._link = link

    def __await__(self) -> Generator[Any, Any, Any]:
        act: Callable[[Any], Any] = self._coroutine.send
        value: Any = None
        while True:
            try:
                waits_for = act(value)
            except StopIteration as end:
                return end.value
            if self._link.in_transaction:
                waits_for = self._refused()
            try:
                value = yield waits_for
                act = self._coroutine.send
            except BaseException as error:  # noqa: BLE001 - it is the coroutine's
                act, value = self._coroutine.throw, error

    def _refused(self) -> Any:
        return self._coroutine.throw(
            FsmflowError(
                "a job that runs beside others awaited something inside atomic(): the others would have written in its "
                "transaction. Await before or after it, or give the state transactional=True"
            )
        )
