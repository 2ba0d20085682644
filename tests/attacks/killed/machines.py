"""Machines with a step of every kind, small enough that each point that they pass can be died at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fsmflow import Fail, Limit, Machine, Retry, RetryAfter, Schedule, State
from fsmflow.engine.runtime import current
from fsmflow.running.claim import claim_attempt, new_owner

#: The table of the user's own in which transactional jobs write.
LEDGER = "killed_ledger"


class _Told:
    """Where the jobs of this process tell that they have run: a file, as what is in memory dies with the process."""

    path: Path | None = None


def tell_to(path: Path) -> None:
    """From now on jobs tell that file of their runs."""
    _Told.path = path


def mend() -> None:
    """From now on no job of this run fails that waits for this."""
    _write("- mended -")


def _is_mended() -> bool:
    return "- mended -" in _Told.path.read_text() if _Told.path is not None else False


def _write(line: str) -> None:
    target = os.open(str(_Told.path), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(target, f"{line}\n".encode())
    os.close(target)


class Telling(Machine):
    """What all of them have: jobs that leave an effect behind, outside of the database."""

    def work(self) -> dict[str, Any]:
        self.tell()
        return {} if self.state.startswith("undoing") else {self.state: self.attempt}

    def tell(self) -> None:
        _write(f"{self.address} {self.state} {self.idempotency_key}")

    def fail_at_first(self) -> dict[str, Any]:
        self.tell()
        if self.attempt == 1:
            raise ConnectionError("not yet")
        return {}

    def fail_until_mended(self) -> dict[str, Any]:
        self.tell()
        if not self.data.get("mended"):
            raise Fail("broken")
        return {}

    def count(self) -> None:
        name = self.event.trigger
        self.data[name] = self.data.get(name, 0) + 1


OVER = [State("over", final=True)]


class Plain(Telling):
    initial = "one"
    states = [State("one", job="work"), State("two", job="work", queue="slow"), *OVER]
    transitions = [["done", "one", "two"], ["done", "two", "over"]]


class Retried(Telling):
    initial = "one"
    states = [
        State("one", job="fail_at_first", retry=Retry(max=2, interval=10, jitter=0)),
        State("two", job="put_off"),
        *OVER,
    ]
    transitions = [["done", "one", "two"], ["done", "two", "over"]]

    def put_off(self) -> None:
        self.tell()
        if self.attempt == 1:
            raise RetryAfter(20)


class Failing(Telling):
    initial = "one"
    states = [State("one", job="fail_until_mended"), State("two", job="work"), *OVER]
    transitions = [["done", "one", "two"], ["done", "two", "over"]]


class Waiting(Telling):
    initial = "asking"
    states = [State("asking", job="work", wait=True, timeout=600), State("two", job="work"), *OVER]
    transitions = [["answer", "asking", "two"], ["timeout", "asking", "two"], ["done", "two", "over"]]


class Timed(Telling):
    initial = "approval"
    states = [State("approval", timeout=3600), State("cooling", delay=60), State("two", job="work"), *OVER]
    transitions = [["timeout", "approval", "cooling"], ["done", "cooling", "two"], ["done", "two", "over"]]


class SideBySide(Telling):
    initial = "both"
    states = [State("both", jobs=["work", "fail_at_first"], retry=Retry(max=1, jitter=0)), *OVER]
    transitions = [["done", "both", "over"]]


class Listed(Telling):
    initial = "packing"
    states = [State("packing", job="pack", each="items"), State("two", job="work"), *OVER]
    transitions = [
        ["done", "packing", "two"],
        ["done", "two", "over"],
        {"trigger": "branch_done", "source": "packing", "dest": None, "before": "count"},
    ]

    def pack(self, item: int) -> int:
        self.tell()
        return item


class Lazy(Telling):
    initial = "packing"
    states = [State("packing", job="pack", each="items", limit=2), *OVER]
    transitions = [["done", "packing", "over"]]

    def items(self) -> Iterator[int]:
        yield from range(5)

    def pack(self, item: int) -> int:
        self.tell()
        return item


class Gated(Telling):
    """A fan-out whose branches pass a gate one by one: while the first one does, others come there and wait."""

    initial = "packing"
    states = [
        State(
            "packing", job="pack", each="items", limits=[Limit("gate-{at}", running=1), Limit("day-{at}", per_minute=2)]
        ),
        *OVER,
    ]
    transitions = [["done", "packing", "over"]]

    def items(self) -> list[int]:
        return [0, 1, 2]

    def pack(self, item: int) -> int:
        self.tell()
        _come_to_the_gate()
        return item


def _come_to_the_gate() -> None:
    """What other workers do meanwhile: they answer the doorbells of branches, and have to wait."""
    runtime = current()
    for due in runtime.store.work.unanswered(10):
        entity = runtime.store.entities.load_row(due.row)
        is_branch = entity is not None and entity.branch_of is not None
        if is_branch and claim_attempt(runtime, due.ticket, new_owner()) is not None:
            raise AssertionError(f"row {due.row} has a permit, and so has this one")


class Mended(Telling):
    """A fan-out in which one branch fails until the parent is retried, and another is stopped by that."""

    initial = "packing"
    states = [State("packing", job="pack", each="items", limit=1, branch_failure="stop"), *OVER]
    transitions = [["done", "packing", "over"]]

    def items(self) -> list[int]:
        return [0, 1]

    def pack(self, item: int) -> int:
        self.tell()
        if item == 0 and not self.data.get("mended"):
            raise Fail("broken")
        return item


class Repaired(Telling):
    """A fan-out of which one branch fails, which is then retried by itself."""

    initial = "packing"
    states = [State("packing", job="pack", each="items"), *OVER]
    transitions = [["done", "packing", "over"]]

    def pack(self, item: int) -> int:
        self.tell()
        if item == 1 and not _is_mended():
            raise Fail("broken")
        return item


class Parcel(Telling):
    initial = "sending"
    states = [State("sending", job="work"), State("there", final=True)]
    transitions = [["done", "sending", "there"]]


class Child(Telling):
    initial = "shipping"
    states = [State("shipping", machine="parcel"), State("two", job="work"), *OVER]
    transitions = [["done", "shipping", "two"], ["done", "two", "over"]]


class Nested(Telling):
    """A fan-out whose children fan out themselves."""

    initial = "loading"
    states = [State("loading", machine="lazy", each="lorries"), *OVER]
    transitions = [["done", "loading", "over"]]

    def lorries(self) -> list[dict[str, int]]:
        return [{"lorry": 1}, {"lorry": 2}]


class Transactional(Telling):
    initial = "booking"
    states = [
        State("booking", job="book", transactional=True, defer=["letter"]),
        State("two", job="work", defer=["letter"]),
        State("reading"),
        *OVER,
    ]
    transitions = [["done", "booking", "two"], ["done", "two", "reading"], ["letter", "reading", "over"]]

    def book(self) -> None:
        self.tell()
        mark = self.database.param
        self.database.execute_sql(f"INSERT INTO {LEDGER} (address) VALUES ({mark})", (self.address,))
        self.send("letter")


class Once(Telling):
    initial = "one"
    states = [State("one", job="work", at_most_once=True), State("two", job="work"), *OVER]
    transitions = [["done", "one", "two"], ["done", "two", "over"]]


class Undone(Telling):
    initial = "packing"
    states = [
        State("packing", job="pack", each="items", undo="work"),
        State("paying", job="work", undo="work"),
        State("shipping", job="fail_until_mended", on_failure="undo"),
        *OVER,
    ]
    transitions = [["done", "packing", "paying"], ["done", "paying", "shipping"], ["done", "shipping", "over"]]

    def pack(self, item: int) -> int:
        self.tell()
        return item


class Sending(Telling):
    initial = "one"
    states = [State("one", job="write"), State("two"), *OVER]
    transitions = [
        ["done", "one", "two"],
        ["finish", "two", "over"],
        {"trigger": "letter", "source": ["one", "two", "failed_from_one"], "dest": None, "before": "count"},
    ]

    def write(self) -> None:
        self.tell()
        self.send("letter")
        self.send("arrive", to=f"receiving:{self.entity_id}", start={"from": self.entity_id})
        self.send("finish", after=300)


class Receiving(Telling):
    initial = "open"
    states = [State("open"), State("reading", job="work"), *OVER]
    transitions = [["arrive", "open", "reading"], ["done", "reading", "over"]]


class Saving(Telling):
    initial = "one"
    states = [State("one", job="save_twice", defer=["letter"]), State("reading"), *OVER]
    transitions = [["done", "one", "reading"], ["letter", "reading", "over"]]

    def save_twice(self) -> None:
        self.tell()
        self.heartbeat(progress=0.5)
        if not self.data.get("saved"):
            self.data["saved"] = True
            self.send("letter")
            self.save()
        self.heartbeat(progress=0.9)


class Deferring(Telling):
    initial = "one"
    states = [State("one", job="work", defer=["note"]), State("two"), State("three", job="work"), *OVER]
    transitions = [["done", "one", "two"], ["note", "two", "three"], ["done", "three", "over"]]


class Scheduled(Telling):
    initial = "one"
    schedule = Schedule("0 0 1 * *", overlap="queue")
    states = [State("one", job="work"), *OVER]
    transitions = [["done", "one", "over"]]
