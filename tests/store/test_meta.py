"""What all processes share by name: each row is written once, and changed by who has seen it last."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsmflow.settings import Settings
from fsmflow.store.store import Store, create_store
from tests.support.concurrency import in_threads


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = create_store(Settings(database_url=database_url))
    yield store
    store.link.forget_connection()


def test_what_was_added_is_there_and_is_not_added_again(store: Store) -> None:
    assert store.meta.add("a", "1")
    assert not store.meta.add("a", "2")
    assert store.meta.add("b", "3")
    assert store.meta.get(["a", "b", "none"]) == {"a": "1", "b": "3"}
    assert store.meta.get([]) == {}


def test_it_is_changed_only_by_who_knows_what_it_is(store: Store) -> None:
    store.meta.add("a", "1")
    assert not store.link.write(lambda: store.meta.swap("a", "2", "3"))
    assert store.link.write(lambda: store.meta.swap("a", "1", "3"))
    assert store.meta.get(["a"]) == {"a": "3"}


def test_of_eight_that_write_at_once_one_wins(store: Store) -> None:
    added = in_threads(8, store.link, lambda number: store.meta.add("a", str(number)))
    assert sorted(added) == [False] * 7 + [True]
    won = str(added.index(True))
    swapped = in_threads(
        8, store.link, lambda number: store.link.write(lambda: store.meta.swap("a", won, f"x{number}"))
    )
    assert sorted(swapped) == [False] * 7 + [True]
    assert store.meta.get(["a"]) == {"a": f"x{swapped.index(True)}"}
