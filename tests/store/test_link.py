"""One database as the store uses it: opened by a URL, with a connection for each thread."""

from __future__ import annotations

import peewee
import pytest

from fsmflow.errors import ConfigurationError
from fsmflow.settings import Settings
from fsmflow.store.link import open_database
from fsmflow.store.store import create_store
from tests.support.concurrency import in_threads


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite:////no/such/folder/fsmflow.db", "there is no folder /no/such/folder"),
        ("sqlite://", "names no database"),
        ("sqlite:///:memory:", "names no database"),
        ("oracle://scott:tiger@host/name", r"'oracle://scott:\*\*\*@host/name' is of no known kind"),
        ("postgresql://user:secret@host", r"'postgresql://user:\*\*\*@host' names no database"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_telling_its_password(url: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        open_database(url)


SERVER = "postgresql://user@host/name"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgres", f"'postgres' is no URL; write {SERVER}"),
        ("PostgreSQL:user@host/name", f"'PostgreSQL:***@host/name' is no URL; write {SERVER}"),
        ("sqlite", "'sqlite' is no URL; write sqlite:///path"),
        ("/tmp/x.db", "'/tmp/x.db' is no URL; did you mean 'sqlite:////tmp/x.db'?"),
        ("shop.db", "'shop.db' is no URL; did you mean 'sqlite:///shop.db'?"),
        ("sqlite:/tmp/x.db", "'sqlite:/tmp/x.db' is no URL; did you mean 'sqlite:////tmp/x.db'?"),
        ("shop", f"'shop' is no URL; write sqlite:///path, {SERVER} or mysql://user@host/name"),
        (
            "ann:se/same@host/name",
            f"'ann:***@host/name' is no URL; write sqlite:///path, {SERVER} or mysql://user@host/name",
        ),
        (
            "postgresql+psycopg://ann:sesame@host/name",
            "'postgresql+psycopg://ann:***@host/name' is of no known kind; write postgresql://..., as fsmflow chooses "
            "the driver itself, not 'psycopg'",
        ),
        (
            "postgrsql://ann:sesame@host/name",
            "'postgrsql://ann:***@host/name' is of no known kind; use sqlite, postgresql or mysql; did you mean "
            "'postgresql'?",
        ),
    ],
)
def test_what_is_no_url_is_told_with_the_one_that_was_likely_meant(url: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_database(url)
    assert str(caught.value) == f"the database URL {sentence}"


@pytest.mark.parametrize(
    ("url", "driver", "advice"),
    [
        ("postgresql://ann:sesame@host/x", "psycopg", "install fsmflow[postgres]"),
        ("mysql://ann:sesame@host/x", "mysql", "install fsmflow[mysql], which is PyMySQL, or mysqlclient"),
    ],
)
def test_a_url_whose_driver_is_missing_says_what_to_install(
    url: str, driver: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(peewee), driver, None)
    with pytest.raises(ConfigurationError) as caught:
        open_database(url)
    assert str(caught.value) == f"the database {url.replace('sesame', '***')!r} needs a driver; {advice}"


def test_threads_do_not_share_connections(database_url: str) -> None:
    link = create_store(Settings(database_url=database_url)).link
    with link.transaction():
        assert in_threads(1, link, lambda number: link.in_transaction) == [False]
        assert link.in_transaction
    link.forget_connection()
