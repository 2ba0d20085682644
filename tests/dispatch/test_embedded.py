"""The embedded server, with real processes, a real server and SIGKILL."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from fsmflow import clock
from fsmflow.dispatch import embedded
from fsmflow.dispatch.embedded import EmbeddedServer
from fsmflow.errors import ConfigurationError
from tests.support.paths import ROOT

pytestmark = pytest.mark.alone

LINGER_S = 0.5
LIMIT_S = 30.0
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the server with its reaper")

USER = """
import os, signal, subprocess, sys
from pathlib import Path
from fsmflow.dispatch.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]), linger_s=float(sys.argv[2]))
"""
EACH_LINE_ENSURES = "for line in sys.stdin: print(server.ensure(), flush=True)"
DIES_ONCE_IT_HAS_SPAWNED = """
class Popen(subprocess.Popen):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
subprocess.Popen = Popen
server.ensure()
"""
EXITS_WITH_7_WITHOUT_CHILDREN = """
server.ensure()
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    sys.exit(7)
"""
FORKS_AND_DIES = """
server.ensure()
if os.fork():
    os.kill(os.getpid(), signal.SIGKILL)
for line in sys.stdin: print(server.ensure(), flush=True)
"""


class User:
    """A process that uses the server of a home until it is killed."""

    def __init__(self, home: Path, code: str = EACH_LINE_ENSURES) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER + code, str(home), str(LINGER_S)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )

    def ask(self) -> None:
        print(file=self.process.stdin, flush=True)

    def url(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ensure(self) -> str:
        self.ask()
        return self.url()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


Start = Callable[..., User]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Starts users. After the test all are killed, and nothing may remain."""
    users: list[User] = []

    def start_user(code: str = EACH_LINE_ENSURES) -> User:
        users.append(User(home, code))
        return users[-1]

    yield start_user
    for user in users:
        user.kill()
    await_nothing_left(home)


@pytest.fixture
def server(home: Path, start: Start) -> Iterator[EmbeddedServer]:
    """This process as a user."""
    used = EmbeddedServer(home, linger_s=LINGER_S)
    yield used
    used.leave()


def await_true(condition: Callable[[], object], what: str) -> None:
    deadline = clock.monotonic() + LIMIT_S
    while not condition():
        assert clock.monotonic() < deadline, f"not within {LIMIT_S} s: {what}"
        clock.pause(0.02)


def pid_of(url: str) -> int:
    client = redis.Redis.from_url(url)
    try:
        return int(client.info("server")["process_id"])
    finally:
        client.close()


def processes() -> Iterator[tuple[int, int, str]]:
    """The pid, parent and command line of all that run; zombies do not."""
    listing = subprocess.run(["ps", "-axww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, check=True)
    for line in listing.stdout.decode(errors="replace").splitlines():
        pid, parent, status, command = line.split(maxsplit=3)
        if not status.startswith("Z"):
            yield int(pid), int(parent), command


def parent_of(pid: int) -> int:
    return next(parent for found, parent, _ in processes() if found == pid)


def is_gone(pid: int) -> bool:
    return all(found != pid for found, _, _ in processes())


def running(home: Path, word: str = "") -> list[str]:
    """The command lines that name the home or its socket; those of users, reapers and servers do."""
    names = (str(home), str(EmbeddedServer(home).socket_path))
    return [line for _, _, line in processes() if word in line and any(name in line for name in names)]


def await_nothing_left(home: Path) -> None:
    # Two listings, as one misses who forks and ends just then.
    await_true(lambda: not running(home) and not running(home), f"nothing of {home} runs any more")


def test_twenty_processes_that_start_at_once_share_one_server(home: Path, start: Start) -> None:
    users = [start() for _ in range(20)]
    for user in users:
        user.ask()
    assert len({pid_of(user.url()) for user in users}) == 1
    assert len(running(home, "valkey-server unixsocket:")) == 1
    assert (home.stat().st_mode & 0o777, (home / "valkey.sock").stat().st_mode & 0o777) == (0o700, 0o700)


def test_threads_share_one_server_and_one_hold(server: EmbeddedServer) -> None:
    with ThreadPoolExecutor(10) as threads:
        urls = list(threads.map(lambda _: server.ensure(), range(10)))
    assert urls == [f"unix://{server.socket_path}"] * 10
    server.leave()
    await_true(lambda: not server.socket_path.exists(), "the server is stopped once its only process has left")


def test_no_zombie_is_left_in_the_process_that_starts_the_server(start: Start) -> None:
    assert start(EXITS_WITH_7_WITHOUT_CHILDREN).process.wait(LIMIT_S) == 7


def test_a_killed_server_is_replaced_by_the_next_ensure(server: EmbeddedServer) -> None:
    killed = pid_of(server.ensure())
    os.kill(killed, signal.SIGKILL)
    assert pid_of(server.ensure()) != killed


@linux
def test_a_killed_reaper_takes_its_server_with_it_and_both_are_replaced(server: EmbeddedServer) -> None:
    orphan = pid_of(server.ensure())
    os.kill(parent_of(orphan), signal.SIGKILL)
    await_true(lambda: is_gone(orphan), "the server ends with its reaper")
    assert pid_of(server.ensure()) != orphan


@pytest.mark.parametrize("hangs", [False, True])
def test_a_server_without_a_reaper_is_ended_and_not_used(hangs: bool, server: EmbeddedServer) -> None:
    server.socket_path.parent.mkdir()
    binary, socket_path = embedded._find_server(), str(server.socket_path)
    orphan = subprocess.Popen([binary, "--port", "0", "--unixsocket", socket_path, "--save", ""], stdout=-3)
    await_true(lambda: embedded._answers(server.socket_path), "the orphan answers")
    if hangs:
        orphan.send_signal(signal.SIGSTOP)
    assert pid_of(server.ensure()) != orphan.pid
    assert orphan.wait(LIMIT_S) is not None


def test_when_all_users_are_killed_the_server_ends_and_leaves_no_process(home: Path, start: Start) -> None:
    users = [start() for _ in range(5)]
    pids = {pid_of(user.ensure()) for user in users}
    for user in users[1:]:
        user.kill()
    assert {pid_of(users[0].ensure())} == pids
    users[0].kill()
    killed_at = clock.monotonic()
    await_nothing_left(home)
    assert clock.monotonic() - killed_at < LINGER_S + 5
    assert not (home / "valkey.sock").exists()


def test_a_starter_killed_once_it_has_spawned_hinders_nobody(home: Path, start: Start) -> None:
    assert start(DIES_ONCE_IT_HAS_SPAWNED).process.wait(LIMIT_S) == -signal.SIGKILL
    await_nothing_left(home)
    assert start(DIES_ONCE_IT_HAS_SPAWNED).process.wait(LIMIT_S) == -signal.SIGKILL
    assert pid_of(start().ensure()) > 0
    assert len(running(home, "valkey-server unixsocket:")) == 1


def test_a_forked_child_keeps_the_server_after_its_parent_was_killed(start: Start) -> None:
    forked = start(FORKS_AND_DIES)
    first = pid_of(forked.ensure())
    assert forked.process.wait(LIMIT_S) == -signal.SIGKILL
    assert pid_of(forked.ensure()) == first


def test_interrupting_the_starters_process_group_leaves_the_server_to_the_others(start: Start) -> None:
    starter, other = start(), start()
    pid = pid_of(starter.ensure())
    assert pid_of(other.ensure()) == pid
    os.killpg(starter.process.pid, signal.SIGINT)
    assert starter.process.wait(LIMIT_S) != 0
    assert pid_of(other.ensure()) == pid


def test_sigterm_to_the_reaper_stops_its_server(home: Path, server: EmbeddedServer) -> None:
    os.kill(parent_of(pid_of(server.ensure())), signal.SIGTERM)
    await_nothing_left(home)
    assert pid_of(server.ensure()) > 0


def test_a_home_deleted_while_running_gets_a_new_server_for_new_and_old_users(home: Path, start: Start) -> None:
    old = start()
    deleted = pid_of(old.ensure())
    shutil.rmtree(home)
    new = pid_of(start().ensure())
    assert new != deleted
    assert pid_of(old.ensure()) == new
    await_true(lambda: is_gone(deleted), "the server of the deleted home ends")


@pytest.mark.parametrize("name", ["valkey.sock", "users.lock", "start.lock", "reaper.lock", "valkey.log"])
def test_any_file_of_the_home_may_be_deleted(name: str, home: Path, start: Start) -> None:
    old = start()
    old.ensure()
    (home / name).unlink()
    assert pid_of(start().ensure()) == pid_of(old.ensure())


def test_a_long_home_has_its_socket_in_a_private_temporary_directory(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / ("h" * 100) / "home", linger_s=LINGER_S)
    directory = server.socket_path.parent
    assert directory.name.startswith(f"fsmflow-{os.geteuid()}-")
    directory.mkdir(mode=0o755)
    with pytest.raises(ConfigurationError, match=r"must be a directory of uid .* with mode 0700"):
        server.ensure()
    directory.rmdir()
    assert pid_of(server.ensure()) > 0
    assert directory.stat().st_mode & 0o777 == 0o700
    server.leave()
    await_nothing_left(tmp_path)
    assert not directory.exists()


def test_a_home_below_a_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"is a file, or lies below one; set FSMFLOW_HOME .*REDIS_URL"):
        EmbeddedServer(tmp_path / "file" / "home").ensure()


def test_a_missing_extra_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"install `fsmflow\[embedded\]`, or set FSMFLOW_REDIS_URL"):
        EmbeddedServer(home).ensure()


def test_a_server_that_cannot_start_is_reported_with_its_log(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_find_server", lambda: Path("/bin/false"))
    with pytest.raises(ConfigurationError, match=r"does not start: .*the server ended at once, with status 1 "):
        EmbeddedServer(home).ensure()
