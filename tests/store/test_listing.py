"""Listings over many entities: found in pages, and counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsmflow.decision.decide import decide
from fsmflow.decision.entity import Snapshot
from fsmflow.decision.happenings import Triggered
from fsmflow.decision.start import begin
from fsmflow.settings import Settings
from fsmflow.store import listing
from fsmflow.store.listing import Filter
from fsmflow.store.store import Store, create_store
from fsmflow.store.tables import WORK
from tests.support.machines import Counter, Order

NOW = 1_700_000_000_000
ORDER = Order._definition
COUNTER = Counter._definition


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = create_store(Settings(database_url=database_url))
    yield store
    store.link.forget_connection()


def nothing(snapshot: Snapshot) -> None:
    """Nobody is to be told."""


def start(store: Store, entity_id: str) -> Snapshot:
    return store.commits.commit(begin(ORDER, entity_id, {}, None, None, NOW), nothing)


def apply(store: Store, snapshot: Snapshot, happening: Triggered) -> Snapshot:
    return store.commits.commit(decide(ORDER, snapshot, happening, NOW), nothing)


def charging(store: Store, entity_id: str) -> Snapshot:
    return apply(store, start(store, entity_id), Triggered(trigger="submit"))


def test_finding_reads_in_pages_in_the_order_of_starting(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE", 3)
    for number in range(7):
        start(store, str(number))
    found = [snapshot.entity_id for snapshot in store.listing.find(Filter(machine="order"))]
    assert found == [str(number) for number in range(7)]
    for limit in (0, 1, 3, 4, 6, 7):
        assert len(list(store.listing.find(Filter(machine="order"), limit=limit))) == limit


def test_finding_and_counting_go_by_machine_state_and_phase(store: Store) -> None:
    charging(store, "a")
    start(store, "b")
    apply(store, charging(store, "c"), Triggered(trigger="reject"))

    def ids(**wanted: object) -> list[str]:
        return [snapshot.entity_id for snapshot in store.listing.find(Filter(**wanted))]  # type: ignore[arg-type]

    assert ids(states=["charging", "rejected"]) == ["a", "c"]
    assert ids(states=[]) == []
    assert ids(phase="waiting") == ["b"]
    assert ids(phase="working", states=["pending"]) == []
    assert ids(entity_id="c") == ["c"]
    assert ids(machine="counter") == []
    assert store.link.rows(f"SELECT COUNT(*) FROM {WORK}") == [(1,)]


def test_what_has_stood_there_for_longest_comes_first_where_age_is_asked_for(store: Store) -> None:
    for entity_id, ago in (("a", 1_000), ("b", 3_000), ("c", 2_000), ("d", 0)):
        store.commits.commit(begin(ORDER, entity_id, {}, None, None, NOW - ago), nothing)
    charging(store, "e")

    def ids(**how: object) -> list[str]:
        wanted = Filter(machine="order", entered_by=NOW - 500)
        return [snapshot.entity_id for snapshot in store.listing.find(wanted, **how)]  # type: ignore[arg-type]

    assert ids() == ["b", "c", "a"]
    assert ids(newest=True) == ["a", "c", "b"]
    assert ids(limit=2) == ["b", "c"]
    assert ids() == [each.entity_id for each in store.listing.find(Filter(states=["pending"], entered_by=NOW - 500))]


def test_pages_of_what_entered_at_one_moment_go_on_by_row(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_FOUND", 2)
    for number in range(5):
        start(store, str(number))
    charging(store, "5")
    found = [snapshot.entity_id for snapshot in store.listing.find(Filter(entered_by=NOW))]
    assert found == [str(number) for number in range(6)]
    assert [snapshot.entity_id for snapshot in store.listing.find(Filter(entered_by=NOW), newest=True)] == found[::-1]


def test_several_states_and_machines_are_merged_in_the_order_of_starting(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_FOUND", 2)
    for entity_id in ("0", "1", "2", "3"):
        charging(store, entity_id) if int(entity_id) % 2 else start(store, entity_id)
    store.commits.commit(begin(COUNTER, "4", {}, None, None, NOW), nothing)
    assert [snapshot.entity_id for snapshot in store.listing.find(Filter())] == ["0", "1", "2", "3", "4"]
    assert [each.entity_id for each in store.listing.find(Filter(), newest=True, limit=3)] == ["4", "3", "2"]
    states = ["charging", "pending"]
    assert [each.entity_id for each in store.listing.find(Filter(states=states))] == ["0", "1", "2", "3"]
    monkeypatch.setattr(listing, "_ARMS", 1)
    assert [each.entity_id for each in store.listing.find(Filter(states=states))] == ["0", "1", "2", "3"]
    assert store.listing.machines() == ["counter", "order"]
