"""The parent of the embedded server: ends it when its last user has left. Run by file path; standard library only.

``embedded.py`` starts it and explains the locks. It guarantees that no server is left behind: the server ends with
the reaper (Linux), the reaper with the server, and both end soon after the last user, or when their files were
deleted and no new user could find them. It waits for no lock while it owns a server, as who holds one may be waiting
for the reaper to end.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

_POLL_S = 0.25
_SHORT_POLL_S = 0.01
_PREDECESSOR_LIMIT_S = 5.0
_START_LIMIT_S = 6.0  # a client gives up after 20 s: so it can try three times, and the log says why
_ORPHAN_LIMIT_S = 1.0
_PR_SET_PDEATHSIG = 1
_NO_DUMP = "valkey.rdb"


class Order(argparse.Namespace):
    """What the starter asked for."""

    home: Path
    socket: Path
    binary: Path
    linger_s: float
    start_fd: int
    report_fd: int


class Failure(Exception):
    """There will be no server; the message says why, for the log."""


class Signals:
    """Wakes the loop when the server ends and on SIGTERM; the terminal's signals are ignored."""

    def __init__(self) -> None:
        self.terminated = False
        self._wake, self._alarm = socket.socketpair()
        self._wake.setblocking(False)
        self._alarm.setblocking(False)
        signal.set_wakeup_fd(self._alarm.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGTERM, lambda number, frame: self._terminate())
        signal.pthread_sigmask(signal.SIG_SETMASK, [])  # a starter's thread may have blocked some

    def wait(self, limit_s: float) -> None:
        """Return after ``limit_s``, or sooner on a signal."""
        if select.select([self._wake], [], [], limit_s)[0]:
            with contextlib.suppress(BlockingIOError):
                self._wake.recv(4096)

    def _terminate(self) -> None:
        self.terminated = True


class Server:
    """The running server and the socket that it made."""

    def __init__(self, order: Order) -> None:
        self._home = order.home
        self._path = order.socket
        self._inode_fd: int | None = None
        self._inode: os.stat_result | None = None
        self.process = _spawn(order)

    def await_answer(self, signals: Signals, users_fd: int) -> None:
        """Return once the server answers. Raises Failure where it ended, or took too long."""
        deadline = time.monotonic() + _START_LIMIT_S
        while not _answers(self._path):
            if self.process.poll() is not None:
                raise Failure(f"the server ended at once, with status {self.process.returncode}")
            deleted = not _is_at(users_fd, self._home / "users.lock")
            if deleted or signals.terminated or time.monotonic() > deadline:
                raise Failure(f"the server was given up: it has not answered at {str(self._path)!r}")
            signals.wait(_SHORT_POLL_S)
        if sys.platform == "linux":
            # Open, so that the inode's number is not given to another socket while it is compared with.
            self._inode_fd = os.open(self._path, os.O_PATH | os.O_NOFOLLOW)
        self._inode = os.lstat(self._path)

    def is_at_its_path(self) -> bool:
        """Whether whoever connects to the path reaches this server."""
        try:
            return self._inode is not None and os.path.samestat(os.lstat(self._path), self._inode)
        except OSError:
            return False

    def end(self) -> None:
        """Remove the socket, unless it is another server's by now, and end the server. Nothing is kept of its data."""
        with contextlib.suppress(OSError):
            if self.is_at_its_path():
                os.unlink(self._path)
                if self._path.parent != self._home:
                    os.rmdir(self._path.parent)
        self.process.kill()
        self.process.wait()


def main() -> int:
    order = _parse(sys.argv[1:])
    if os.fork():
        os._exit(0)  # the starter waits for this one only; the reaper is init's child and leads no session
    signals = Signals()
    try:
        _own_a_server(order, signals)
    except (Failure, OSError) as error:
        _log(str(error))
        return 1
    return 0


def _own_a_server(order: Order, signals: Signals) -> None:
    """Start the server, report, and keep it for as long as it is needed."""
    users_fd = os.open(order.home / "users.lock", os.O_RDWR)
    start_fd = os.open(order.home / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
    _take_over(order, signals, users_fd)
    server = Server(order)
    try:
        server.await_answer(signals, users_fd)
        _report(order)
        reason = _watch(order, server, signals, users_fd, start_fd)
        _log(f"the server is stopped: {reason}")
    finally:
        server.end()  # and with the process go the locks: until then nobody starts another server


def _take_over(order: Order, signals: Signals, users_fd: int) -> None:
    """Become the home's only reaper, and end what a reaper that was killed may have left."""
    reaper_fd = os.open(order.home / "reaper.lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _PREDECESSOR_LIMIT_S
    while not _try_lock(reaper_fd):
        # Who still has a server that answers is not about to end; the starter will find it.
        if signals.terminated or time.monotonic() > deadline or _answers(order.socket):
            raise Failure("another reaper owns the server of this home")
        signals.wait(_SHORT_POLL_S)
    os.truncate(reaper_fd, 0)
    os.write(reaper_fd, str(os.fstat(users_fd).st_ino).encode())
    _end_orphan(order.socket)
    # Nothing is saved unless somebody tells the server to; what was saved must neither come back nor fail to load.
    for name in (order.socket, order.home / _NO_DUMP):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    os.truncate(order.home / "valkey.log", 0)


def _report(order: Order) -> None:
    """Let the next client in, and tell the starter, which may have been killed, that the server answers."""
    # Unlocked, not only closed: the starter may have forked children that have copies of the descriptor.
    fcntl.flock(order.start_fd, fcntl.LOCK_UN)
    os.close(order.start_fd)
    with contextlib.suppress(BrokenPipeError):
        os.write(order.report_fd, b"1")
    os.close(order.report_fd)


def _watch(order: Order, server: Server, signals: Signals, users_fd: int, start_fd: int) -> str:
    """Return, with the reason, when the server is to end or has ended."""
    unused_since: float | None = None
    while True:
        signals.wait(_POLL_S)
        if server.process.poll() is not None:
            return f"it ended by itself, with status {server.process.returncode}"
        if signals.terminated:
            return "the reaper got SIGTERM"
        if not (server.is_at_its_path() and _is_at(users_fd, order.home / "users.lock")):
            # New users would get a server of their own: better that all meet there than that they are two camps.
            return "its files were deleted, no new user could find it"
        if not _is_unused(users_fd):
            unused_since = None
            continue
        now = time.monotonic()
        unused_since = now if unused_since is None else unused_since
        if now - unused_since >= order.linger_s and _shut_the_door(users_fd, start_fd):
            return "nobody uses it"


def _is_unused(users_fd: int) -> bool:
    if not _try_lock(users_fd):
        return False
    fcntl.flock(users_fd, fcntl.LOCK_UN)
    return True


def _shut_the_door(users_fd: int, start_fd: int) -> bool:
    """Take both locks, for good: no client is then between its hold and its question, and none can get there."""
    if not _try_lock(start_fd):
        return False
    if _try_lock(users_fd):
        return True
    fcntl.flock(start_fd, fcntl.LOCK_UN)
    return False


def _spawn(order: Order) -> subprocess.Popen[bytes]:
    """The server as a process that is killed when this one ends, on Linux whatever way it ends."""
    options = {
        "--port": "0",
        "--unixsocket": str(order.socket),
        "--unixsocketperm": "700",
        "--save": "",
        "--appendonly": "no",
        "--dbfilename": _NO_DUMP,
        "--maxmemory-policy": "noeviction",
        "--daemonize": "no",
        "--dir": str(order.home),
        "--logfile": str(order.home / "valkey.log"),
    }
    reaper_pid = os.getpid()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # opened here: little is safe between fork and exec

    def die_with_reaper() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != reaper_pid:
            os._exit(1)  # the reaper died before the line above could have an effect

    words = [word for option in options.items() for word in option]
    return subprocess.Popen([str(order.binary), *words], stdin=subprocess.DEVNULL, preexec_fn=die_with_reaper)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ORPHAN_LIMIT_S)
        try:
            connection.connect(os.fsencode(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _end_orphan(path: Path) -> None:
    """End the server that listens at the path without a reaper. Its end is what closes the connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ORPHAN_LIMIT_S)
        try:
            connection.connect(os.fsencode(path))
        except OSError:
            return  # nobody listens
        try:
            connection.sendall(b"SHUTDOWN NOSAVE\r\n")
            while connection.recv(4096):
                pass
        except TimeoutError:
            _kill_listener(connection)
        except OSError:
            pass  # the connection broke: it ended


def _kill_listener(connection: socket.socket) -> None:
    """Kill who listens, as the kernel names it: unlike a pid file this is never out of date."""
    if sys.platform == "linux":
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if pid > 0:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except OSError:
        return False


def _parse(words: list[str]) -> Order:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--home", "--socket", "--binary"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--linger-s", type=float, default=5.0, help="how long the server outlives its last user")
    parser.add_argument("--start-fd", type=int, required=True, help="start.lock, held and inherited")
    parser.add_argument("--report-fd", type=int, required=True, help="a pipe: one byte when the server answers")
    return parser.parse_args(words, namespace=Order())


def _log(sentence: str) -> None:
    """One line to valkey.log, which is where standard error leads."""
    with contextlib.suppress(OSError):
        os.write(2, f"reaper {os.getpid()}: {sentence}\n".encode(errors="replace"))


if __name__ == "__main__":
    sys.exit(main())
