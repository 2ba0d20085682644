"""The transactions of SQLAlchemy as hosts: of a Session or a Connection, and by ``run_sync`` of the async ones.

SQLAlchemy tells nobody of a Connection once its COMMIT is through. So the method of the engine's dialect that commits
is stood before: what follows is done where that has returned, whoever asked for it.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable
from itertools import count
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import SQLAlchemyError, UnboundExecutionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import await_only

from fsmflow.errors import ConfigurationError
from fsmflow.machine.coroutines.relay import call
from fsmflow.store.host import Host

#: Where SQLAlchemy keeps what is noted of a connection.
_NOTES: Final = "fsmflow"
_MARK: Final = re.compile("%[s%]")


class _Notes:
    """What is noted of a transaction that is open: what is known of it, and what follows its commit."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.actions: list[Callable[[], None]] = []

    def follow(self) -> None:
        """Do what follows the commit."""
        for action in self.actions:
            action()


def host_of(transaction: Any) -> Host:
    """The port of a Session or Connection. Raises ConfigurationError."""
    if isinstance(transaction, scoped_session):
        transaction = transaction()
    if isinstance(transaction, (AsyncSession, AsyncConnection, async_scoped_session)):
        raise ConfigurationError(
            f"fsmflow waits for the database, which an {type(transaction).__name__} may not; write await "
            f"session.run_sync(function), where function gets the Session that start(..., within=session) takes"
        )
    if not isinstance(transaction, (Session, Connection)):
        raise ConfigurationError(
            f"fsmflow cannot write within a {type(transaction).__name__}; give the Session or the Connection that has "
            f"the transaction open"
        )
    return _Transaction(transaction)


class _Transaction(Host):
    def __init__(self, of: Session | Connection) -> None:
        self.name = f"this {type(of).__name__}"
        self.transaction = self._of = of

    def _connection(self) -> Connection:
        return self._of if isinstance(self._of, Connection) else self._of.connection()

    def connection(self) -> Any:
        try:
            connection = self._connection()
        except UnboundExecutionError as error:
            raise ConfigurationError(
                f"{self.name} has several databases, or none, and does not tell which to write in; flush it, and give "
                f"within=session.connection(bind_arguments={{'mapper': YourModel}})"
            ) from error
        if not connection.in_transaction():
            connection.begin()
        options = connection.get_execution_options()
        if options.get("isolation_level") == "AUTOCOMMIT":
            # A savepoint would tell, but on SQLite.
            raise ConfigurationError(
                f"{self.name} has the isolation level AUTOCOMMIT, so there is no transaction to write in; use one "
                f"without it, or call fsmflow by itself"
            )
        _hear(connection.dialect)
        lent = connection.connection.dbapi_connection
        return _Numbered(lent) if connection.dialect.driver == "asyncpg" else lent

    def notes(self) -> set[str]:
        return _notes_of(self._connection().connection).known

    def flush(self) -> None:
        if isinstance(self._of, Session) and self._of.autoflush:
            self._of.flush()

    def after_commit(self, action: Callable[[], None]) -> None:
        _notes_of(self._connection().connection).actions.append(action)

    def spoil(self, error: BaseException) -> None:
        with contextlib.suppress(SQLAlchemyError):  # there is no connection, or it is known to be of no use
            # Until it is rolled back, SQLAlchemy refuses all that is asked of it.
            self._connection().invalidate(error)


def _notes_of(connection: PoolProxiedConnection) -> _Notes:
    notes: _Notes = connection.info.setdefault(_NOTES, _Notes())
    return notes


_heard: Final[WeakKeyDictionary[Dialect, bool]] = WeakKeyDictionary()
_lock: Final = threading.Lock()


def _hear(dialect: Dialect) -> None:
    """From now on what was noted of a transaction of this engine's is done after its COMMIT, and forgotten after its
    ROLLBACK. Each connection that goes back to its pool is rolled back."""
    with _lock:
        if _heard.setdefault(dialect, False):
            return
        _heard[dialect] = True
        commit, rollback = dialect.do_commit, dialect.do_rollback
        commit_twophase, rollback_twophase = dialect.do_commit_twophase, dialect.do_rollback_twophase

        def do_commit(dbapi_connection: PoolProxiedConnection) -> None:
            commit(dbapi_connection)
            _follow(dialect, dbapi_connection.info.pop(_NOTES, None))

        def do_rollback(dbapi_connection: PoolProxiedConnection) -> None:
            dbapi_connection.info.pop(_NOTES, None)
            rollback(dbapi_connection)

        def do_commit_twophase(connection: Connection, *args: Any, **options: Any) -> None:
            # It may roll back behind its COMMIT PREPARED, to have nothing open.
            notes = connection.info.pop(_NOTES, None)
            commit_twophase(connection, *args, **options)
            _follow(dialect, notes)

        def do_rollback_twophase(connection: Connection, *args: Any, **options: Any) -> None:
            connection.info.pop(_NOTES, None)
            rollback_twophase(connection, *args, **options)

        own = {
            "do_commit": do_commit,
            "do_rollback": do_rollback,
            "do_commit_twophase": do_commit_twophase,
            "do_rollback_twophase": do_rollback_twophase,
        }
        vars(dialect).update(own)


def _follow(dialect: Dialect, notes: _Notes | None) -> None:
    if notes is not None and notes.actions and dialect.is_async:
        await_only(call(notes.follow))
    elif notes is not None:
        notes.follow()


class _Numbered:
    """A connection of asyncpg, whose parameters have numbers."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def cursor(self) -> _NumberedCursor:
        return _NumberedCursor(self._connection.cursor())


class _NumberedCursor:
    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, sql: str, params: Any = ()) -> None:
        numbers = count(1)
        text = _MARK.sub(lambda mark: f"${next(numbers)}" if mark.group() == "%s" else "%", sql)
        self._cursor.execute(text, tuple(params))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)
