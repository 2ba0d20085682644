"""The demo's ``fsmflow worker``: a process of its own, which ends with the demo, whatever way that ends."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
FSMFLOW = [sys.executable, "-m", "fsmflow.cli"]
PROCESSES = 2
COMMAND = [*FSMFLOW, "worker", "--processes", str(PROCESSES)]
ENDS_WITHIN_S = 10.0
DIES_WITHIN_S = 2.0
TAIL = 12


class Problem(Exception):
    """What keeps the demo from going on, in a sentence, with the end of a log where that tells more."""


class Interrupted(Exception):
    """Somebody asked the demo to end."""


class Signals:
    """Notes that somebody asked the demo to end, and interrupts nothing: what is under way here is done in less than a
    second, and a process that was started or ended by half would be left behind."""

    def __init__(self) -> None:
        self._came = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def check(self) -> None:
        """Raises Interrupted where a signal has come."""
        if self._came:
            raise Interrupted

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came = True


class Workers:
    """Runs ``fsmflow worker`` while it is entered."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def __enter__(self) -> "Workers":
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                COMMAND,
                cwd=ROOT,
                env=_with_path(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C at the terminal reaches the demo alone, which then ends the workers in order.
                start_new_session=True,
            )
        return self

    def check(self) -> None:
        """Raises Problem where the workers have ended."""
        if self._process.poll() is not None:
            raise Problem(f"'fsmflow worker' ended with status {self._process.returncode}{self.last_words()}")

    def last_words(self) -> str:
        """The end of the log, to be put behind a sentence."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
        if not lines:
            return f"; the workers' log {self._log} is empty"
        return "\n".join([f"; the end of the workers' log {self._log}:", *(f"    {line}" for line in lines)])

    def __exit__(self, *raised: object) -> None:
        """Let the running steps end; then less and less politely."""
        for within in (ENDS_WITHIN_S, DIES_WITHIN_S):
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(within)
                return
        self._process.kill()  # its worker processes end when it is gone
        self._process.wait()


def draw(address: str, path: Path) -> Path:
    """The picture of where an entity is, and the way it came, as ``fsmflow draw`` makes it."""
    command = [*FSMFLOW, "draw", address, "--as", "svg"]
    with path.open("wb") as picture:
        subprocess.run(command, cwd=ROOT, env=_with_path(os.environ), stdout=picture, check=True)
    return path


def _with_path(environment: "os._Environ[str]") -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    return {**environment, "PYTHONPATH": path}
