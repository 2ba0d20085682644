"""The supervisor's hold on one worker process: spawned with a pipe and a slot, in a process group of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from fsmflow import clock
from fsmflow.running.slot import RUNNING, SETTLING, STARTING, Doing, Slot
from fsmflow.running.worker import GO

#: For a process whose status somebody else has taken: as if killed.
_UNKNOWN_STATUS = int(signal.SIGKILL)

#: How long after its limit a job may take to stop by itself before its process is killed.
OVERRUN_S = 3.0


class WorkerHandle:
    """One worker process. Its group ends when the pipe closes, so it cannot outlive its supervisor."""

    def __init__(self, name: str, queues: Sequence[str], environment: Mapping[str, str], log_level: str) -> None:
        #: How its names in RQ begin.
        self.name = name
        self.slot = Slot.create()
        reading, self._control = os.pipe()
        command = [
            sys.executable,
            "-m",
            "fsmflow.running.worker",
            "--queues",
            ",".join(queues),
            "--name",
            name,
            "--log-level",
            log_level,
        ]
        command += ["--slot", str(self.slot.descriptor), "--control", str(reading)]
        self._process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            pass_fds=(self.slot.descriptor, reading),
            process_group=0,
        )
        os.close(reading)
        self.pid = self._process.pid
        self.is_working = False
        self.is_stopped = False
        self.overrun: Doing | None = None
        self.exit: str | None = None
        self.exit_status: int | None = None

    @property
    def is_ready(self) -> bool:
        doing = self.slot.read()
        return doing is not None and doing.state != STARTING

    def put_to_work(self) -> None:
        """From standing by to working."""
        self.is_working = True
        with suppress(BrokenPipeError):  # it has just died; the next look at it finds that out
            os.write(self._control, GO)

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

    def doing(self) -> Doing | None:
        """The attempt that the process holds, or held when it died; None for none."""
        doing = self.slot.read()
        return doing if doing is not None and doing.state in (RUNNING, SETTLING) and doing.owner else None

    def renewable(self) -> tuple[int, str] | None:
        """The claim whose lease is to be renewed: of a live process, not stopped, before its deadline."""
        doing = self.doing()
        if doing is None or doing.state != RUNNING or self.is_stopped or clock.monotonic() >= doing.ends_at:
            return None
        return doing.row, doing.owner

    def overruns(self) -> Doing | None:
        """The attempt that should have stopped at its limit, or given a sign of life, and did not."""
        doing = self.doing()
        late = doing is not None and doing.state == RUNNING and clock.monotonic() > doing.ends_at + OVERRUN_S
        return doing if late else None

    def terminate(self) -> None:
        """Ask it to end after the running step."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the whole group now."""
        self._signal(signal.SIGKILL, group=True)

    def close(self) -> None:
        """Let go of pipe and slot, once it is dead."""
        os.close(self._control)
        self.slot.close()

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
