"""fsmflow in the transactions of SQLAlchemy: of a Session or a Connection, and by ``run_sync`` of the async ones. Needs
the extra ``sqlalchemy``.

SQLAlchemy tells nobody of a Connection once its COMMIT is through. So the method of the engine's dialect that commits
is stood before: what follows is done where that has returned, whoever asked for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

from sqlalchemy import event
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction, scoped_session
from sqlalchemy.pool import PoolProxiedConnection

from fsmflow.errors import ConfigurationError
from fsmflow.store.host import Host, Stranger, find_by, is_of
from fsmflow.store.tables import PREFIX

#: Where SQLAlchemy keeps what is noted of a connection.
_NOTES: Final = "fsmflow"
_MARK: Final = re.compile("%[s%]")


class _Notes:
    """What is noted of a transaction that is open: what is known of it, and what follows its commit."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.actions: list[Callable[[], None]] = []


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


def include_name(name: str | None, kind: str, parents: Mapping[str, Any]) -> bool:
    """For ``context.configure(include_name=...)`` of Alembic: its autogenerate leaves fsmflow's tables and views alone,
    which ``fsmflow init`` makes and upgrades."""
    return not (kind in ("table", "view") and name is not None and name.startswith(PREFIX))


class _Transaction(Host):
    def __init__(self, of: Session | Connection) -> None:
        self.name = f"this {type(of).__name__}"
        self.transaction = self._of = of

    def _connection(self) -> Connection:
        return self._of if isinstance(self._of, Connection) else self._of.connection()

    def connection(self) -> Any:
        connection = self._connection()
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

        def do_commit(dbapi_connection: PoolProxiedConnection) -> None:
            commit(dbapi_connection)
            notes: _Notes | None = dbapi_connection.info.pop(_NOTES, None)
            for action in () if notes is None else notes.actions:
                action()

        def do_rollback(dbapi_connection: PoolProxiedConnection) -> None:
            dbapi_connection.info.pop(_NOTES, None)
            rollback(dbapi_connection)

        dialect.do_commit = do_commit  # type: ignore[method-assign]
        dialect.do_rollback = do_rollback  # type: ignore[method-assign]


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


class _Opened(threading.local):
    """The Sessions of a thread that may have changes, each with the task of asyncio that it was used in."""

    def __init__(self) -> None:
        self.sessions: list[tuple[ref[Session], Any]] = []


_opened: Final = _Opened()
_WROTE: Final = "fsmflow_wrote"
#: What SQLAlchemy calls a database, and we by another name.
_ALSO_CALLED: Final = {"mariadb": "mysql"}
_STRANGER: Final = Stranger(
    "a Session of SQLAlchemy in this thread has changes of this database that are not committed",
    "write within=session in start() or trigger(), or call inside 'with fsmflow.joining(session):'; or commit it first",
)


def _task() -> Any:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _open(session: Session) -> None:
    live = [(known, task) for known, task in _opened.sessions if _is_open(known()) and known() is not session]
    _opened.sessions = [*live, (ref(session), _task())]


def _is_open(session: Session | None) -> bool:
    return session is not None and (session.in_transaction() or bool(session.new))


def _note_change(session: Session, *_: object) -> None:
    session.info[_WROTE] = True


def _note_end(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_WROTE, None)


def _note_statement(state: ORMExecuteState) -> None:
    if state.is_insert or state.is_update or state.is_delete:
        _note_change(state.session)


def _unjoined(db: Any) -> Stranger | None:
    """A Session of this thread, and this task, that has changes of the database."""
    task = _task()
    for known, of in _opened.sessions:
        session = known()
        if session is None or of is not task or not _is_open(session):
            continue
        is_changed = session.info.get(_WROTE) or session.new or session.dirty or session.deleted
        if is_changed and _is_of(session, db):
            return _STRANGER
    return None


def _is_of(session: Session, db: Any) -> bool:
    """Whether a Session is of the same database, as far as its URL tells."""
    url = getattr(getattr(session.bind, "engine", None), "url", None)
    if url is None or not url.database:
        return False
    theirs = url.get_backend_name()
    return is_of(db, _ALSO_CALLED.get(theirs, theirs), url.database, url.port)


event.listen(Session, "after_begin", lambda session, transaction, connection: _open(session))
event.listen(Session, "transient_to_pending", lambda session, instance: _open(session))
event.listen(Session, "after_flush", _note_change)
event.listen(Session, "do_orm_execute", _note_statement)
event.listen(Session, "after_transaction_end", _note_end)
find_by(_unjoined)
