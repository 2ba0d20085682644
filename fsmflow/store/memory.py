"""A SQLite database in memory, for tests: each thread has a connection of its own, as with a file."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading
from typing import Any, Final

from peewee import SqliteDatabase

#: Before 3.36 a database in memory could only be shared through SQLite's shared cache, in which threads that write at
#: once get an error where they would otherwise wait.
_NAME: Final = (
    "file:/fsmflow-{}?vfs=memdb"
    if sqlite3.sqlite_version_info >= (3, 36)
    else "file:fsmflow-{}?mode=memory&cache=shared"
)
_LOCK_WAIT_S: Final = 10
_number = itertools.count(1)


class MemoryDatabase(SqliteDatabase):
    """Lives until ``dismiss``, whatever connection is closed meanwhile. Durable it is not."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._opened: list[sqlite3.Connection] = []
        super().__init__(
            _NAME.format(next(_number)),
            pragmas={"foreign_keys": 1},
            lock_type="IMMEDIATE",
            timeout=_LOCK_WAIT_S,
            uri=True,
            check_same_thread=False,
        )
        # The database is gone with its last connection.
        self._connect()

    def _connect(self) -> Any:
        connection = super()._connect()  # type: ignore[misc]
        with self._guard:
            self._opened.append(connection)
        return connection

    def _close(self, conn: Any) -> None:
        super()._close(conn)  # type: ignore[misc]
        with self._guard, contextlib.suppress(ValueError):
            self._opened.remove(conn)

    def dismiss(self) -> None:
        """Close the connections of all threads, and so let the database go."""
        self.dispose()
        with self._guard:
            opened, self._opened = self._opened, []
        for connection in opened:
            connection.close()
