"""What comes with a key is done once, however many bring it at once, and whoever fails leaves no key behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsmflow.settings import Settings
from fsmflow.store.answers import KEPT_MS
from fsmflow.store.store import Store, create_store
from tests.support.concurrency import in_threads


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = create_store(Settings(database_url=database_url))
    yield store
    store.link.forget_connection()


def test_of_those_who_bring_one_key_at_once_one_acts(store: Store) -> None:
    def act(number: int) -> str:
        store.meta.add(f"did-{number}", "1")
        return f"by {number}"

    given = in_threads(6, store.link, lambda number: store.answers.once("k", "f", 1, lambda: act(number)))
    (first,) = (number for number, one in enumerate(given) if one is None)
    assert {one.content for one in given if one is not None} == {f"by {first}"}
    assert list(store.meta.get([f"did-{number}" for number in range(6)])) == [f"did-{first}"]


def test_who_fails_leaves_nothing_behind_and_a_key_is_known_for_a_day(store: Store) -> None:
    def fail() -> str:
        store.meta.add("did", "1")
        raise LookupError

    with pytest.raises(LookupError):
        store.answers.once("k", "f", 1, fail)
    assert store.meta.get(["did"]) == {}
    assert store.answers.once("k", "f", 1, lambda: "done") is None
    assert store.answers.once("other", "f", KEPT_MS + 1, lambda: None) is None
    found = store.answers.once("k", "g", 2, fail)
    assert found is not None
    assert (found.form, found.at, found.content) == ("f", 1, "done")
    assert store.answers.once("last", "f", KEPT_MS + 2, lambda: None) is None
    assert store.answers.once("k", "f", KEPT_MS + 2, lambda: "anew") is None
