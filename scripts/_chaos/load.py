"""The load of a chaos run: machines with a step of every kind, whose jobs note every run of theirs in a file.

``CHAOS_VERSION`` says which deployment this process is: 2 has a state more in ``voyage``, another name for its first
job, and a ``skiff`` of version 2 with a renamed state. ``CHAOS_CONCURRENCY`` makes coroutines of its jobs.
``FSMFLOW_REDIS_URL_FAR`` puts some of its steps into a queue on that server.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import random
import time
from collections.abc import Callable
from typing import Any

from fsmflow import Fail, Machine, Retry, State

IS_NEW = os.environ.get("CHAOS_VERSION", "2") == "2"
#: How many jobs each process runs beside each other, where that is asked for: they are coroutines then.
MANY = os.environ.get("CHAOS_CONCURRENCY")
FAR_URL = "FSMFLOW_REDIS_URL_FAR"
FAR = "far" if FAR_URL in os.environ else None
SPOTS, BOATS, POSTBOXES = 4, 2, 8
LEDGER = "chaos_ledger"
_SHORTEST_S, _LONGEST_S = 0.05, 0.2


def leave(machine: Machine, *, fails: bool = False) -> None:
    """One line a run: whose, of which step, by which process, when. One small append is whole, whoever dies."""
    line: dict[str, Any] = {"address": machine.address, "state": machine.state, "key": machine.idempotency_key}
    line |= {"attempt": machine.attempt, "pid": os.getpid(), "at": time.monotonic(), "fails": fails}
    line["host"] = os.environ.get("CHAOS_HOST", "")
    descriptor = os.open(os.environ["CHAOS_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, json.dumps(line).encode() + b"\n")
    finally:
        os.close(descriptor)


def work(machine: Machine, *, fails: bool = False) -> None:
    """What every job does: note the run, and take its time, in which it may be killed."""
    leave(machine, fails=fails)
    if MANY is None:
        time.sleep(random.uniform(_SHORTEST_S, _LONGEST_S))


def job(call: Callable[..., Any]) -> Callable[..., Any]:
    """A job, or a coroutine that does the same and takes its time."""
    if MANY is None:
        return call

    @functools.wraps(call)
    async def waiting(machine: Machine, *given: Any) -> Any:
        result = call(machine, *given)
        await asyncio.sleep(random.uniform(_SHORTEST_S, _LONGEST_S))
        return result

    return waiting


def meets_storm(number: int) -> bool:
    """Whether this voyage fails for good, until somebody mends it or has it undone."""
    return number % 7 == 3


def is_given_up(number: int) -> bool:
    """Whether a voyage that has met a storm is undone."""
    return number % 21 == 3


class Voyage(Machine):
    """A retry, a fan-out, a step in its transaction, children, a timer, a person, a failure, a message, an undo."""

    name = "voyage"
    initial = "new"
    states = [
        State("new"),
        State(
            "boarding",
            job="embark" if IS_NEW else "board",
            retry=Retry(max=5, interval=0.2, jitter=0),
            undo="disembark",
        ),
        State("scouting", job="scout", each="spots", limit=2, queue=FAR),
        *([State("inspecting", job="inspect")] if IS_NEW else []),
        State("noting", job="note", transactional=True, timeout=10),
        State("calling", machine="skiff", each="boats"),
        State("resting", delay=0.5),
        State("awaiting"),
        State("climbing", job="climb", queue=FAR),
        State("writing", job="write"),
        State("there", final=True),
    ]
    transitions = [
        ["go", "new", "boarding"],
        ["done", "boarding", "scouting"],
        *([["done", "scouting", "inspecting", "is_thorough"], ["done", "inspecting", "noting"]] if IS_NEW else []),
        ["done", "scouting", "noting"],
        ["done", "noting", "calling"],
        ["done", "calling", "resting"],
        ["done", "resting", "awaiting"],
        ["approve", "awaiting", "climbing"],
        ["done", "climbing", "writing"],
        ["done", "writing", "there"],
        {"trigger": "bell", "source": "*", "dest": None, "before": "count_bell"},
        {"trigger": "bump", "source": "*", "dest": None, "before": "count_bump"},
    ]

    @job
    def embark(self) -> None:
        fails = int(self.entity_id) % 3 == 0 and self.attempt == 1
        work(self, fails=fails)
        if fails:
            raise ConnectionError("the harbour does not answer")
        self.send("bell", after=0.3)

    if not IS_NEW:
        board = embark

    @job
    def disembark(self) -> None:
        work(self)

    def spots(self) -> Any:
        return list(range(SPOTS))

    @job
    def scout(self, spot: int) -> int:
        work(self)
        return spot * 10

    def is_thorough(self) -> bool:
        return int(self.entity_id) % 5 != 0

    @job
    def inspect(self) -> dict[str, Any]:
        work(self)
        return {"seen": [branch.result for branch in self.branches]}

    def note(self) -> None:
        leave(self)
        database = self.database
        database.execute_sql(f"INSERT INTO {LEDGER} (voyage) VALUES ({database.param})", (int(self.entity_id),))
        time.sleep(random.uniform(0.0, _SHORTEST_S))

    def boats(self) -> Any:
        return [{"boat": number} for number in range(BOATS)]

    @job
    def climb(self) -> None:
        storm = meets_storm(int(self.entity_id)) and not self.data.get("mended")
        work(self, fails=storm)
        if storm:
            raise Fail("storm")

    @job
    def write(self) -> None:
        work(self)
        number = int(self.entity_id)
        self.send("letter", to=f"postbox:{number % POSTBOXES}", start={}, voyage=number)

    def count_bell(self) -> None:
        self.data["bells"] = self.data.get("bells", 0) + 1

    def count_bump(self) -> None:
        self.data["bumps"] = self.data.get("bumps", 0) + 1


class Skiff(Machine):
    """A child with a timer between its two jobs, which the newer deployment calls by another name."""

    name = "skiff"
    initial = "rowing"
    version = 2 if IS_NEW else 1
    renamed_states = {"drifting": "floating"} if IS_NEW else {}
    _between = "floating" if IS_NEW else "drifting"
    states = [
        State("rowing", job="row"),
        State(_between, delay=0.2),
        State("landing", job="land", queue=FAR),
        State("landed", final=True),
    ]
    transitions = [["done", "rowing", _between], ["done", _between, "landing"], ["done", "landing", "landed"]]

    def upgrade(self, data: dict[str, Any], from_version: int) -> None:
        data["upgraded"] = from_version

    @job
    def row(self) -> None:
        work(self)

    @job
    def land(self) -> None:
        work(self)


class Postbox(Machine):
    """Takes letters, and counts them."""

    name = "postbox"
    initial = "open"
    states = [State("open"), State("closed", final=True)]
    transitions = [
        {"trigger": "letter", "source": "open", "dest": None, "before": "count_letter"},
        ["close", "open", "closed"],
    ]

    def count_letter(self) -> None:
        self.data["count"] = self.data.get("count", 0) + 1
