"""Machines whose jobs misbehave in every way that a worker process must survive."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from fsmflow import Machine, Retry, State


def folder() -> Path:
    """Where this test's effects and gates are."""
    return Path(os.environ["EFFECTS"])


def leave_effect(machine: Machine) -> None:
    """One line a run, whole also when several processes write."""
    line: dict[str, Any] = {"entity_id": machine.entity_id, "state": machine.state, "attempt": machine.attempt}
    line |= {"key": machine.idempotency_key, "pid": os.getpid(), "at": time.time()}
    with (folder() / "effects").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(line) + "\n")


def wait_at(gate: str) -> None:
    """Stay in the job until the test opens the gate."""
    while not (folder() / gate).exists():
        time.sleep(0.005)


class Chain(Machine):
    """Three steps; the second does what its data says."""

    initial = "new"
    states = [
        "new",
        State("one", job="plain"),
        State("two", job="eventful"),
        State("three", job="plain"),
        State("ended", final=True),
    ]
    transitions = [
        ["go", "new", "one"],
        ["done", "one", "two"],
        ["done", "two", "three", "may_leave_two"],
        ["done", "three", "ended"],
        {"trigger": "note", "source": "*", "dest": None, "before": "take_note"},
    ]

    def plain(self) -> dict[str, int]:
        leave_effect(self)
        return {self.state: self.attempt or 0}

    def eventful(self) -> dict[str, int]:
        leave_effect(self)
        if self.data.get("saves"):
            self.data["saved"] = True
            self.save()
        if self.data.get("gate"):
            wait_at(self.data["gate"])
        if self.data.get("dies"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.data.get("child"):
            child = subprocess.Popen(["sleep", "600"])
            (folder() / "child").write_text(str(child.pid))
            child.wait()
        return {"two": self.attempt or 0}

    def may_leave_two(self) -> bool:
        return not self.data.get("guarded") or (folder() / "mended").exists()

    def take_note(self) -> None:
        self.data["note"] = self.event.payload["text"]


class Slow(Machine):
    """Jobs that do not end in time, each in another way."""

    initial = "new"
    states = [
        "new",
        State("busy", job="overrun", timeout=0.5),
        State("ended", final=True),
    ]
    transitions = [["go", "new", "busy"], ["done", "busy", "ended"]]

    def overrun(self) -> None:
        leave_effect(self)
        how = self.data.get("how")
        if how == "sleeps":
            time.sleep(600)
        elif how == "swallows":
            while True:
                try:
                    time.sleep(600)
                except BaseException:  # noqa: BLE001 - that is what it is here for
                    continue
        elif how == "holds the GIL":
            sum(itertools.repeat(1, 10**12))


class Watched(Machine):
    """Jobs that have to give a sign of life each second, and fall silent as their data says."""

    initial = "new"
    states = [
        "new",
        State("digging", job="dig", heartbeat=1, timeout=60),
        State("bounded", job="dig", within=2, retry=Retry(max=99, interval=0.05, jitter=0)),
        State("over", final=True),
    ]
    transitions = [
        ["go", "new", "digging"],
        ["go_bounded", "new", "bounded"],
        ["done", ["digging", "bounded"], "over"],
    ]

    def dig(self) -> None:
        leave_effect(self)
        how = self.data.get("how")
        if how == "signs":
            ends = time.monotonic() + 2.5
            while time.monotonic() < ends:
                self.heartbeat()
                time.sleep(0.05)
        elif how == "fails":
            raise ConnectionError("no ground")
        elif self.attempt == 1 and how == "silent":
            time.sleep(600)
        elif self.attempt == 1 and how == "deaf":
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
            time.sleep(600)
        elif how == "long":
            time.sleep(600)


class Flaky(Machine):
    """Fails as often as its data says, then works."""

    initial = "new"
    states = [
        "new",
        State("busy", job="work", retry=Retry(max=2, interval=0.05, jitter=0), queue="slow"),
        State("ended", final=True),
    ]
    transitions = [["go", "new", "busy"], ["done", "busy", "ended"]]

    def work(self) -> None:
        leave_effect(self)
        if (self.attempt or 0) <= self.data["fails"]:
            raise ConnectionError("the gateway does not answer")


class Contest(Machine):
    """Three that run at once: the first of them that arrives has won, the others are noted in order."""

    initial = "running"
    states = [State("running", jobs=["run", "race", "rush"]), State("over", final=True)]
    transitions = [
        {
            "trigger": "branch_done",
            "source": "running",
            "dest": None,
            "conditions": "is_first",
            "before": "note_winner",
        },
        {"trigger": "branch_done", "source": "running", "dest": None, "before": "note"},
        ["done", "running", "over"],
    ]

    def run(self) -> str:
        return "run"

    def race(self) -> str:
        return "race"

    def rush(self) -> str:
        return "rush"

    def is_first(self) -> bool:
        return sum(branch.is_done for branch in self.branches) == 1

    def note_winner(self) -> None:
        self.data.setdefault("winners", []).append(self.event.payload["index"])
        self.note()

    def note(self) -> None:
        seen = [branch.index for branch in self.branches if branch.is_done]
        self.data.setdefault("told", []).append([self.event.payload["index"], seen])
