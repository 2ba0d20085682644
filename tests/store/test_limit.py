"""A query of a search that takes too long is ended by the database, and all else goes on as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fsmflow import SearchStopped
from fsmflow.settings import Settings
from fsmflow.store.link import Link, looking
from fsmflow.store.store import create_store
from tests.support.users import users_database

#: What would go on for a minute at least.
ENDLESS = {
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1e10) SELECT MAX(i) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
    "mysql": "SELECT SUM(SLEEP(1)) FROM information_schema.columns",
}


@pytest.fixture
def link(database_url: str) -> Iterator[Link]:
    store = create_store(Settings(database_url=database_url, search_timeout=1))
    yield store.link
    store.link.forget_connection()


def test_a_query_that_takes_too_long_is_stopped_and_says_how_to_ask_for_less(link: Link) -> None:
    with pytest.raises(SearchStopped, match=r"took more than 1 s and was stopped.*FSMFLOW_SEARCH_TIMEOUT"):
        link.look(ENDLESS[link.dialect.name])
    assert link.look("SELECT 1") == [(1,)]


def test_other_statements_have_all_the_time_that_they_had(link: Link) -> None:
    asked = {
        "postgresql": "SELECT current_setting('statement_timeout')",
        "mysql": "SELECT @@SESSION.max_statement_time",
    }.get(link.dialect.name)
    before = asked and link.rows(asked)
    assert link.look("SELECT 1") == [(1,)]
    assert (asked and link.rows(asked)) == before


def test_whoever_looks_waits_for_no_read_that_takes_too_long_whatever_asks(link: Link) -> None:
    asked = {
        "postgresql": "SELECT current_setting('statement_timeout')",
        "mysql": "SELECT @@SESSION.max_statement_time",
    }.get(link.dialect.name, "SELECT 1")
    before = link.query(asked)
    token = looking.set(True)
    try:
        assert link.query("SELECT 1") == [(1,)]
        link.forget_connection()
        with pytest.raises(SearchStopped):
            link.query(ENDLESS[link.dialect.name])
    finally:
        looking.reset(token)
    link.unbind()
    assert link.query(asked) == before
    link.unbind()


def test_a_transaction_of_the_callers_goes_on_with_what_it_has_written(database_url: str) -> None:
    with users_database(database_url) as db:
        link = Link(db, own=False, limit_s=1)
        db.execute_sql("CREATE TABLE notes (id INTEGER PRIMARY KEY)")
        with db.atomic():
            db.execute_sql("INSERT INTO notes VALUES (1)")
            assert link.look("SELECT COUNT(*) FROM notes") == [(1,)]
            with pytest.raises(SearchStopped):
                link.look(ENDLESS[link.dialect.name])
            db.execute_sql("INSERT INTO notes VALUES (2)")
            if link.dialect.name == "postgresql":
                assert link.rows("SHOW statement_timeout") == [("0",)]
        assert link.rows("SELECT COUNT(*) FROM notes") == [(2,)]


def test_an_error_of_another_kind_is_what_it_was(link: Link) -> None:
    with pytest.raises(Exception, match="nosuch"):
        link.look("SELECT nosuch FROM nosuch")
