"""The tables: made once, by whoever comes first, and refused where they are not those of this release."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fsmflow.errors import ConfigurationError, DatabaseUnavailable
from fsmflow.settings import Settings
from fsmflow.store import schema, tables
from fsmflow.store.link import open_database
from fsmflow.store.store import Store, create_store, open_store
from tests.support.concurrency import in_processes


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A store on a database that was made ready."""
    store = create_store(Settings(database_url=database_url))
    yield store
    store.link.forget_connection()


def test_a_database_without_tables_is_refused_and_the_error_says_what_to_run(database_url: str) -> None:
    with pytest.raises(ConfigurationError, match="no tables of fsmflow yet; run 'fsmflow init'"):
        open_store(Settings(database_url=database_url))


def test_a_database_that_was_made_ready_can_be_opened(store: Store, database_url: str) -> None:
    assert _put_away(open_store(Settings(database_url=database_url))).installation == store.installation
    assert len(store.installation) == 8


def test_making_it_ready_again_changes_nothing(store: Store) -> None:
    before = store.installation
    store.create()
    store.check()
    assert store.installation == before


def test_eight_processes_may_make_it_ready_at_once(database_url: str) -> None:
    found = in_processes(8, create_and_tell, database_url)
    assert len(set(found)) == 1
    assert _put_away(open_store(Settings(database_url=database_url))).installation == found[0]


def create_and_tell(number: int, database_url: str) -> str:
    return create_store(Settings(database_url=database_url)).installation


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        (schema.SCHEMA_VERSION - 1, "version 0, older than the 1 of this release; run fsmflow init"),
        (schema.SCHEMA_VERSION + 1, "version 2, newer than the 1 of this release; upgrade fsmflow"),
    ],
)
def test_tables_of_another_release_are_refused_with_what_to_do(store: Store, version: int, sentence: str) -> None:
    value, name = store.link.quoted("value"), store.link.quoted("name")
    store.link.execute(f"UPDATE {tables.META} SET {value} = '{version}' WHERE {name} = 'schema'")
    with pytest.raises(ConfigurationError, match=sentence):
        store.check()


@pytest.mark.parametrize("missing", ["schema", "installation"])
def test_tables_that_were_made_only_in_part_are_refused_and_can_be_made_whole(store: Store, missing: str) -> None:
    store.link.execute(f"DELETE FROM {tables.META} WHERE {store.link.quoted('name')} = '{missing}'")
    with pytest.raises(ConfigurationError, match="fsmflow init"):
        store.check()
    store.create()
    store.check()


def test_a_table_that_is_gone_is_named_in_an_error_of_ours(store: Store) -> None:
    store.link.execute(f"DROP TABLE {tables.WORK}")
    with pytest.raises(ConfigurationError, match=tables.WORK):
        store.entities.load("order", "1")


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_is_not_there_is_unavailable_and_no_driver_error_leaks(scheme: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        open_store(Settings(database_url=f"{scheme}://nobody:nothing@127.0.0.1:1/none"))


def test_a_file_that_is_no_database_is_refused_in_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "fsmflow.db").write_text("certainly no database, but long enough to be looked at" * 100)
    with pytest.raises(ConfigurationError, match="not a database"):
        open_store(Settings(database_url=f"sqlite:///{tmp_path}/fsmflow.db"))


def test_the_embedded_database_makes_itself_ready(tmp_path: Path) -> None:
    store = _put_away(open_store(Settings(home=tmp_path / "new" / "home")))
    assert (tmp_path / "new" / "home" / "fsmflow.db").is_file()
    assert store.installation


def test_eight_processes_may_open_the_embedded_database_at_once(tmp_path: Path) -> None:
    assert len(set(in_processes(8, open_home_and_tell, tmp_path / "home"))) == 1


def open_home_and_tell(number: int, home: Path) -> str:
    return open_store(Settings(home=home)).installation


@pytest.mark.postgres
def test_tables_in_a_schema_of_their_own_are_found_by_the_search_path(postgres_url: str) -> None:
    database = open_database(postgres_url)
    database.execute_sql("CREATE SCHEMA workflows")
    database.close()
    url = f"{postgres_url}?options=-csearch_path%3Dworkflows"
    made = _put_away(create_store(Settings(database_url=url)))
    assert _put_away(open_store(Settings(database_url=url))).installation == made.installation
    with pytest.raises(ConfigurationError, match="fsmflow init"):
        open_store(Settings(database_url=postgres_url))


def _put_away(store: Store) -> Store:
    store.link.forget_connection()
    return store
