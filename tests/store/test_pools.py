"""Connections that come from a pool of the user's own."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from playhouse.pool import PooledSqliteDatabase

from fsmflow.errors import DatabaseUnavailable
from fsmflow.settings import Settings
from fsmflow.store.store import create_store


def test_a_pool_that_has_no_connection_left_is_told_and_works_again_later(tmp_path: Path) -> None:
    pool = PooledSqliteDatabase(str(tmp_path / "own.db"), max_connections=1)
    store = create_store(Settings(database=pool))
    store.link.forget_connection()
    holds, over = threading.Event(), threading.Event()

    def hold() -> None:
        with pool.connection_context():
            holds.set()
            over.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert holds.wait(30)
    with pytest.raises(DatabaseUnavailable, match="all connections of its pool are in use; give the pool a larger"):
        store.entities.load("order", "1")
    over.set()
    holder.join()
    assert store.entities.load("order", "1") is None
    store.link.forget_connection()
