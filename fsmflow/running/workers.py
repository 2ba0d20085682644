"""The worker processes of a supervisor: kept at their number, replaced when they die, ended when they overrun."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

from fsmflow import clock, log, settings
from fsmflow.engine.runtime import Runtime
from fsmflow.log import endings
from fsmflow.running.slot import BLOCKING, Doing
from fsmflow.running.worker_handle import STAY_S, Start, WorkerHandle
from fsmflow.values import dataclass, replace

_MAX_RESPAWN_S: Final = 10.0
_MAX_FAILED_STARTS: Final = 5
#: One that was killed says less about the settings than one that ended by itself does.
_MAX_KILLED_STARTS: Final = 20


@dataclass(frozen=True, kw_only=True)
class LostAttempt:
    """What a worker process held when it died: the entity row, the owner of the claim, and how it died."""

    row: int
    owner: str
    how: str
    timed_out: bool


@dataclass(frozen=True, kw_only=True)
class LostWorker:
    """A worker process that has ended: how its names in RQ begin, and what it held."""

    name: str
    attempts: tuple[LostAttempt, ...]


@dataclass(frozen=True, kw_only=True)
class Crew:
    """So many worker processes that listen on the same queues, all of which are on one Redis server."""

    queues: tuple[str, ...]
    count: int

    def __str__(self) -> str:
        return f"{self.count} on {', '.join(self.queues)}"


class Workers:
    """So many of each crew at work, and one more that stands by, so that a dead one is replaced at once. A burst does
    without that one: it is soon over, and its start would be longer.

    Talks to processes only, and waits for none of them.
    """

    def __init__(
        self,
        runtime: Runtime,
        crews: Sequence[Crew],
        *,
        burst: bool,
        options: Sequence[str],
        name: str,
        channel: int,
        lanes: int = 0,
    ) -> None:
        self._name = name
        self._started = 0
        self._crews = crews
        self._burst = burst
        start = Start(
            options=options,
            settings=settings.handed_over(runtime.settings),
            path=[str(entry) or os.getcwd() for entry in sys.path],
            environment=dict(os.environ),
            folder=os.getcwd(),
            umask=_umask(),
            channel=channel,
            lanes=lanes,
        )
        self._starts = {crew: replace(start, options=["--queues", ",".join(crew.queues), *options]) for crew in crews}
        self._handles: dict[WorkerHandle, Crew] = {}
        self.ever_ready = False
        self._respawn_at = float("-inf")
        self._failed_starts = 0
        self._killed_starts = 0
        self._last_start = ""

    @property
    def are_gone(self) -> bool:
        return not self._handles

    @property
    def fail_to_start(self) -> str | None:
        """What became of all that were started, if none was ever ready; None while that may still be chance."""
        failed, killed = self._failed_starts, self._killed_starts
        if self.ever_ready or (failed < _MAX_FAILED_STARTS and killed < _MAX_KILLED_STARTS):
            return None
        return f"{failed + killed} worker processes, and none was ever ready: the last one {self._last_start}"

    def renewable(self) -> list[tuple[int, str]]:
        """The claims whose leases are to be renewed. May be asked by another thread."""
        return [claim for handle in list(self._handles) for claim in handle.renewable()]

    def reap(self, *, stopping: bool) -> list[LostWorker]:
        """Take out those that have ended; those of them that had worked."""
        lost = []
        for handle in [handle for handle in self._handles if handle.poll()]:
            del self._handles[handle]
            doings = handle.doings()
            if doings or (handle.exit_status != 0 and not stopping and not handle.stays):
                _tell_death(handle, doings)
            if handle.is_working:
                attempts = tuple(_lost(handle, doing) for doing in doings)
                lost.append(LostWorker(name=f"{handle.name}.", attempts=attempts))
            if not handle.is_ready and not stopping:
                self._start_failed(str(handle.exit), killed=handle.exit_status == -signal.SIGKILL)
            handle.close()
        return lost

    def _start_failed(self, how: str, *, killed: bool = False) -> None:
        self._killed_starts += killed
        self._failed_starts += not killed
        self._last_start = how
        self._respawn_at = clock.monotonic() + min(0.5 * 2 ** min(self._failed_starts, 10), _MAX_RESPAWN_S)

    def fill_up(self) -> None:
        """Put who stands by in the place of the dead, and start others to stand by."""
        missing = [crew for crew in self._crews for _ in range(self._fill_up(crew))]
        if any(handle.is_ready for handle in self._handles):
            self.ever_ready, self._failed_starts, self._killed_starts = True, 0, 0
        if clock.monotonic() < self._respawn_at:
            return
        try:
            for crew in missing:
                self._started += 1
                self._handles[WorkerHandle(f"{self._name}.{self._started}", self._starts[crew])] = crew
        except OSError as error:
            log.sweep_failed("starting a worker process", error)
            self._start_failed(f"could not be started ({error})")

    def _fill_up(self, crew: Crew) -> int:
        """Put those to work that stand by; how many are to be started."""
        staying = [handle for handle, its in self._handles.items() if its is crew and not handle.is_ending]
        working = sum(handle.is_working for handle in staying)
        standing_by = [handle for handle in staying if not handle.is_working]
        for handle in standing_by[: max(crew.count - working, 0)]:
            handle.put_to_work()
        return max(crew.count + (not self._burst) - len(staying), 0)

    def kill_overruns(self) -> None:
        """End those whose job has not stopped at its limit."""
        for handle in self._handles:
            doing = handle.overruns()
            if doing is not None and handle.overrun is None:
                if doing.state == BLOCKING:
                    endings.loop_blocked(handle.pid, doing.address, len(handle.doings()) - 1)
                else:
                    log.worker_overrun(handle.pid, doing.address)
                handle.overrun = doing
                handle.kill()

    def kill_those_that_stay(self) -> None:
        """End those that have no more to do, and whose process does not end by itself."""
        for handle in self._handles:
            if not handle.stays and handle.overstays():
                log.worker_stays(handle.pid, STAY_S)
                handle.stays = True
                handle.kill()

    def terminate(self) -> None:
        """Ask all to end after the running step."""
        for handle in self._handles:
            handle.terminate()

    def kill(self) -> None:
        """End all now, with all that they started."""
        for handle in self._handles:
            handle.kill()


def _lost(handle: WorkerHandle, doing: Doing) -> LostAttempt:
    """What a dead process held. It was ended for an attempt that overran its limit, that gave no sign of life, or that
    kept those beside it from going on."""
    overrun = handle.overrun if handle.overrun is not None and handle.overrun.owner == doing.owner else None
    blocks = overrun is not None and overrun.state == BLOCKING
    silent = overrun is not None and not blocks and overrun.silent_at < overrun.deadline
    why = ", as its job gave no sign of life" if silent else ", as its job blocked the loop of others" if blocks else ""
    timed_out = overrun is not None and not silent and not blocks
    how = f"worker process {handle.pid} {handle.exit}{why}"
    return LostAttempt(row=doing.row, owner=doing.owner, how=how, timed_out=timed_out)


def _tell_death(handle: WorkerHandle, doings: Sequence[Doing]) -> None:
    what = "waiting" if handle.is_ready else "starting"
    known = [doing.address for doing in doings if doing.address]
    if len(doings) > 1:
        what = f"running {len(doings)} steps, one of {known[0]}" if known else f"taking {len(doings)} steps"
    elif doings:
        what = f"running a step of {known[0]}" if known else "taking a step"
    log.worker_lost(handle.pid, str(handle.exit), what)


def _umask() -> int:
    now = os.umask(0o077)
    os.umask(now)
    return now
