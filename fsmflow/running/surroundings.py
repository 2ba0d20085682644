"""What a job may change of its process, and the next one must not find: put right after each job, or told.

Put right are signal handlers, blocked signals, timers, the working folder, the umask, the default timeout of sockets,
the locale, and the context of decimals. Told are the environment, threads that would keep a process from ending, and
child processes that still run: a library may mean to keep them.
"""

from __future__ import annotations

import decimal
import locale
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from fsmflow import log
from fsmflow.causes import summary
from fsmflow.running.fork import flush

_SIGNALS: Final = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGALRM,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGCHLD,
    signal.SIGPIPE,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_TIMERS: Final = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_OFF: Final = (0.0, 0.0)
#: Those of the module make Enums of each answer, which takes longer than all else here together.
_handler_of: Final = vars(signal)["_signal"].getsignal
_mask: Final = vars(signal)["_signal"].pthread_sigmask


class _Thing(Protocol):
    """Something of the process that a job may change. Called with a value it is put back to that."""

    def read(self) -> Any: ...

    def put_back(self, value: Any) -> object: ...


class _Folder:
    read = staticmethod(os.getcwd)
    put_back = staticmethod(os.chdir)


class _Umask:
    put_back = staticmethod(os.umask)

    def read(self) -> int:
        now = os.umask(0o077)
        os.umask(now)
        return now


class _SocketTimeout:
    read = staticmethod(socket.getdefaulttimeout)
    put_back = staticmethod(socket.setdefaulttimeout)


class _Locale:
    def read(self) -> str:
        return locale.setlocale(locale.LC_ALL)

    def put_back(self, value: str) -> None:
        locale.setlocale(locale.LC_ALL, value)


class _Decimals:
    """The context, told apart from the one at first: to take the traps out of it takes long."""

    def __init__(self) -> None:
        self._first = decimal.getcontext().copy()

    def read(self) -> Any:
        now = decimal.getcontext()
        same_traps = now.traps == self._first.traps
        return now.prec, now.rounding, now.Emin, now.Emax, now.capitals, now.clamp, same_traps

    def put_back(self, value: Any) -> None:
        decimal.setcontext(self._first.copy())


class _Handlers:
    def read(self) -> Any:
        return tuple(map(_handler_of, _SIGNALS))

    def put_back(self, value: Any) -> None:
        for number, handler in zip(_SIGNALS, value, strict=True):
            if handler is not None:  # one of C, which cannot be put back
                signal.signal(number, handler)


class _Wakeup:
    """The descriptor that is told of signals; a loop that an ``async`` job did not close leaves its own."""

    def read(self) -> int:
        now = signal.set_wakeup_fd(-1)
        if now != -1:
            signal.set_wakeup_fd(now)
        return now

    put_back = staticmethod(signal.set_wakeup_fd)


class _Blocked:
    def read(self) -> Any:
        return _mask(signal.SIG_BLOCK, ())

    def put_back(self, value: Any) -> None:
        _mask(signal.SIG_SETMASK, value)


class _Timers:
    """Whether any runs that did not run at first."""

    def __init__(self) -> None:
        self._were_off = [timer for timer in _TIMERS if signal.getitimer(timer) == _OFF]

    def read(self) -> bool:
        return any(signal.getitimer(timer) != _OFF for timer in self._were_off)

    def put_back(self, value: Any) -> None:
        for timer in self._were_off:
            signal.setitimer(timer, 0)


_OF_SIGNALS: Final[dict[str, _Thing]] = {
    "the descriptor that is told of signals": _Wakeup(),
    "signal handlers": _Handlers(),
    "blocked signals": _Blocked(),
}
_OTHERS: Final[dict[str, _Thing]] = {
    "the working folder": _Folder(),
    "the umask": _Umask(),
    "the default timeout of sockets": _SocketTimeout(),
    "the locale": _Locale(),
}


class Surroundings:
    """How the process was before its first job. Only the main thread can change signals, so elsewhere these are left
    alone. What is told of a job is told once."""

    def __init__(self) -> None:
        in_main = threading.current_thread() is threading.main_thread()
        # Timers first: they call what comes next.
        of_signals = {"timers": _Timers(), **_OF_SIGNALS} if in_main else {}
        self._things: dict[str, _Thing] = {**of_signals, **_OTHERS, "the context of decimals": _Decimals()}
        self._reads = [thing.read for thing in self._things.values()]
        self._before = self._read()
        self._environment = dict(_environment())
        self._known = {_of_thread(thread) for thread in threading.enumerate()} | set(_children())
        self._told: set[tuple[str, str]] = set()

    def put_right(self, address: str, job: str) -> None:
        """After a job: put right what can be, and tell it; tell of what it left behind. Raises nothing."""
        flush()
        if not self._is_as_before():
            for (name, thing), before in zip(self._things.items(), self._before, strict=True):
                self._put_right(address, job, name, thing, before)
        for what in (*self._of_environment(), *self._that_run()):
            self._tell(address, job, what, "stays as it is")

    def _read(self) -> list[Any]:
        return [read() for read in self._reads]

    def _is_as_before(self) -> bool:
        try:
            return self._read() == self._before
        except OSError:
            return False  # the working folder is gone, say

    def _put_right(self, address: str, job: str, name: str, thing: _Thing, before: Any) -> None:
        try:
            if thing.read() == before:
                return
        except OSError:
            pass  # the working folder is gone, say
        try:
            thing.put_back(before)
        except Exception as error:  # noqa: BLE001 - the attempt has ended, and that is to be committed
            self._tell(address, job, name, f"cannot be put right: {summary(error)}")
        else:
            self._tell(address, job, name, "put right")

    def _of_environment(self) -> Iterator[str]:
        now = _environment()
        if now == self._environment:
            return
        before, self._environment = self._environment, dict(now)
        for name in sorted(now.keys() | before.keys()):
            if now.get(name) != before.get(name):
                yield f"the variable {os.fsdecode(name)}"

    def _that_run(self) -> Iterator[str]:
        found = {_of_thread(thread) for thread in threading.enumerate() if not thread.daemon} | set(_children())
        yield from sorted(found - self._known)
        self._known |= found

    def _tell(self, address: str, job: str, what: str, then: str) -> None:
        if (job, what) not in self._told:
            self._told.add((job, what))
            log.job_left(address, job, what, then)


def _environment() -> dict[bytes, bytes]:
    """The variables as they are kept: to decode them all takes longer than all else here together."""
    kept: dict[bytes, bytes] = vars(os.environ)["_data"]
    return kept


def _of_thread(thread: threading.Thread) -> str:
    return f"the thread {thread.name!r}, which is no daemon"


def _children() -> Iterator[str]:
    """The child processes that run, where the system tells."""
    if not hasattr(os, "waitid"):
        return
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            yield from filter(None, map(_of_child, path.read_text().split()))


def _of_child(pid: str) -> str | None:
    with suppress(OSError):
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(") ")
        return None if rest.startswith("Z") else f"the child process {pid} ({name})"
    return None
