"""Jobs that change their process, fork it, or leave something behind."""

from __future__ import annotations

import asyncio
import contextlib
import decimal
import gc
import json
import locale
import logging.config
import multiprocessing
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fsmflow import Machine, State
from tests.support.process_flows import folder, leave_effect, wait_at


class Unruly(Machine):
    """Two steps. The first does what its data says; the second writes down what it finds."""

    initial = "new"
    states = [
        "new",
        State("doing", job="do"),
        State("looking", job="look"),
        State("over", final=True),
    ]
    transitions = [
        ["go", "new", "doing"],
        ["done", "doing", "looking", "may_go_on"],
        ["done", "looking", "over"],
    ]

    def do(self) -> Any:
        leave_effect(self)
        return WAYS[self.data["how"]](self)

    def look(self) -> None:
        leave_effect(self)
        path = folder() / "found"
        path.write_text(json.dumps(surroundings()))
        if self.data.get("gate"):
            wait_at(self.data["gate"])

    def may_go_on(self) -> bool:
        if self.data["how"] == "guard forks" and not (folder() / "forked").exists():
            (folder() / "forked").touch()
            os.fork()
        return True

    def on_transition(self, entry: Any) -> None:
        if self.data["how"] == "hook forks" and entry.dest == "looking":
            os.fork()


class Bound(Machine):
    """A transactional job that forks."""

    initial = "new"
    states = ["new", State("doing", job="do", transactional=True), State("over", final=True)]
    transitions = [["go", "new", "doing"], ["done", "doing", "over"]]

    def do(self) -> None:
        leave_effect(self)
        os.fork()


def surroundings() -> dict[str, Any]:
    """What a job finds of its process."""
    return {
        "handlers": {number.name: str(signal.getsignal(number)).split(" at ")[0] for number in SIGNALS},
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "timers": [signal.getitimer(timer)[1] for timer in (signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)],
        "folder": os.getcwd(),
        "umask": os.umask(os.umask(0o077) or 0),
        "timeout": socket.getdefaulttimeout(),
        "locale": locale.setlocale(locale.LC_ALL),
        "prec": decimal.getcontext().prec,
        "path": os.environ.get("PYTHONPATH"),
        "ours": sorted(name for name in os.environ if name.startswith("FSMFLOW_")),
        "sys.path": sys.path,
        "pid": os.getpid(),
    }


SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGCHLD, signal.SIGUSR1)


async def _handled() -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: None)


def _changes_all(machine: Machine) -> None:
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: None)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGALRM))
    signal.setitimer(signal.ITIMER_PROF, 1000)
    os.chdir("/")
    os.umask(0o123)
    socket.setdefaulttimeout(0.5)
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, "C.UTF-8")
    decimal.getcontext().prec = 3
    os.environ["LEFT_BY_A_JOB"] = "secret-value"


def _alarm(machine: Machine) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(1)


def _leaves_thread(machine: Machine) -> None:
    threading.Thread(target=time.sleep, args=(600,), name="pump").start()


def _leaves_child(machine: Machine) -> None:
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    (folder() / "child").write_text(str(child.pid))
    child.returncode = 0  # so that nothing is said when it is collected


def _fork(machine: Machine) -> dict[str, int]:
    return {"child": os.fork()}


def _fork_and_raise(machine: Machine) -> dict[str, int]:
    pid = os.fork()
    if pid == 0:
        raise ValueError("only in the child")
    return {"status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}


def _fork_and_exit(machine: Machine) -> dict[str, int]:
    pid = os.fork()
    if pid == 0:
        sys.exit(7)
    return {"status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}


def _daemonise(machine: Machine) -> dict[str, Any]:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        gc.collect()
        return {"by": "the daemon"}
    os.waitpid(pid, 0)
    return {"by": "the worker"}


def _pty(machine: Machine) -> dict[str, Any]:
    pid, descriptor = pty.fork()
    if pid:
        os.waitpid(pid, 0)
        os.close(descriptor)
    return {"by": "the worker" if pid else "the child"}


def _speaks(machine: Machine) -> None:
    """In a child: everything that is for the worker alone."""
    refused = []
    for name, call in {
        "heartbeat": machine.heartbeat,
        "save": machine.save,
        "send": lambda: machine.send("cancel"),
        "branches": lambda: list(machine.branches),
    }.items():
        try:
            call()
        except Exception as error:  # noqa: BLE001 - what it is, is what the test looks at
            refused.append(f"{name}: {type(error).__name__}: {error}")
    (folder() / "refused").write_text("\n".join(refused))
    # As anybody may, on a connection of its own.
    Unruly.start("of the child", how="nothing").trigger("go")


def _multiprocess(machine: Machine) -> dict[str, Any]:
    child = multiprocessing.get_context("fork").Process(target=_speaks, args=(machine,))
    child.start()
    child.join()
    machine.heartbeat()
    return {"status": child.exitcode}


async def _async_fork() -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"by": "the worker" if os.fork() else "the child"}


def _prints(machine: Machine) -> None:
    print("seen at once")
    wait_at("gate")
    os.kill(os.getpid(), signal.SIGKILL)


def _starts_program(machine: Machine) -> dict[str, Any]:
    code = "import json, os, signal, sys; print(json.dumps([str(signal.getsignal(signal.SIGINT)), sys.path]))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    ignored = os.popen("grep SigIgn /proc/self/status").read().split()[1]
    descriptors = os.popen("ls -l /proc/self/fd").read()
    return {"found": json.loads(found.stdout), "ignored": ignored, "descriptors": descriptors}


def _grows(machine: Machine) -> None:
    _kept.append(bytearray(os.urandom(1) * 200_000_000))


_kept: list[bytearray] = []


def _orphans(machine: Machine) -> dict[str, Any]:
    for _ in range(5):
        subprocess.run(["sh", "-c", "(exit 3) & exit 0"], check=True)
    ends_at = time.monotonic() + 5
    while _zombies() and time.monotonic() < ends_at:
        time.sleep(0.05)
    return {"zombies": _zombies(), "first": Path("/proc/1/cmdline").read_text()}


def _zombies() -> int:
    """Children of the first process that have ended and that nobody has asked for their status."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text().rpartition(") ")[2].split()[:2]
            found += (state, parent) == ("Z", "1")
    return found


def _configures(machine: Machine) -> None:
    logging.config.dictConfig({"version": 1})
    machine.log.warning("said after dictConfig")


WAYS: dict[str, Callable[[Machine], Any]] = {
    "nothing": lambda machine: None,
    "guard forks": lambda machine: None,
    "hook forks": lambda machine: None,
    "handles": lambda machine: asyncio.run(_handled()),
    "changes all": _changes_all,
    "alarm": _alarm,
    "leaves a thread": _leaves_thread,
    "leaves a child": _leaves_child,
    "fork": _fork,
    "fork and raise": _fork_and_raise,
    "fork and exit": _fork_and_exit,
    "daemonise": _daemonise,
    "pty": _pty,
    "multiprocess": _multiprocess,
    "async fork": lambda machine: _async_fork(),
    "prints": _prints,
    "starts a program": _starts_program,
    "grows": _grows,
    "orphans": _orphans,
    "configures logging": _configures,
}
