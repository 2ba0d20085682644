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
from tests.support.machines import Order

NOW = 1_700_000_000_000
ORDER = Order._definition


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
    assert store.listing.counts() == {("order", "charging"): 1, ("order", "pending"): 1, ("order", "rejected"): 1}
    assert store.listing.counts("counter") == {}
    assert store.link.rows(f"SELECT COUNT(*) FROM {WORK}") == [(1,)]


def test_ages_tell_how_many_stand_in_each_state_and_since_when_the_oldest_does(store: Store) -> None:
    assert store.listing.ages("order") == {}
    start(store, "a")
    store.commits.commit(begin(ORDER, "b", {}, None, None, NOW - 60_000), nothing)
    charging(store, "c")
    assert store.listing.ages("order") == {"charging": (1, NOW), "pending": (2, NOW - 60_000)}
    assert store.listing.ages("counter") == {}
