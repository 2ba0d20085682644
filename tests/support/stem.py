"""A process that has imported what commands import, of which each command is a fork.

A command takes most of a second to import what it runs, and the tests run thousands. A fork has that at once, and is as
new in all else: it has arguments, a folder, an environment and files of its own, and no command before it has left
anything in it.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from typing import Final

from tests.support.paths import ROOT

#: What is read as Python starts, and where all is measured: whoever has these otherwise gets a process of its own.
_READ_AT_START: Final = ("PYTHON", "LC_", "LANG", "COV")
_MODULES: Final = ("fsmflow.cli.main", "fsmflow.cli.show", "fsmflow.cli.actions", "fsmflow.cli.worker")
_PROGRAM: Final = "fsmflow.cli"


def run(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], text: str | None, timeout: float
) -> tuple[int, str, str]:
    """What ``python -m fsmflow.cli`` comes to: its exit status, as subprocess has it, and what it wrote to stdout and
    to stderr."""
    if _at_start(env) != _at_start(_environment()):
        command = [sys.executable, "-m", _PROGRAM, *arguments]
        ended = subprocess.run(command, cwd=cwd, env=env, input=text, capture_output=True, text=True, timeout=timeout)
        return ended.returncode, ended.stdout, ended.stderr
    order = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env), "umask": _umask()}
    with ExitStack() as stack:
        asked, given, out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(4))
        for file, content in ((asked, json.dumps(order)), (given, text or "")):
            file.write(content.encode("utf-8", "surrogateescape"))
            file.seek(0)
        status = _ask([file.fileno() for file in (asked, given, out, err)], timeout)
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode())
        return status, said[0], said[1]


def _ask(files: list[int], timeout: float) -> int:
    """Have the stem run a command on these files. Several threads may do so at once."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as told:
        try:
            socket.send_fds(_stem(), [b"x"], [*files, writing])
        finally:
            os.close(writing)
        pid = int(told.readline())
        if not select.select([told], [], [], timeout)[0]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(_PROGRAM, timeout)
        return int(told.readline())


@functools.cache
def _stem() -> socket.socket:
    """The way to the stem, which ends with this process."""
    ours, theirs = socket.socketpair()
    with theirs:
        way = theirs.fileno()
        command = [sys.executable, "-m", __name__, str(way)]
        # It reads and writes there as a pipe is read and written: what Python finds out of these, a fork knows.
        process = subprocess.Popen(
            command, cwd=ROOT, env=_environment(), stdin=way, stdout=way, pass_fds=[way], start_new_session=True
        )
    atexit.register(_end, ours, process)
    return ours


def _end(way: socket.socket, process: subprocess.Popen[bytes]) -> None:
    way.close()
    process.wait()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}


def _umask() -> int:
    now = os.umask(0o077)
    os.umask(now)
    return now


def _main(descriptor: int) -> None:
    """The stem itself; in a fork, the command."""
    import_module("fsmflow.store.placeholders").import_peewee()
    for module in _MODULES:
        import_module(module)
    assert threading.active_count() == 1, "a fork has one thread alone"
    with socket.socket(fileno=descriptor) as asked:
        while True:
            sent, files, *_ = socket.recv_fds(asked, 1, 5)
            if not sent:
                return
            if os.fork() == 0:
                break
            for file in files:
                os.close(file)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG) != (0, 0):
                    pass
    *files, told = files
    command = os.fork()
    if command:
        for file in files:
            os.close(file)
        os.write(told, f"{command}\n".encode())
        status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
        os.write(told, f"{status}\n".encode())
        os._exit(0)
    os.close(told)
    _become(*files)


def _become(asked: int, *streams: int) -> None:
    with os.fdopen(asked) as file:
        order = json.load(file)
    for descriptor, stream in enumerate(streams):
        os.dup2(stream, descriptor)
        os.close(stream)
    os.environ.clear()
    os.environ.update(order["env"])
    os.umask(order["umask"])
    os.chdir(order["cwd"])
    sys.path[0] = order["cwd"]
    sys.argv[1:] = order["arguments"]
    runpy.run_module(_PROGRAM, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
