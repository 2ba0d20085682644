"""Each column is named once: the tables have what is written and read, and what is written is what is read."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest

from fsmflow.decision.commit import EventKind, Posted
from fsmflow.decision.edit import Edit
from fsmflow.decision.entity import Claim, Failure, Snapshot, Standing
from fsmflow.decision.history import HistoryEntry, HistoryKind
from fsmflow.decision.work import Work, WorkKind
from fsmflow.settings import Settings
from fsmflow.store import columns
from fsmflow.store.column import Table
from fsmflow.store.columns import TABLES
from fsmflow.store.store import create_store
from fsmflow.store.tables import ENTITY, EVENT, HISTORY, WORK

AT = datetime(2026, 7, 4, 12, 0, 0, 250_000, tzinfo=UTC)
FAILURE = Failure(
    error_type="ValueError",
    message="no",
    traceback="",
    state="charging",
    attempts=2,
    at=AT,
    fingerprint="abc",
    permanent=False,
)
WORKING = Work(
    epoch=3,
    kind=WorkKind.JOB,
    attempt=4,
    dispatch=5,
    fence=6,
    owner="worker",
    lease_until=7,
    wake_at=8,
    rung_at=9,
    held=10,
    queue="slow",
    failures=11,
    crashes=12,
    postponed=13,
    progress=0.5,
    deadline=14,
    overdue=True,
)
BRANCH = Snapshot(
    row=1,
    machine="order",
    entity_id="1/packing/2",
    state="packing",
    phase="working",
    epoch=3,
    revision=15,
    seq=16,
    data_text="{}",
    step=2,
    step_name="packing.2",
    visits_text='{"packing":2}',
    event_text='{"a":1}',
    result_text="[1]",
    failure_text="[2]",
    fingerprint="abc",
    paused=True,
    version=17,
    created_at=18,
    entered_at=19,
    updated_at=20,
    parent=21,
    parent_step=22,
    parent_index=23,
    branch_of="packing",
    branch_name="credit",
    item_text="[3]",
    standing=Standing.FAILED,
    kept=24,
    work=WORKING,
)
ENTRY = HistoryEntry(
    seq=1,
    kind=HistoryKind.CRASHED,
    at=AT,
    trigger="crash",
    source="charging",
    dest="packing",
    epoch=3,
    attempt=2,
    actor="ada",
    reason="why",
    payload={"day": AT},
    key="k",
    failure=FAILURE,
    duration=1.25,
    version=7,
    edit=Edit(changed={"day": AT, "log[1]": "b"}, removed=("card",), overwritten={"n": 1}, more=2),
)
SENT = Posted(
    id=1,
    entity=2,
    kind=EventKind.SENT,
    trigger="put",
    text="{}",
    key="k",
    actor="ada",
    at=3,
    due_at=4,
    seq=5,
)


def bare(value: Any) -> Any:
    """The same value with nothing that need not be there."""
    kept = {field.name: getattr(value, field.name) for field in fields(value) if field.name in BARE[type(value)]}
    return type(value)(**kept)


BARE = {
    Snapshot: {"row", "machine", "entity_id", "state", "phase", "epoch", "revision", "seq", "data_text", "step"}
    | {"event_text", "created_at", "entered_at", "updated_at"},
    Work: {"epoch", "kind", "wake_at"},
    HistoryEntry: {"seq", "kind", "at", "trigger", "source", "dest", "epoch"},
    Posted: {"id", "entity", "kind", "trigger", "at"},
}


def table(name: str) -> Table:
    return next(table for table in TABLES if table.name == name)


def stored(name: str) -> set[str]:
    return {column.attribute for column in table(name).columns}


@pytest.mark.parametrize("snapshot", [BRANCH, bare(BRANCH)], ids=["all of it", "nothing but what must be"])
def test_an_entity_is_read_as_it_was_written(snapshot: Snapshot) -> None:
    work = [None] * len(columns.WORK_COLUMNS) if snapshot.work is None else columns.work_values(snapshot.work)
    row = (snapshot.row, *columns.new_entity_values(snapshot), *work)
    assert columns.snapshot_of(row) == snapshot
    assert columns.new_entity_values(snapshot)[: len(columns.ENTITY_COLUMNS)] == columns.entity_values(snapshot)


@pytest.mark.parametrize("work", [WORKING, bare(WORKING)], ids=["all of it", "nothing but what must be"])
def test_work_is_read_as_it_was_written(work: Work) -> None:
    assert columns.work_of(columns.work_values(work)) == work


@pytest.mark.parametrize("entry", [ENTRY, bare(ENTRY)], ids=["all of it", "nothing but what must be"])
def test_an_entry_is_read_as_it_was_written(entry: HistoryEntry) -> None:
    *values, token = columns.entry_values(entry, "token")
    assert columns.entry_of(values) == entry
    assert token == "token"


@pytest.mark.parametrize("post", [SENT, bare(SENT)], ids=["all of it", "nothing but what must be"])
def test_an_event_is_read_as_it_was_written(post: Posted) -> None:
    assert columns.posted_of((post.id, post.entity, *columns.post_values(post))) == post


def test_a_claim_is_guarded_by_what_its_work_says() -> None:
    claim = Claim(row=BRANCH.row, epoch=3, attempt=4, fence=6, owner="worker")
    assert columns.guard_values(claim) == columns.guard_of(BRANCH, WORKING)
    assert len(columns.GUARD_COLUMNS) == len(columns.guard_values(claim))
    assert set(columns.GUARD_COLUMNS) <= {column.name for column in table(WORK).columns}


@pytest.mark.parametrize(
    ("name", "value", "elsewhere"),
    [
        (ENTITY, Snapshot, {"work", "stored_as"}),
        (WORK, Work, set()),
        (HISTORY, HistoryEntry, {"repeated"}),
        (EVENT, Posted, set()),
    ],
)
def test_each_field_of_a_value_has_a_column(name: str, value: Any, elsewhere: set[str]) -> None:
    assert {field.name for field in fields(value)} - elsewhere <= stored(name)


def test_the_tables_in_the_database_have_these_columns_and_indexes(database_url: str) -> None:
    store = create_store(Settings(database_url=database_url))
    for wanted in TABLES:
        there = {column.name: column for column in store.link.db.get_columns(wanted.name)}
        made = {column.name: column.make(store.link.dialect) for column in wanted.columns}
        fields = {name: field for name, field in made.items() if field is not None}
        assert list(there) == list(fields)
        for name, field in fields.items():
            assert there[name].null == bool(field.null)
        found = {(tuple(index.columns), bool(index.unique)) for index in store.link.db.get_indexes(wanted.name)}
        partial, wakes = store.link.dialect.has_partial_indexes, store.link.dialect.wakes
        indexes = {(index.columns_in(partial=partial, wakes=wakes), index.unique) for index in wanted.indexes}
        assert {(columns, unique) for columns, unique in indexes if columns} <= found
    store.link.forget_connection()
