"""A database with an entity in every situation, and what the tests of ``verify`` do to it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import peewee

from fsmflow import Machine, Retry, State
from fsmflow.store.link import Link
from fsmflow.testing import Sandbox
from fsmflow.verify import Report, verify
from tests.support.sandbox import sandbox

ENTITY, WORK, HISTORY, EVENT = (f"fsmflow_{name}" for name in ("entity", "work", "history", "event"))
#: Later than anything that the scene does.
FAR = 4_000_000_000_000
NOBODY = 999_999


class LabelRow(peewee.Model):
    """The row of a label."""

    id: Any  # peewee makes it
    status = peewee.CharField(max_length=40, default="")


class Label(Machine):
    """What carries its state in a row of the user's."""

    initial = "new"
    status_field = LabelRow.status
    states = [State("new"), State("printed", final=True)]
    transitions = [["print_it", "new", "printed"]]


class Note(Machine):
    """A child of a parcel."""

    initial = "writing"
    states = [State("writing", job="write"), State("read", final=True)]
    transitions = [["done", "writing", "read"]]

    def write(self) -> None:
        return None


class Parcel(Machine):
    """Every kind of state."""

    initial = "new"
    states = [
        State("new", defer=["approve"]),
        State("charging", job="charge", retry=Retry(1, interval=3_600, jitter=0), undo="refund"),
        State("packing", job="put_in", each="lines", limit=2, retry=Retry(1, interval=3_600, jitter=0)),
        State("writing", machine="note"),
        State("sorting", jobs={"paper": "sort_paper", "glass": "sort_glass"}),
        State("asking", job="send_question", wait=True, timeout=7_200),
        State("weighing", job="put_on_scales", within=7_200),
        State("resting", timeout=3_600),
        State("shipped", final=True),
    ]
    transitions = [
        ["submit", "new", "charging"],
        ["rest", "new", "resting"],
        ["pack", "new", "packing"],
        ["write", "new", "writing"],
        ["sort", "new", "sorting"],
        ["ask", "new", "asking"],
        ["weigh", "new", "weighing"],
        ["done", "charging", "packing"],
        ["done", "packing", "shipped"],
        ["done", "writing", "shipped"],
        ["done", "sorting", "shipped"],
        ["done", "weighing", "shipped"],
        ["answer", "asking", "shipped"],
        ["approve", "resting", "shipped"],
        ["timeout", "asking", "resting"],
        ["timeout", "resting", "shipped"],
        {"trigger": "look", "source": "*", "dest": None},
        {"trigger": "tell", "source": "new", "dest": None, "before": "send_out"},
    ]

    def charge(self) -> dict[str, Any]:
        return {"charged": True}

    def refund(self) -> None:
        return None

    def put_in(self, line: str) -> str:
        return line

    def sort_paper(self) -> None:
        return None

    def sort_glass(self) -> None:
        return None

    def put_on_scales(self) -> None:
        return None

    def send_question(self) -> None:
        return None

    def send_out(self) -> None:
        self.send(
            "look",
            to=self.event.payload["to"],
            after=self.event.payload.get("after"),
            until_left=self.event.payload.get("bound", False),
        )


@dataclass
class Scene:
    """The rows of a scene by what they are called, and plain SQL on them."""

    machine: ClassVar[type[Parcel]] = Parcel
    child: ClassVar[type[Note]] = Note

    box: Sandbox
    rows: dict[str, int]

    @property
    def link(self) -> Link:
        return self.box._runtime.store.link

    def verify(self, **options: Any) -> Report:
        """Check it by the clock of its sandbox."""
        return verify(self.box._runtime.store, self.box._runtime.machines.all(), **{"strict": True, **options})

    def violated(self, **options: Any) -> dict[str, set[str]]:
        """Which invariants do not hold, and of which addresses."""
        found: dict[str, set[str]] = {}
        for violation in self.verify(**options).violations:
            found.setdefault(violation.invariant, set()).add(violation.address)
        return found

    def set(self, table: str, row: str, where: str = "", **changes: Any) -> None:
        """Change the rows of an entity."""
        changed = ", ".join(f"{self._name(name)} = {self.link.mark}" for name in changes)
        self._run(f"UPDATE {table} SET {changed} WHERE {self._of(table, row)}{where}", list(changes.values()))

    def delete(self, table: str, row: str, where: str = "") -> None:
        """Delete the rows of an entity."""
        self._run(f"DELETE FROM {table} WHERE {self._of(table, row)}{where}", [])

    def copy(self, table: str, row: str, where: str = "", **changes: Any) -> None:
        """Add a row like the first of these of an entity, but for the changes."""
        cursor = self.link.execute(f"SELECT * FROM {table} WHERE {self._of(table, row)}{where}")
        names = [column[0] for column in cursor.description]
        values = {**dict(zip(names, cursor.fetchone(), strict=True)), **changes}
        if table in (EVENT, HISTORY):
            del values["id"]
        columns, marks = ", ".join(map(self._name, values)), ", ".join([self.link.mark] * len(values))
        self._run(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(values.values()))

    def one(self, table: str, row: str, column: str, where: str = "") -> Any:
        """One value of the first such row of an entity."""
        sql = f"SELECT {self._name(column)} FROM {table} WHERE {self._of(table, row)}{where}"
        return self.link.query(sql)[0][0]

    def last(self, row: str) -> int:
        """The number of the last history row of an entity."""
        return int(self.one(ENTITY, row, "seq"))

    def kept(self) -> sqlite3.Connection:
        """A copy of all of it, for ``restore``. On SQLite alone."""
        copy = sqlite3.connect(":memory:")
        self.box.database.connection().backup(copy)
        return copy

    def restore(self, kept: sqlite3.Connection) -> None:
        """Make everything as it was."""
        kept.backup(self.box.database.connection())

    def take_back(self, row: str, state: str, **changes: Any) -> None:
        """Make as if the last history row of an entity had never been, so that it is working in a state again."""
        seq, epoch = self.last(row), int(self.one(ENTITY, row, "epoch")) - 1
        visits = json.loads(self.one(ENTITY, row, "visits"))
        del visits[self.one(ENTITY, row, "state")]
        changes |= {"visits": json.dumps(visits), "step_name": f"{state}.{visits[state]}"}
        self.delete(HISTORY, row, f" AND seq = {seq}")
        self.set(ENTITY, row, state=state, phase="working", seq=seq - 1, epoch=epoch, **changes)
        work: dict[str, Any] = {"kind": "job", "epoch": epoch, "wake_at": FAR, "entity": self.rows[row]}
        self.copy(WORK, "charging", **work)

    def _of(self, table: str, row: str) -> str:
        return f"{'id' if table == ENTITY else 'entity'} = {self.rows[row]}"

    def _name(self, name: str) -> str:
        return self.link.quoted(name)

    def _run(self, sql: str, params: list[Any]) -> None:
        self.link.write(lambda: self.link.execute(sql, params))


@contextmanager
def scene() -> Iterator[Scene]:
    """The scene on the database of the test."""
    with sandbox(machines=[Parcel, Note, Label]) as box, box.database.bind_ctx([LabelRow]):
        box.database.create_tables([LabelRow])
        _labels()
        _finished(box)
        box.advance(minutes=10)
        _under_way(box)
        link = box._runtime.store.link
        found = {id_: int(row) for row, id_ in link.query(f"SELECT id, entity_id FROM {ENTITY}")}
        branches = {name.replace("/packing/", "."): row for name, row in found.items()}
        yield Scene(box, {**found, **branches})


def _labels() -> None:
    for number in (7, 8, 9):
        LabelRow.insert(id=number).execute()
        Label.start(number)
    Label.get(8).trigger("print_it")
    Label.get(9).trigger("print_it")
    LabelRow.delete().where(LabelRow.id == 9).execute()


def _finished(box: Sandbox) -> None:
    for id_, lines in (("done", ["a", "b", "c"]), ("single", ["a"])):
        Parcel.start(id_, lines=lines).trigger("submit")
        box.run()
    Parcel.start("written").trigger("write")
    box.run()
    box.fail("charge", ValueError("no"), times=2)
    Parcel.start("failed").trigger("submit")
    box.advance(hours=2)
    Parcel.start("cancelled").cancel(reason="no longer wanted")
    undone = Parcel.start("undone", lines=[])
    undone.trigger("submit")
    box.run()
    undone.undo()
    box.run()


def _under_way(box: Sandbox) -> None:
    Parcel.start("resting").trigger("rest", key="first")
    Parcel.start("keyed").trigger("look", key="again")
    Parcel.get("keyed").trigger("look")
    Parcel.start("keeper").trigger("approve")
    Parcel.start("sender").trigger("tell", to="parcel:resting", after=3_600)
    Parcel.start("bound").trigger("tell", to="parcel:resting", after=3_600, bound=True)
    Parcel.start("loser").trigger("tell", to="parcel:nobody")
    Parcel.start("paused").trigger("rest")
    Parcel.get("paused").pause()
    for id_, crashes in (("retried", False), ("crashed", True)):
        if crashes:
            box.crash("charge")
        box.fail("charge", ValueError("no"))
        Parcel.start(id_).trigger("submit")
        box.run()
    box.fail("put_in", ValueError("no"), times=2)
    Parcel.start("parent", lines=["a", "b", "c"]).trigger("pack")
    box.fail("glass", ValueError("no"))
    Parcel.start("shared").trigger("sort")
    Parcel.start("asked").trigger("ask")
    box.run()
    Parcel.start("charging").trigger("submit")
    Parcel.start("weighing").trigger("weigh")
    Parcel.start("held").trigger("submit")
    Parcel.get("held").pause()
