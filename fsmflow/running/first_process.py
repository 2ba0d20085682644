"""As the first process of a container: what is left to it, and to nobody else, and is no business of a supervisor.

Processes whose parent has ended become children of the first process, and stay as zombies until it asks for their
status. A supervisor that did so would take those of its own workers, and of what a hook starts. So it goes on in a
child, and the first process does nothing else than this, as ``tini`` does.
"""

from __future__ import annotations

import os
import signal
from typing import Final

FIRST: Final = 1
#: Handed on to the supervisor.
_HANDED_ON: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def step_aside() -> None:
    """Return at once where this is not the first process; else in a child of it. To be called before anything is
    opened, and before there are threads. The first process itself ends with the status of that child."""
    if os.getpid() != FIRST:
        return
    # Before the fork, so that none is lost, and waited for after it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_HANDED_ON, signal.SIGCHLD})
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)  # Ctrl-C reaches it once: by the first process, and not by the terminal too
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_HANDED_ON, signal.SIGCHLD})
        return
    os._exit(_wait_for(child))


def _wait_for(child: int) -> int:
    while True:
        number = signal.sigwait({*_HANDED_ON, signal.SIGCHLD})
        if number != signal.SIGCHLD:
            os.kill(child, number)
        status = _reap(child)
        if status is not None:
            return status


def _reap(child: int) -> int | None:
    """Ask for the status of all that have ended; that of the child, as a shell gives it, where it is among them."""
    while True:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended == 0:
            return None
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
