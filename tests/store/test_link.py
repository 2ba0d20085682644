"""One database as the store uses it: opened by a URL, with a connection for each thread."""

from __future__ import annotations

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


def test_threads_do_not_share_connections(database_url: str) -> None:
    link = create_store(Settings(database_url=database_url)).link
    with link.transaction():
        assert in_threads(1, link, lambda number: link.in_transaction) == [False]
        assert link.in_transaction
    link.forget_connection()
