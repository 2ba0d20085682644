"""Each index is there for a statement that could not do without it; none is there besides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fsmflow.decision.member import Fate
from fsmflow.decision.user import TokenKind
from fsmflow.settings import Settings
from fsmflow.store.columns import TABLES
from fsmflow.store.listing import Filter
from fsmflow.store.search import Sought
from fsmflow.store.store import Store, create_store
from tests.support.plans import plans_of

FAR = 2**52

#: By the index, whoever asks.
SERVES: dict[str, Callable[[Store], Any]] = {
    "fsmflow_entity_address": lambda store: store.entities.load("order", "1"),
    "fsmflow_entity_roots_by_state": lambda store: list(store.listing.find(Filter(machine="order", states=["new"]))),
    "fsmflow_entity_children_by_state": lambda store: list(
        store.listing.find(Filter(machine="parcel", states=["done"], branches=True))
    ),
    "fsmflow_entity_branches_by_state": lambda store: list(
        store.listing.find(Filter(machine="order", states=["done"], only_branches=True))
    ),
    "fsmflow_entity_roots_by_time": lambda store: list(
        store.listing.find(Filter(machine="order", states=["new"], entered_by=1))
    ),
    "fsmflow_entity_roots_by_phase": lambda store: list(store.listing.find(Filter(machine="order"), newest=True)),
    "fsmflow_entity_failing": lambda store: list(store.listing.find(Filter(machine="order", failing=True))),
    "fsmflow_entity_paused": lambda store: store.lookout.paused(),
    "fsmflow_entity_branches": lambda store: store.branches.page(1, 1, limit=10),
    "fsmflow_entity_standing": lambda store: store.branches.first_unsettled(1, 1),
    "fsmflow_history_key": lambda store: store.entities.history(1, after=0),
    "fsmflow_work_due": lambda store: store.work.due(FAR, 10),
    "fsmflow_work_stuck": lambda store: store.listing.count(Filter(stuck=True, branches=True)),
    "fsmflow_work_parked": lambda store: store.work.parked(),
    "fsmflow_event_entity_kind_key": lambda store: store.events.kept(1),
    "fsmflow_member_repair_fate_entity": lambda store: store.members.page(1, Fate.PENDING, limit=10),
    "fsmflow_member_repair_turn_fate": lambda store: store.members.counts(1, 1),
    "fsmflow_member_repair_asked_at": lambda store: store.members.asked_since(1, FAR),
    "fsmflow_term_value": lambda store: list(
        store.listing.find(Filter(machine="order", sought=Sought(by="order.amount")), newest=True)
    ),
    "fsmflow_arrival_last_at": lambda store: store.arrivals.latest(["order"]),
    "fsmflow_token_digest": lambda store: store.tokens.find("x"),
    "fsmflow_token_owner": lambda store: store.tokens.of_owner("ann", TokenKind.API),
    "fsmflow_try_until": lambda store: store.tries.take("x", FAR, cost=1, most=1),
    "fsmflow_answer_at": lambda store: store.answers.once("x", "y", FAR, lambda: None),
    "fsmflow_limit_look_at": lambda store: store.permits.rows.due(FAR),
    "fsmflow_permit_line": lambda store: store.permits._waiting("gateway", 5),
    "fsmflow_permit_entity": lambda store: store.permits.of(1),
    "fsmflow_event_due_at": lambda store: store.events.due(FAR, 10),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = create_store(Settings(database_url=f"sqlite:///{tmp_path}/fsmflow.db"))
    yield store
    store.link.forget_connection()


@pytest.mark.parametrize("index", SERVES)
def test_each_index_serves_a_statement(store: Store, index: str) -> None:
    assert index in plans_of(store, SERVES[index]).split()


def test_there_is_no_other_index(store: Store) -> None:
    found = [index.name for table in TABLES for index in store.link.db.get_indexes(table.name)]
    own = {name for name in found if not name.startswith("sqlite_autoindex")}  # those of primary keys
    assert own == set(SERVES)
