"""A history that spans versions of its machine: what today's version wrote is held to it, what others wrote is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import peewee
import pytest

from fsmflow import Machine, Retry, State
from fsmflow.store.link import open_database
from fsmflow.testing import Sandbox, sandbox
from fsmflow.verify import Report, verify
from tests.verify.scene import ENTITY, FAR, HISTORY, WORK

#: How many rows of entity 1 each of two versions has written.
BY_FIRST, BY_SECOND = 6, 2


class First(Machine):
    """As it was deployed first."""

    name = "claim"
    initial = "new"
    states = [
        State("new"),
        State("judging", job="judge", retry=Retry(5, 1)),
        State("resting"),
        State("handing", job="judge", each="parts"),
        State("paid", final=True),
    ]
    transitions = [
        ["open", "new", "judging"],
        ["done", "judging", "resting"],
        ["hand", ["new", "resting"], "handing"],
        ["done", "handing", "paid"],
        {"trigger": "note", "source": "*", "dest": None},
    ]

    def judge(self, part: object = None) -> None:
        return None


class Second(First):
    """A state has another name, a trigger too, and less is tried again."""

    name = "claim"
    version = 2
    renamed_states = {"judging": "reviewing"}
    states = [
        State("new"),
        State("reviewing", job="judge", retry=Retry(1, 1)),
        State("resting"),
        State("handing", job="judge", each="parts"),
        State("paid", final=True),
    ]
    transitions = [
        ["file", "new", "reviewing"],
        ["done", "reviewing", "resting"],
        ["again", "resting", "reviewing"],
        ["settle", "resting", "paid"],
        ["hand", ["new", "resting"], "handing"],
        ["done", "handing", "paid"],
        {"trigger": "note", "source": "*", "dest": None},
    ]

    def upgrade(self, data: dict[str, Any], from_version: int) -> None:
        data["was"] = from_version


class Claims:
    """A database in which both have been at work, and plain SQL on it."""

    def __init__(self, box: Sandbox) -> None:
        self.box = box
        self.link = box._runtime.store.link
        self.rows = {id_: row for row, id_ in self.link.query(f"SELECT id, entity_id FROM {ENTITY}")}

    def verify(self, *, strict: bool = True) -> Report:
        return verify(self.box._runtime.store, self.box._runtime.machines.all(), strict=strict)

    def told(self, *, strict: bool = True) -> list[tuple[str, str]]:
        """What is said to be wrong, of which entity."""
        report = self.verify(strict=strict)
        assert strict or report.holds
        return [(found.invariant, found.address) for found in (report.violations if strict else report.notes)]

    def set(self, table: str, row: str, where: str = "", **changes: Any) -> None:
        changed = ", ".join(f"{self.link.quoted(name)} = {self.link.mark}" for name in changes)
        key = "id" if table == ENTITY else "entity"
        sql = f"UPDATE {table} SET {changed} WHERE {key} = {self.rows[row]}{where}"
        self.link.write(lambda: self.link.execute(sql, list(changes.values())))


@contextmanager
def claims(db: peewee.Database) -> Iterator[Claims]:
    with sandbox(machines=[First], database=db) as box:
        box.fail("judge", OSError("away"), times=6)
        for id_ in ("1", "2"):
            First.start(id_).trigger("open")
        box.advance(hours=1)
        box.fail("judge", OSError("away"), times=3)
        First.start("3").trigger("open")
        box.run()
        box.advance(seconds=2)
        First.start("4", parts=[1, 2])
    with sandbox(machines=[Second], database=db) as box:
        Second.get("1").trigger("note")
        Second.get("1").trigger("settle")
        Second.get("2").trigger("again")
        Second.get("3").trigger("note")
        Second.get("4").trigger("hand")
        box.run()
        yield Claims(box)


@pytest.fixture
def found(database_url: str) -> Iterator[Claims]:
    db = open_database(database_url)
    try:
        with claims(db) as made:
            yield made
    finally:
        db.close()


def test_each_entry_has_the_version_of_the_machine_that_wrote_it(found: Claims) -> None:
    history = Second.get("1").history
    assert [entry.version for entry in history] == [1] * BY_FIRST + [2] * BY_SECOND
    assert [entry.trigger for entry in history][-3:] == ["done", "note", "settle"]
    assert [entry.version for entry in Second.get("4").history] == [1, 2, 2]
    assert [entry.version for entry in Second.get("4/handing/1").history] == [2, 2]


def test_what_the_version_of_today_wrote_is_compared_and_the_rest_is_counted(found: Claims) -> None:
    report = found.verify()
    assert report.violations == []
    by_first = found.link.query(f"SELECT COUNT(*) FROM {HISTORY} WHERE version = 1")[0][0]
    assert report.checked["history_rows_not_compared"] == by_first
    assert 0 < by_first < report.checked["history_rows"]


@pytest.mark.parametrize(
    ("row", "seq", "trigger"),
    [("1", BY_FIRST + 1, "settle"), ("1", BY_FIRST + 2, "open"), ("4/handing/0", 2, "settle")],
    ids=["internal", "a trigger of the first version", "of a branch"],
)
def test_what_the_version_of_today_cannot_have_written_is_found(
    found: Claims, row: str, seq: int, trigger: str
) -> None:
    found.set(HISTORY, row, f" AND seq = {seq}", trigger=trigger)
    expected = [("transition-legal", f"claim:{row}")]
    assert found.told() == expected
    assert found.told(strict=False) == expected


def test_what_another_version_wrote_is_not_judged_by_that_of_today(found: Claims) -> None:
    found.set(HISTORY, "1", " AND seq = 2", trigger="settle")
    found.set(HISTORY, "4", " AND seq = 1", dest="resting")
    found.set(HISTORY, "4", " AND seq = 2", source="resting")
    found.set(ENTITY, "4", visits='{"resting":1,"handing":1,"paid":1}')
    assert found.told() == []


CORRUPT: dict[str, Callable[[Claims], None]] = {
    "goes back": lambda found: found.set(HISTORY, "1", " AND seq = 8", version=1),
    "comes too early": lambda found: found.set(HISTORY, "1", " AND seq = 3", version=2),
    "is beyond the entity's": lambda found: found.set(HISTORY, "1", " AND seq = 8", version=3),
    "is none": lambda found: found.set(HISTORY, "1", " AND seq = 1", version=0),
}


@pytest.mark.parametrize("how", CORRUPT)
def test_versions_only_grow_up_to_that_of_the_entity(found: Claims, how: str) -> None:
    CORRUPT[how](found)
    assert found.told() == [("history-fold", "claim:1")]


def test_what_failed_under_another_version_counts_and_was_allowed(found: Claims) -> None:
    """Two failures of the first version, of which the second would have allowed one."""
    entity, failures, working = found.rows["3"], f"SELECT failures FROM {WORK} WHERE entity = ", "reviewing"
    assert (Second.get("3").state, found.link.query(f"{failures}{entity}")) == (working, [(2,)])
    assert found.told() == []
    seq = len(Second.get("3").history)
    found.set(HISTORY, "3", f" AND seq = {seq}", kind="attempt_failed", attempt=9, failure="{}")
    assert found.told() == [("attempts-bounded", "claim:3")]


def test_what_fails_under_the_version_of_today_is_bounded_by_it(found: Claims) -> None:
    found.box.fail("judge", OSError("away"))
    Second.start("5").trigger("file")
    found.box.run()
    found.rows = {**found.rows, "5": Second.get("5")._view.snapshot.row}
    assert found.told() == []
    found.set(WORK, "5", failures=2, wake_at=FAR)
    assert found.told() == [("attempts-bounded", "claim:5")]
