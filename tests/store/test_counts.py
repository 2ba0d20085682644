"""Counts by state: exact where few stand there, and of large ones what maintenance has found, told with when."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsmflow.decision.entity import Snapshot
from fsmflow.decision.start import begin
from fsmflow.settings import Settings
from fsmflow.store import counts
from fsmflow.store.counts import Cell, Summary
from fsmflow.store.indexes import BRANCH, CHILD, ROOT, SCOPES
from fsmflow.store.store import Store, create_store
from fsmflow.store.tables import ENTITY
from tests.support.machines import Counter, Order

NOW = 1_700_000_000_000
PENDING = Cell(machine="order", state="pending", scope=ROOT)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = create_store(Settings(database_url=database_url))
    yield store
    store.link.forget_connection()


def start(store: Store, entity_id: str, *, at: int = NOW, machine: type = Order) -> Snapshot:
    begun = begin(machine._definition, entity_id, {}, None, None, at)  # type: ignore[attr-defined]
    return store.commits.commit(begun, lambda snapshot: None)


def found(store: Store, *, now: int = NOW, exact: bool = False) -> list[tuple[str, str, int, int | None, int | None]]:
    looked = store.counts.look(now, scopes=SCOPES, exact=exact)
    return [(each.cell.machine, each.cell.state, each.count, each.since, each.at) for each in looked]


def test_each_state_is_counted_and_since_when_the_oldest_stands_there_is_told(store: Store) -> None:
    assert found(store) == []
    start(store, "a")
    start(store, "b", at=NOW - 60_000)
    start(store, "c", machine=Counter)
    assert found(store) == [("counter", "open", 1, NOW, None), ("order", "pending", 2, NOW - 60_000, None)]
    assert [each.count for each in store.counts.look(NOW, "order")] == [2]
    assert store.counts.look(NOW, "nosuch") == []
    assert store.counts.large() == []


def test_children_and_branches_are_counted_apart(store: Store) -> None:
    rows = [start(store, entity_id, at=NOW - ago).row for entity_id, ago in (("a", 0), ("b", 5), ("c", 7), ("d", 9))]
    mark = store.link.mark
    for index, row in enumerate(rows[1:]):
        place = f"parent = {rows[0]}, parent_step = 1, parent_index = {index}"
        store.link.execute(f"UPDATE {ENTITY} SET {place} WHERE id = {mark}", (row,))
    store.link.execute(f"UPDATE {ENTITY} SET branch_of = 'packing' WHERE id = {mark}", (rows[3],))
    counted = {each.cell.scope: (each.count, each.since) for each in store.counts.look(NOW, scopes=SCOPES)}
    assert counted == {ROOT: (1, NOW), CHILD: (2, NOW - 7), BRANCH: (1, NOW - 9)}
    assert [each.count for each in store.counts.look(NOW)] == [1]


def test_of_many_what_was_found_last_is_told_with_when_unless_all_is_asked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "MANY", 3)
    for number in range(5):
        start(store, str(number))
    start(store, "few", machine=Counter)
    counter = ("counter", "open", 1, NOW, None)
    assert store.counts.large() == [PENDING]
    assert found(store) == [counter, ("order", "pending", 5, NOW, None)]
    store.counts.keep(Summary(at=NOW - 12_000, counts={PENDING.name: 4}))
    assert found(store) == [counter, ("order", "pending", 4, NOW, NOW - 12_000)]
    assert found(store, exact=True) == [counter, ("order", "pending", 5, NOW, None)]
    # Whoever has left it so long ago counts no more.
    assert found(store, now=NOW + 600_000) == [counter, ("order", "pending", 5, NOW, None)]
    store.counts.keep(Summary(at=NOW, counts={}))
    assert found(store) == [counter, ("order", "pending", 5, NOW, None)]


def test_where_far_too_many_stood_a_moment_ago_none_is_counted_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "MANY", 3)
    start(store, "a")
    store.counts.keep(Summary(at=NOW, counts={PENDING.name: 100, "0:order:gone": 100}))
    assert found(store, now=NOW + 60_000) == [("order", "pending", 100, NOW, NOW)]
    assert found(store, now=NOW + 60_001) == [("order", "pending", 1, NOW, None)]


def test_a_place_is_counted_in_parts(store: Store) -> None:
    rows = [start(store, str(number)).row for number in range(5)]
    start(store, "other", machine=Counter)
    assert store.counts.part(PENDING, 0, 2) == (2, rows[1])
    assert store.counts.part(PENDING, rows[1], 2) == (2, rows[3])
    assert store.counts.part(PENDING, rows[3], 2) == (1, None)
    assert store.counts.part(PENDING, rows[4], 2) == (0, None)
