"""Plain reads for whoever judges what is stored: all of one moment, and in nobody's way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsmflow.errors import ConfigurationError
from fsmflow.settings import Settings
from fsmflow.store.link import Link, open_database
from fsmflow.store.reader import Reader
from fsmflow.store.store import Store, create_store
from fsmflow.store.tables import META


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = create_store(Settings(database_url=database_url))
    yield store
    store.link.forget_connection()


@pytest.fixture
def reader(store: Store, database_url: str) -> Iterator[Reader]:
    """On a connection of its own."""
    link = Link(open_database(database_url), own=True)
    yield Reader(link)
    link.forget_connection()


def names(reader: Reader) -> set[str]:
    name = reader.quoted("name")
    return {str(found) for (found,) in reader.rows(f"SELECT {name} FROM {META} WHERE {name} <> ?", ("schema",))}


def test_all_reads_of_a_moment_see_the_same_and_keep_nobody_from_writing(store: Store, reader: Reader) -> None:
    with reader.moment():
        at_first = names(reader)
        assert store.meta.add("since", "1")
        assert names(reader) == at_first
    with reader.moment():
        assert names(reader) == at_first | {"since"}


def test_a_moment_is_refused_where_what_is_not_committed_would_be_seen(store: Store) -> None:
    reader = Reader(store.link)
    with store.link.transaction(), pytest.raises(ConfigurationError, match="outside of it"), reader.moment():
        pass
    with reader.moment():
        assert names(reader) == {"installation"}


def test_it_is_now_by_the_clock_of_the_database(store: Store, reader: Reader) -> None:
    assert abs(reader.now() - store.link.now()) < 60_000
