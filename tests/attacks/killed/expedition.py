"""A machine with a step of every kind, whose worker process kills itself at a point that the entity's id names."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

from fsmflow import Fail, Machine, State, points

_PLAN = re.compile(r"expedition:([a-z.]+)~(\d+)")


def _folder() -> Path:
    return Path(os.environ["EFFECTS"])


def _effect(machine: Machine) -> None:
    line: dict[str, Any] = {"entity_id": machine.address, "state": machine.state, "attempt": machine.attempt}
    line |= {"key": machine.idempotency_key, "pid": os.getpid(), "at": time.time()}
    with (_folder() / "effects").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(line) + "\n")


def _is_mended() -> bool:
    return (_folder() / "mended").exists()


def _die_at(name: str, address: str) -> None:
    """SIGKILL this process at the n-th time that the entity passes the point that its id names."""
    plan = _PLAN.search(address)
    if plan is None or plan[1] != name:
        return
    with (_folder() / f"hits-{plan[0]}").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("x")
        file.flush()
        if file.tell() == int(plan[2]):
            os.kill(os.getpid(), signal.SIGKILL)


def _die_as_a_supervisor(name: str, about: str) -> None:
    """SIGKILL this process at the n-th time that it passes a point, whatever that is about."""
    with (_folder() / f"supervisor-at-{name}").open("a") as file:
        file.write("x")
        file.flush()
        if os.environ["SUPERVISOR_DIES_AT"] == f"{name}~{file.tell()}":
            os.kill(os.getpid(), signal.SIGKILL)


if "fsmflow.running.worker" in sys.orig_argv and "EFFECTS" in os.environ:
    points.listen(_die_at)
elif "worker" in sys.orig_argv and "SUPERVISOR_DIES_AT" in os.environ:
    points.listen(_die_as_a_supervisor)


class Camp(Machine):
    name = "camp"
    initial = "pitching"
    states = [State("pitching", job="pitch"), State("resting", job="rest"), State("over", final=True)]
    transitions = [["done", "pitching", "resting"], ["done", "resting", "over"]]

    def pitch(self) -> None:
        _effect(self)

    def rest(self) -> None:
        _effect(self)


class Expedition(Machine):
    """Packs, scouts (a branch fails at first), camps, writes home, climbs in vain, and undoes it all."""

    name = "expedition"
    initial = "packing"
    states = [
        State("packing", job="work", undo="work"),
        State("scouting", job="scout", each="spots", limit=2, undo="work"),
        State("camping", machine="camp", each="nights"),
        State("writing", job="write", transactional=True),
        "posting",
        State("climbing", job="climb", on_failure="undo"),
        State("there", final=True),
    ]
    transitions = [
        ["done", "packing", "scouting"],
        {"trigger": "branch_done", "source": "scouting", "dest": None, "before": "count_branch"},
        ["done", "scouting", "camping"],
        ["done", "camping", "writing"],
        ["done", "writing", "posting"],
        ["done", "climbing", "there"],
        {"trigger": "letter", "source": "posting", "dest": "climbing", "before": "count_letter"},
    ]

    def work(self) -> dict[str, Any]:
        _effect(self)
        return {self.state: True} if not self.state.startswith("undoing") else {}

    def scout(self, spot: int) -> int:
        _effect(self)
        if spot == 1 and not _is_mended():
            raise Fail("fog")
        return spot

    def spots(self) -> Any:
        yield from range(4)

    def nights(self) -> Any:
        return [{"night": number} for number in range(2)]

    def write(self) -> None:
        _effect(self)
        self.send("letter")

    def climb(self) -> None:
        _effect(self)
        raise Fail("storm")

    def count_branch(self) -> None:
        self.data["told"] = [*self.data.get("told", []), self.event.payload["index"]]

    def count_letter(self) -> None:
        self.data["letters"] = self.data.get("letters", 0) + 1
