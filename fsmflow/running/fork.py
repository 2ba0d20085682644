"""A process that a job has forked. It has all that its worker has, and goes on with none of it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from fsmflow import log
from fsmflow.causes import summary


def leave_if_forked(pid: int, what: str, error: BaseException | None = None) -> None:
    """End this process, if it is another than ``pid``: ``what`` has forked it, and has come back to us in it.

    It ends without a word to the database, to Redis or to the supervisor: the connections are those of its parent. The
    status is the one that it asked for with ``sys.exit``, 1 where it raised something else, and 0 where it returned.
    """
    if os.getpid() == pid:
        return
    ended = "returned" if error is None else f"raised {summary(error)}"
    log.fork_ended(os.getpid(), pid, what, ended)
    flush()
    os._exit(_status(error))


def flush() -> None:
    """Write out what was printed so far. A job may have closed, or replaced, what it prints to."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):
            stream.flush()


def _status(error: BaseException | None) -> int:
    if error is None:
        return 0
    code = error.code if type(error) is SystemExit else 1
    return 0 if code is None else code & 0xFF if isinstance(code, int) else 1
