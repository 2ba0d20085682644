"""Each index is there for a statement that could not do without it; none is there besides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from fsmflow.decision.member import Fate
from fsmflow.settings import Settings
from fsmflow.store.columns import TABLES
from fsmflow.store.listing import Filter
from fsmflow.store.store import Store, create_store

FAR = 2**52

#: By the index, whoever asks.
SERVES: dict[str, Callable[[Store], Any]] = {
    "fsmflow_entity_machine_entity_id": lambda store: store.entities.load("order", "1"),
    "fsmflow_entity_machine_state_id": lambda store: list(store.listing.find(Filter(machine="order", states=["new"]))),
    "fsmflow_entity_fingerprint": lambda store: store.listing.count(Filter(failed=True, branches=True)),
    "fsmflow_entity_parent_parent_step_parent_index": lambda store: store.branches.page(1, 1, limit=10),
    "fsmflow_entity_parent_standing_parent_step_parent_index": lambda store: store.branches.first_unsettled(1, 1),
    "fsmflow_work_wake_at": lambda store: store.work.due(FAR, 10),
    "fsmflow_event_entity_kind_key": lambda store: store.events.kept(1),
    "fsmflow_member_repair_fate_entity": lambda store: store.members.page(1, Fate.PENDING, limit=10),
    "fsmflow_member_repair_turn_fate": lambda store: store.members.counts(1, 1),
    "fsmflow_member_repair_asked_at": lambda store: store.members.asked_since(1, FAR),
    "fsmflow_event_due_at": lambda store: store.events.due(FAR, 10),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = create_store(Settings(database_url=f"sqlite:///{tmp_path}/fsmflow.db"))
    yield store
    store.link.forget_connection()


def plans(store: Store, act: Callable[[Store], Any]) -> str:
    """How SQLite would find what is asked for."""
    asked: list[tuple[str, Any]] = []
    query = store.link.query

    def noted(sql: str, params: Any = ()) -> list[Any]:
        asked.append((sql, params))
        return query(sql, params)

    with patch.object(store.link, "query", noted):
        act(store)
    return "\n".join(str(row[-1]) for sql, params in asked for row in query(f"EXPLAIN QUERY PLAN {sql}", params))


@pytest.mark.parametrize("index", SERVES)
def test_each_index_serves_a_statement(store: Store, index: str) -> None:
    assert f" {index} " in plans(store, SERVES[index])


def test_there_is_no_other_index(store: Store) -> None:
    found = [index.name for table in TABLES for index in store.link.db.get_indexes(table.name)]
    own = {name for name in found if not name.startswith("sqlite_autoindex")}  # those of primary keys
    assert own == set(SERVES)
