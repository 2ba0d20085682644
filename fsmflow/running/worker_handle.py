"""The supervisor's hold on one worker process: spawned with a pipe and a slot, in a process group of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from fsmflow import clock
from fsmflow.running.slot import BLOCKING, ENDING, RUNNING, SETTLING, STARTING, Doing, Slot, nameless_file
from fsmflow.running.worker import GO, STOP
from fsmflow.values import dataclass

#: For a process whose status somebody else has taken: as if killed.
_UNKNOWN_STATUS = int(signal.SIGKILL)

#: How long after its limit a job may take to stop by itself before its process is killed.
OVERRUN_S = 3.0

#: How long a process may take to end that has no more to do. Longer than Redis is waited for.
STAY_S = 20.0

_HELD: Final = (RUNNING, SETTLING, BLOCKING)
_ENTRY: Final = str(Path(__file__).with_name("entry.py"))


@dataclass(frozen=True, kw_only=True)
class Start:
    """How worker processes are started: in the surroundings that their supervisor was started in.

    ``path`` and ``settings`` are handed over apart from the environment, which jobs hand on to what they start.
    """

    options: Sequence[str]
    settings: Mapping[str, Any]
    path: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    umask: int
    #: The descriptor by which all of them tell what is to be counted.
    channel: int
    #: How many jobs each may run beside others.
    lanes: int = 0


class WorkerHandle:
    """One worker process. Its group ends when the pipe closes, so it cannot outlive its supervisor."""

    def __init__(self, name: str, start: Start) -> None:
        #: How its names in RQ begin.
        self.name = name
        self.slot = Slot.create(start.lanes)
        self._slots = [self.slot, self.slot.successor, *self.slot.lanes]
        reading, self._control = os.pipe()
        try:
            self._process = _started(start, name, self.slot.descriptor, reading)
        except OSError:
            self.close()
            raise
        finally:
            os.close(reading)
        self.pid = self._process.pid
        self.is_working = False
        self.is_stopped = False
        self._told_to_end = False
        self._ends_since: float | None = None
        self.stays = False
        self.overrun: Doing | None = None
        self.exit: str | None = None
        self.exit_status: int | None = None

    @property
    def is_ready(self) -> bool:
        doing = self.slot.read()
        return doing is not None and doing.state != STARTING

    @property
    def is_ending(self) -> bool:
        """Whether it takes no more jobs: it was told to end, or is worn."""
        doing = self.slot.read()
        return self._told_to_end or (doing is not None and doing.state == ENDING)

    def put_to_work(self) -> None:
        """From standing by to working."""
        self.is_working = True
        self._write(GO)

    def overstays(self) -> bool:
        """Whether it should have ended: it takes no more jobs, and has held no attempt for a while."""
        if not self.is_ending or self.doings():
            self._ends_since = None
            return False
        now = clock.monotonic()
        self._ends_since = now if self._ends_since is None else self._ends_since
        return now - self._ends_since > STAY_S

    def poll(self) -> bool:
        """Look at the process; True once it is dead. Its group is then killed whole, and ``exit`` says how it ended."""
        while self.exit is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                pid, status = self.pid, _UNKNOWN_STATUS
            if pid == 0:
                return False
            if os.WIFSTOPPED(status):
                self.is_stopped = True
            elif os.WIFCONTINUED(status):
                self.is_stopped = False
            else:
                self._died(status)
        return True

    def _died(self, status: int) -> None:
        self.exit_status = os.waitstatus_to_exitcode(status)
        self._process.returncode = self.exit_status
        code = self.exit_status
        self.exit = f"exited with status {code}" if code >= 0 else f"was killed by {_signal_name(-code)}"
        self.kill()

    def doings(self) -> list[Doing]:
        """The attempts that the process holds, or held when it died."""
        found = (slot.read() for slot in self._slots)
        held = [doing for doing in found if doing is not None and doing.state in _HELD and doing.owner]
        # The claim of what runs next is told of twice for a moment, as it begins: the first knows more of it.
        return list({doing.owner: doing for doing in reversed(held)}.values())[::-1]

    def renewable(self) -> list[tuple[int, str]]:
        """The claims whose leases are to be renewed: of a live process, not stopped, before their deadline."""
        if self.is_stopped:
            return []
        now = clock.monotonic()
        return [(it.row, it.owner) for it in self.doings() if it.state == RUNNING and now < it.ends_at]

    def overruns(self) -> Doing | None:
        """An attempt that should have stopped at its limit, or given a sign of life, and did not; or one that keeps
        those beside it from going on."""
        late = clock.monotonic() - OVERRUN_S
        beside = late - OVERRUN_S  # what shares a loop may be late as another job blocks that, which is told sooner
        found = self.doings()
        blocking = next((doing for doing in found if doing.state == BLOCKING), None)
        if blocking is not None:
            return blocking
        main = self.slot.read()
        return next(
            (
                doing
                for doing in found
                if doing.state == RUNNING and doing.ends_at < (late if doing == main else beside)
            ),
            None,
        )

    def terminate(self) -> None:
        """Ask it to end after the running step. Not by a signal: its handler may be that of a job."""
        self._told_to_end = True
        self.slot.tell_to_end()
        self._write(STOP)

    def kill(self) -> None:
        """End the whole group now."""
        self._signal(signal.SIGKILL, group=True)

    def close(self) -> None:
        """Let go of pipe and slot, once it is dead."""
        os.close(self._control)
        self.slot.close()

    def _write(self, word: bytes) -> None:
        with suppress(BrokenPipeError):  # it has just died; the next look at it finds that out
            os.write(self._control, word)

    def _signal(self, number: signal.Signals, *, group: bool = False) -> None:
        try:
            if group:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _started(start: Start, name: str, slot: int, control: int) -> subprocess.Popen[bytes]:
    handed = _handed(start)
    command = [sys.executable, _ENTRY, str(handed), "fsmflow.running.worker", *start.options]
    try:
        return subprocess.Popen(
            [*command, "--name", name, "--slot", str(slot), "--control", str(control), "--channel", str(start.channel)],
            env=dict(start.environment),
            cwd=start.folder,
            umask=start.umask,
            stdin=subprocess.DEVNULL,
            pass_fds=(slot, control, handed, start.channel),
            process_group=0,
        )
    finally:
        os.close(handed)


def _handed(start: Start) -> int:
    """What a worker process takes over, in a file without a name; its descriptor."""
    descriptor = nameless_file("fsmflow-start")
    with os.fdopen(os.dup(descriptor), "w") as file:
        json.dump({"path": list(start.path), "settings": dict(start.settings)}, file)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
