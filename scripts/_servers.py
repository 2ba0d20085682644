"""PostgreSQL and MariaDB for the tests: found or installed, run on directories of their own, and gone at the end.

``databases()`` gives the variables that the tests read. A server whose variable is set already is the caller's own
and is left alone. What cannot be had is said in a line; its tests are skipped.
"""

import abc
import contextlib
import ctypes
import glob
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from _packages import Unavailable, finish, install_packages, last_line

STARTS_WITHIN_S = 60.0
STOPS_WITHIN_S = 15.0
PR_SET_PDEATHSIG = 1
IN_MEMORY = "/dev/shm"
ROOM_BYTES = 2 * 1024**3


class Server(abc.ABC):
    """One kind of server: where its programs are, how a data directory is made, how it is started."""

    label: str
    variable: str
    package: str
    account: str
    most_connections = 200
    stop_signal = signal.SIGTERM
    #: For the case that this process is killed: nothing that the server holds is worth a proper end.
    orphan_signal = signal.SIGKILL

    def __init__(self) -> None:
        self.password = secrets.token_hex(16)
        self.port = free_port()
        self.programs = self.find()

    @abc.abstractmethod
    def find(self) -> list[str]:
        """The program that makes a data directory and the one that serves it; nothing where one is missing."""

    @abc.abstractmethod
    def initialise(self, home: Path) -> list[str]:
        """The command that makes the data directory in ``home``."""

    @abc.abstractmethod
    def serve(self, home: Path) -> list[str]:
        """The command that runs the server in the foreground."""

    @abc.abstractmethod
    def answers(self, home: Path) -> bool:
        """Whether it takes connections by now."""

    @abc.abstractmethod
    def url(self) -> str:
        """Where it is, with an account that may create databases."""


class Postgres(Server):
    label = "PostgreSQL"
    variable = "FSMFLOW_TEST_POSTGRES_URL"
    package = "postgresql"
    account = "postgres"
    stop_signal = signal.SIGINT  # its "fast" end; SIGTERM would wait for whoever is still connected
    orphan_signal = signal.SIGQUIT
    folders = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/bin")

    def find(self) -> list[str]:
        newest_first = sorted(_expand(self.folders), key=_version, reverse=True)
        for folder in [*newest_first, *os.get_exec_path()]:
            found = [program for name in ("initdb", "postgres") if (program := shutil.which(name, path=folder))]
            if len(found) == 2:
                return found
        return []

    def initialise(self, home: Path) -> list[str]:
        _write(home / "password", self.password)
        access = ["--username=fsmflow", "--auth=scram-sha-256", f"--pwfile={home}/password"]
        return [self.programs[0], f"--pgdata={home}/data", "--encoding=UTF8", "--locale=C", "--no-sync", *access]

    def serve(self, home: Path) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": str(self.most_connections),
            "fsync": "on",
        }
        return [self.programs[1], "-D", f"{home}/data", *(f"--{name}={value}" for name, value in settings.items())]

    def answers(self, home: Path) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return (home / "data/postmaster.pid").read_text().split()[-1] == "ready"
        return False

    def url(self) -> str:
        return f"postgresql://fsmflow:{self.password}@127.0.0.1:{self.port}/postgres"


class MariaDB(Server):
    label = "MariaDB"
    variable = "FSMFLOW_TEST_MYSQL_URL"
    package = "mariadb-server"
    account = "mysql"
    folders = ("/usr/sbin", "/usr/bin", "/usr/local/bin", "/usr/local/sbin", "/usr/libexec")

    def find(self) -> list[str]:
        path = os.pathsep.join([*os.get_exec_path(), *self.folders])
        install = shutil.which("mariadb-install-db", path=path)
        server = shutil.which("mariadbd", path=path) or shutil.which("mysqld", path=path)
        return [install, server] if install and server else []

    def initialise(self, home: Path) -> list[str]:
        accounts = [
            f"CREATE USER 'fsmflow'@'127.0.0.1' IDENTIFIED BY '{self.password}';",
            "GRANT ALL ON *.* TO 'fsmflow'@'127.0.0.1' WITH GRANT OPTION;",
            # They have no password. What is left of root comes in by the socket only, which lies in a private folder.
            "DROP USER IF EXISTS 'root'@'127.0.0.1', 'root'@'::1';",
        ]
        _write(home / "accounts.sql", "\n".join(accounts))
        options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        return [self.programs[0], "--no-defaults", f"--datadir={home}/data", *options, "--innodb-log-file-size=16M"]

    def serve(self, home: Path) -> list[str]:
        return [
            self.programs[1],
            "--no-defaults",
            f"--datadir={home}/data",
            f"--socket={home}/socket",
            f"--pid-file={home}/pid",
            f"--init-file={home}/accounts.sql",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            f"--max-connections={self.most_connections}",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-log-file-size=16M",
        ]

    def answers(self, home: Path) -> bool:
        # It greets whoever connects, once it has run its init file.
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            return bool(connection.recv(1))
        return False

    def url(self) -> str:
        return f"mysql://fsmflow:{self.password}@127.0.0.1:{self.port}/mysql"


class PgBouncer:
    """Of it the tests start servers themselves, in front of PostgreSQL; without it they are skipped."""

    label, package = "PgBouncer", "pgbouncer"
    programs = glob.glob("/usr/*bin/pgbouncer")

    def find(self) -> list[str]:
        return glob.glob("/usr/*bin/pgbouncer")


def fast_folder() -> str | None:
    """A folder in memory, where there is one with room: tests wait for the disk most of their time otherwise."""
    with contextlib.suppress(OSError):
        found = os.statvfs(IN_MEMORY)
        if found.f_bavail * found.f_frsize >= ROOM_BYTES and os.access(IN_MEMORY, os.W_OK):
            return IN_MEMORY
    return None


@contextlib.contextmanager
def databases() -> Iterator[dict[str, str]]:
    """Run what the environment does not name already; gives the variable and address of each that is there."""
    urls: dict[str, str] = {}
    wanted: list[Server] = []
    kinds: tuple[type[Server], ...] = (Postgres, MariaDB)
    for kind in kinds:
        if kind.variable in os.environ:
            urls[kind.variable] = os.environ[kind.variable]
        else:
            wanted.append(kind())
    needed: list[Server | PgBouncer] = [*wanted, PgBouncer()]
    reasons = install([one for one in needed if not one.programs])
    with contextlib.ExitStack() as stack:
        for server in wanted:
            try:
                if not server.programs:
                    raise Unavailable(reasons)
                stack.enter_context(running(server))
                urls[server.variable] = server.url()
            except Unavailable as why:
                print(f"{server.label}: not available ({why}); its tests are skipped", flush=True)
        yield urls


def install(missing: "Sequence[Server | PgBouncer]") -> str:
    """Install what is missing where that can be done; gives the reason for what is still missing after that."""
    if not missing:
        return ""
    label = " and ".join(server.label for server in missing)
    why = install_packages(label, [server.package for server in missing])
    if why:
        return why
    for server in missing:
        server.programs = server.find()
    return "apt-get installed it, but its programs were not found"


class Running:
    """A server on a directory of its own, which can be ended and started again on it."""

    def __init__(self, server: Server, home: Path, account: str | None) -> None:
        self.server = server
        self.home = home
        self.account = account
        self._environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LC_ALL": "C"}
        self._process: subprocess.Popen[bytes] | None = None

    def initialise(self) -> None:
        """Make the data directory. Raises Unavailable."""
        command = self.server.initialise(self.home)
        finish(command, env=self._environment, cwd=self.home, user=self.account, timeout=STARTS_WITHIN_S)

    def start(self) -> None:
        """Start it, and return once it takes connections. Raises Unavailable."""
        with (self.home / "log").open("ab") as log:
            self._process = _spawn(self.server, self.home, self.account, self._environment, log.fileno())
        _await(self.server, self.home, self._process)

    def stop(self, stop_signal: signal.Signals | None = None) -> None:
        """End it, by its proper signal or by another one, and wait for its end."""
        if self._process is not None:
            _stop(self._process, stop_signal or self.server.stop_signal)
            self._process = None

    def is_alive(self) -> bool:
        """Whether its process has not ended by itself."""
        return self._process is not None and self._process.poll() is None


@contextlib.contextmanager
def running(server: Server, folder: str | None = None) -> Iterator[Running]:
    """The server, on a new directory (in ``folder``) that is gone in the end. Raises Unavailable."""
    with _home(server.account, folder or fast_folder()) as (home, account):
        made = Running(server, home, account)
        made.initialise()
        try:
            made.start()
            yield made
        finally:
            made.stop()


def _spawn(
    server: Server, home: Path, account: str | None, environment: dict[str, str], log: int
) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            server.serve(home),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            env=environment,
            user=account,
            extra_groups=[] if account else None,
            # A group of its own, so that Ctrl-C at the terminal ends the tests first and the servers after them.
            start_new_session=True,
            preexec_fn=dies_with_parent(server.orphan_signal),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"its server could not be started: {error}") from error


def dies_with_parent(orphan_signal: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def arrange() -> None:
        prctl(PR_SET_PDEATHSIG, int(orphan_signal))
        if os.getppid() != parent:
            os._exit(1)

    return arrange


def _await(server: Server, home: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        if server.answers(home):
            return
        time.sleep(0.05)
    state = "still did not answer" if process.poll() is None else f"ended with status {process.returncode}"
    raise Unavailable(f"its server {state}: {last_line((home / 'log').read_text(errors='replace'))}")


def _stop(process: "subprocess.Popen[bytes]", stop_signal: signal.Signals) -> None:
    # Held back meanwhile: a second Ctrl-C must not leave the server behind.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        process.send_signal(stop_signal)
        process.wait(STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


@contextlib.contextmanager
def _home(account: str, folder: str | None) -> Iterator[tuple[Path, str | None]]:
    """A private folder, and the account that it belongs to where this process is root: the servers refuse root."""
    with tempfile.TemporaryDirectory(prefix="fsmflow-tests-", dir=folder, ignore_cleanup_errors=True) as home:
        owner = _first_account(account, "nobody") if os.geteuid() == 0 else None
        if owner:
            shutil.chown(home, owner)
        yield Path(home), owner


def _first_account(*names: str) -> str:
    for name in names:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise Unavailable(f"root cannot run it, and there is no account {' or '.join(names)}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _expand(patterns: tuple[str, ...]) -> list[str]:
    return [folder for pattern in patterns for folder in glob.glob(pattern)]


def _version(folder: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", folder))


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)  # for the server's account, whatever the umask; the folder lets nobody else in
