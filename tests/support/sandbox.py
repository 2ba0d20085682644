"""The sandbox on each kind of database in turn, for the tests of whole flows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import peewee
import pytest

from fsmflow import testing
from fsmflow.store.link import open_database


class _Chosen:
    database: peewee.Database | None = None


@pytest.fixture
def every_database(database_url: str) -> Iterator[None]:
    """Sandboxes work on each kind of database: SQLite in memory, PostgreSQL, and MariaDB."""
    if database_url.startswith("sqlite"):
        yield
        return
    _Chosen.database = database = open_database(database_url)
    try:
        yield
    finally:
        _Chosen.database = None
        database.close()


def sandbox(**options: Any) -> AbstractContextManager[testing.Sandbox]:
    """A sandbox on the database of the test."""
    return testing.sandbox(database=_Chosen.database, **options)
