"""The lock that all who write to a SQLite file share: how it is waited for."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import peewee
from peewee import SqliteDatabase

from fsmflow import clock

#: About as long as others have the lock. SQLite itself sleeps for twenty times as long, then for up to 100 ms.
_FIRST_S: Final = 0.00005
_LONGEST_S: Final = 0.002
#: Whoever has waited for longer asks less often, for the processors' sake: a pause is this share of that.
_SHARE: Final = 1 / 4
_WRITING: Final = ("IMMEDIATE", "EXCLUSIVE")


class SharedFile(SqliteDatabase):
    """A file in which a transaction that writes asks for its turn again after fractions of a millisecond, as long as
    ``timeout`` allows. A signal that raises ends the wait at once."""

    def begin(self, lock_type: str | None = None) -> None:
        """Begin a transaction; one that writes has the lock then. Raises OperationalError where others keep it."""
        wanted = lock_type or _WRITING[0]
        if wanted not in _WRITING:
            super().begin(lock_type)
            return
        with vars(peewee)["__exception_wrapper__"]:
            cursor: Any = self.cursor()  # type: ignore[no-untyped-call]
            cursor.execute("PRAGMA busy_timeout = 0")
            try:
                self._take(cursor, f"BEGIN {wanted}")
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {round(self.timeout * 1000)}")

    def _take(self, cursor: Any, begin: str) -> None:
        began = clock.monotonic()
        while True:
            try:
                cursor.execute(begin)
            except sqlite3.OperationalError as error:
                waited = clock.monotonic() - began
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or waited >= self.timeout:
                    raise
            else:
                return
            clock.pause(min(max(waited * _SHARE, _FIRST_S), _LONGEST_S))
