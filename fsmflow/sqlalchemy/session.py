"""Sessions over connections of fsmflow: for a job, and to read one row."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cache
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, make_url
from sqlalchemy.dialects import registry
from sqlalchemy.orm import Session

from fsmflow import log
from fsmflow.errors import ConfigurationError, FsmflowError
from fsmflow.scope import scope
from fsmflow.sqlalchemy.host import host_of
from fsmflow.sqlalchemy.strangers import is_changed
from fsmflow.store.dialects import dialect_of
from fsmflow.store.link import Link
from fsmflow.store.sentence import first_line

#: What SQLAlchemy calls the drivers that fsmflow works with, by the module of their connections.
_DRIVERS: Final = {
    "sqlite3": "sqlite",
    "psycopg": "postgresql+psycopg",
    "psycopg2": "postgresql+psycopg2",
    "pymysql": "mysql+pymysql",
    "MySQLdb": "mysql+mysqldb",
}
#: Set where the transaction that a Session worked in is over, whatever SQLAlchemy knows of it.
_OVER: Final = "fsmflow_over"
#: ``client_flag`` of the MySQL protocol: the rows that were found are counted, as SQLAlchemy takes it for granted.
_FOUND_ROWS: Final = 2


class _Shared:
    """What a dialect of SQLAlchemy does where the connection and its transaction are fsmflow's: it begins, ends and
    changes neither. It stands before the dialect of a driver."""

    supports_statement_cache = True

    def on_connect(self) -> None:
        """It sets nothing on a connection that is another's."""

    def do_begin(self, dbapi_connection: Any) -> None:
        """It has begun, or each statement commits by itself."""

    def do_commit(self, dbapi_connection: Any) -> None:
        """It is fsmflow who commits."""

    def do_rollback(self, dbapi_connection: Any) -> None:
        """What the Session wrote behind its savepoint is rolled back by that."""

    def do_close(self, dbapi_connection: Any) -> None:
        """It goes on being used."""

    def do_terminate(self, dbapi_connection: Any) -> None:
        """Where it is broken, fsmflow finds that out as well."""

    def do_savepoint(self, connection: Connection, name: str) -> None:
        if not _is_over(connection):
            super().do_savepoint(connection, name)  # type: ignore[misc]

    def do_rollback_to_savepoint(self, connection: Connection, name: str) -> None:
        if not _is_over(connection):
            super().do_rollback_to_savepoint(connection, name)  # type: ignore[misc]

    def do_release_savepoint(self, connection: Connection, name: str) -> None:
        if not _is_over(connection):
            super().do_release_savepoint(connection, name)  # type: ignore[misc]


def _is_over(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get(_OVER))


class _Handed(threading.local):
    """The connection that the next Connection of SQLAlchemy of this thread is made of."""

    connection: Any = None


_handed: Final = _Handed()


@cache
def _sharing_engine(driver: str, version: Any, counts_found: bool) -> Engine:
    """Makes Connections of what is handed to it. ``version``: that of the server, which SQLAlchemy asks for once."""
    kind = make_url(f"{driver}://").get_dialect()
    name = f"fsmflow.{driver.replace('+', '_')}"
    shared = type(f"Shared{kind.__name__}", (_Shared, kind), {"supports_statement_cache": True})
    registry.impls[name] = lambda: shared
    engine = create_engine(f"{name.replace('.', '+')}://", creator=lambda: _handed.connection, poolclass=NullPool)
    engine.dialect.supports_sane_rowcount = counts_found
    return engine


def _driver_of(connection: Any) -> str:
    modules = [base.__module__.partition(".")[0] for base in type(connection).__mro__]
    found = next((_DRIVERS[module] for module in modules if module in _DRIVERS), None)
    if found is None:
        raise ConfigurationError(f"no Session of SQLAlchemy can work over a connection of {modules[0]}")
    return found


def _connection_over(db: Any) -> Connection:
    """A Connection over the one that ``db`` has in this thread, which stays as it is, whatever becomes of this."""
    _handed.connection = db.connection()
    try:
        return _sharing_engine(_driver_of(_handed.connection), db.server_version, _counts_found(db)).connect()
    finally:
        _handed.connection = None


@scope
def session_over(db: Any) -> Iterator[Session]:
    """A Session that reads over the connection of ``db``, a peewee Database, and in what is open there."""
    with _connection_over(db) as connection, session_on(connection) as session:
        yield session


def session_on(connection: Connection) -> Session:
    """A Session that reads in the transaction of a Connection, and leaves that alone."""
    return Session(connection, join_transaction_mode="rollback_only")


class JobSession:
    """The Session of one attempt of a job, used by the thread that runs it.

    In the transaction of a transactional job it writes over fsmflow's connection, inside a savepoint: its commit and
    rollback end that savepoint, and no more. Elsewhere it has a connection of its own, and commits for itself.
    """

    def __init__(self, link: Link, *, shares: bool) -> None:
        self._link, self._shares = link, shares
        if not shares:
            self.session = Session(_own_engine(link))
            return
        if not link.in_transaction:
            raise FsmflowError("machine.session is used by the thread that runs the job: its transaction is open there")
        self._connection = _connection_over(link.db)
        self._connection.begin()
        self.session = Session(self._connection, join_transaction_mode="create_savepoint")
        link.beside = host_of(self.session)

    def finish(self) -> bool:
        """The job has returned: write what is pending, and have the Session follow the commit. Where it commits for
        itself, roll back what it has not committed; whether there was such. Raises what a flush raises."""
        if self._shares:
            self.session.flush()
            self._link.after_commit(self._committed)
            return False
        left = is_changed(self.session)
        self.close()
        return left

    def _committed(self) -> None:
        """Its listeners are told of a commit after the COMMIT."""
        self._connection.execution_options(**{_OVER: True})
        try:
            self.session.expunge_all()
            self.session.commit()
        except Exception as error:  # noqa: BLE001 - of a listener; the commit stands
            log.connection_dropped(first_line(error))

    def close(self) -> None:
        """The attempt is over. What the Session has not committed is rolled back, or was so with the transaction."""
        if self._shares:
            self._link.beside = None
            self._connection.execution_options(**{_OVER: True})
        try:
            self.session.rollback()
            self.session.close()
            if self._shares:
                self._connection.close()
        except Exception as error:  # noqa: BLE001 - a connection that is lost, or a listener
            log.connection_dropped(first_line(error))
            self.session.invalidate()


_engines: Final[WeakKeyDictionary[Link, Engine]] = WeakKeyDictionary()


def _own_engine(link: Link) -> Engine:
    """The engine of the Sessions that commit for themselves. Each opens a connection, as fsmflow opens its own, and
    closes it: none is left idle, or found to be lost."""
    engine = _engines.get(link)
    if engine is None:
        db = link.db
        url = URL.create(_driver_of(db.connection()), database=str(db.database), port=_port_of(db))
        engine = _engines[link] = create_engine(url, creator=link.opener(), poolclass=NullPool)
        engine.dialect.supports_sane_rowcount = _counts_found(db)
    return engine


def _port_of(db: Any) -> int | None:
    """By it and by its name a database is known for the one that fsmflow works on."""
    port = getattr(db, "connect_params", {}).get("port")
    return None if port is None else int(port)


def _counts_found(db: Any) -> bool:
    """Whether an UPDATE counts the rows that it found, as SQLAlchemy takes it for granted; else only those that it has
    changed."""
    flags = getattr(db, "connect_params", {}).get("client_flag", 0)
    return dialect_of(db).counts_found or bool(flags & _FOUND_ROWS)
