"""The transaction of somebody else's library, a host: fsmflow writes in it, over the host's own connection.

A host says five things of its transaction, and is the whole of what an adapter has to write. All else is as ever: the
store works on a peewee Database, here on one that has no connection of its own.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import peewee
from peewee import Database

from fsmflow import log
from fsmflow.errors import ConfigurationError, shown
from fsmflow.scope import scope
from fsmflow.store.dialect import Dialect
from fsmflow.store.dialects import dialect_of
from fsmflow.store.namespace import placed
from fsmflow.store.tables import META
from fsmflow.store.verdicts import ERRORS, Verdict, is_outside, verdict_of

_SAVEPOINT: Final = "fsmflow_{}"
#: Which module knows the transactions of a package, by a function ``host_of``; and what tells that a program uses it.
_ADAPTERS: Final = {"sqlalchemy": "fsmflow.sqlalchemy", "django": "fsmflow.django.host"}
_USED: Final = {"sqlalchemy.engine": "fsmflow.sqlalchemy", "django.db": "fsmflow.django.host"}


class Stranger(NamedTuple):
    """A transaction that is open in this thread on a database like this one, and is not joined: what is to be said of
    it, and what to write; and how it is rolled back, where somebody has left it behind."""

    what: str
    advice: str
    end: Callable[[], object] | None = None


#: What finds one; None where there is none.
Finder = Callable[[Database], Stranger | None]
_finders: Final[list[Finder]] = []


class Broken(peewee.InternalError):
    """Nothing more can be asked in a transaction of the host's: an error of SQL was caught inside it."""


class Host(ABC):
    """A transaction of the host's, open or about to be opened by its first statement. It is used by one thread."""

    #: What it is called in a sentence, and what the user calls it.
    name: str
    transaction: Any
    #: Whether what is tested takes it for none, as its framework runs each test inside one that is never committed.
    is_of_test: bool = False
    #: How a link works in it, where that is kept for its next use.
    lent: Lent | None = None

    @abstractmethod
    def connection(self) -> Any:
        """The DB-API connection that its transaction is open on; asked for before each statement. Raises what the host
        raises where there is none any more, or Broken."""

    @abstractmethod
    def notes(self) -> set[str]:
        """What was noted of the transaction that is open; it is gone with that."""

    @abstractmethod
    def flush(self) -> None:
        """Write what the host holds back, so that it comes before what fsmflow writes."""

    @abstractmethod
    def after_commit(self, action: Callable[[], None]) -> None:
        """Call ``action``, which does not raise, right after the COMMIT; never where there is none."""

    @abstractmethod
    def spoil(self, error: BaseException) -> None:
        """The transaction is lost, as a deadlock or the end of its connection takes it along: let none of it be
        committed, nor what the host would write in a new one that it takes for this."""


def host_of(transaction: Any) -> Host:
    """The host of what a user calls a transaction. Raises ConfigurationError for what is none."""
    if isinstance(transaction, Host):
        return transaction
    if isinstance(transaction, Database):
        return _PeeweeHost(transaction)
    packages = [base.__module__.partition(".")[0] for base in type(transaction).__mro__]
    if isinstance(transaction, str) and "django.db" in sys.modules:
        packages = ["django"]  # it is an alias there
    adapter = next((_ADAPTERS[package] for package in packages if package in _ADAPTERS), None)
    if adapter is None:
        raise ConfigurationError(
            f"fsmflow cannot write within {shown(transaction)}; give a Session or Connection of SQLAlchemy, a "
            f"connection of Django or its alias, or a Database of peewee"
        )
    return cast(Host, import_module(adapter).host_of(transaction))


class _Held(threading.local):
    """The database on which this thread has the transaction of a transactional job open; and the numbers of connections
    by which the job writes apart from it, as far as that is known."""

    db: Database | None = None
    apart: list[int] | None = None


held: Final = _Held()


def find_by(finder: Finder) -> None:
    """From now on, ``stranger`` asks this too."""
    _finders.append(finder)


def is_of(db: Database, scheme: str, name: object, port: object = None) -> bool:
    """Whether a database is the same as this one, as far as its name tells."""
    dialect = dialect_of(db)
    if scheme not in dialect.schemes or not name:
        return False
    if not dialect.is_server:
        return Path(str(name)).absolute() == Path(str(db.database)).absolute()
    own = db.connect_params.get("port")
    return name == db.database and (not port or not own or str(port) == str(own))


#: Such a transaction in the thread of an event loop, which has what is asked for done in another one.
left: Final[ContextVar[Stranger | None]] = ContextVar("fsmflow_left", default=None)


def stranger(db: Database) -> Stranger | None:
    """A transaction that is open in this thread, as far as one can be found, or in that of the loop that asks."""
    if (found_there := left.get()) is not None:
        return found_there
    for package, adapter in _USED.items():
        if package in sys.modules and adapter not in sys.modules:
            with contextlib.suppress(ImportError):  # a release of it that is too old, and cannot be joined
                import_module(adapter)
    return next((found for finder in _finders if (found := finder(db)) is not None), None)


class _PeeweeHost(Host):
    """A Database of the user's own, inside its ``atomic()``."""

    def __init__(self, db: Database) -> None:
        self.name = f"this {type(db).__name__}"
        self.transaction = self._db = db
        self._notes: set[str] = set()

    def connection(self) -> Any:
        if not self._db.in_transaction():
            raise ConfigurationError(f"{self.name} has no transaction open in this thread; call inside its atomic()")
        return self._db.connection()

    def notes(self) -> set[str]:
        return self._notes

    def flush(self) -> None:
        """It holds nothing back."""

    def after_commit(self, action: Callable[[], None]) -> None:
        self._db.after_commit(action)

    def spoil(self, error: BaseException) -> None:
        # Without its connection, each further statement and the COMMIT are refused.
        self._db.connection().close()


class Lent:
    """A host's transaction as a link works in it: by a Database on the host's connection. ``found``: nobody has joined
    it, it was found to be open in whichever thread asks."""

    def __init__(self, link: object, host: Host, db: HostDatabase, *, found: bool = False) -> None:
        self.link = link
        self.host = host
        self._db = db
        self._thread = None if found else threading.get_ident()
        #: Whether the block that joined it has ended. A task that was begun inside goes on having it joined.
        self.is_over = False

    @property
    def db(self) -> Database:
        """Raises ConfigurationError in another thread, to which asyncio hands on what is joined, and after the end of
        the block: nobody would commit what is written in it then."""
        if self.is_over:
            raise ConfigurationError(
                f"the block that joined {self.host.name} is over; this task was begun inside it: give within= here, or "
                f"begin the task after the block"
            )
        if self._thread is not None and threading.get_ident() != self._thread:
            raise ConfigurationError(
                f"{self.host.name} was joined by another thread, and one thread uses it: call fsmflow there, or open a "
                f"transaction of this thread's own and join that"
            )
        return cast(Database, self._db)


#: What this thread, or this task of an event loop, has joined.
joined: Final[ContextVar[Lent | None]] = ContextVar("fsmflow_joined", default=None)


class HostDatabase:
    """What peewee's Database is where the connection and the transaction are the host's.

    It stands before the peewee class of a kind of database. A transaction is open all the time, so all that is asked of
    it are savepoints; these are gone when they end, well or not.
    """

    _host: Host | Any = None
    _dialect: Dialect
    _installation: str
    _meta: str
    _depth: int

    def lend(self, host: Host, dialect: Dialect, installation: str, schema: str | None) -> None:
        """To be called once."""
        self._host, self._dialect, self._installation, self._depth = host, dialect, installation, 0
        self._meta = META if schema is None else placed(META, schema)

    def connection(self) -> Any:
        """The host's, once it is sure that the tables of this installation are behind it. Raises ConfigurationError."""
        connection, notes = self._host.connection(), self._host.notes()
        if self._installation not in notes:
            notes.add(self._installation)
            try:
                self._look(connection)
            except BaseException:
                notes.discard(self._installation)
                raise
        return connection

    def _look(self, connection: Any) -> None:
        if not self._dialect.begun(connection):
            raise self._by_itself()
        try:
            with self._savepoint(connection):
                if self._dialect.hold:
                    self._run(connection, self._dialect.hold.format(self._meta))
                sql = (
                    f"SELECT {self._dialect.quoted('value')} FROM {self._meta} WHERE {self._dialect.quoted('name')} = "
                )
                rows = self._run(connection, sql + self._dialect.mark, ("installation",)).fetchall()
        except ERRORS as error:
            if is_outside(error):
                raise self._by_itself() from error
            if verdict_of(error) is not Verdict.LASTING:
                raise
            rows = []
        if [found for (found,) in rows] != [self._installation]:
            raise ConfigurationError(
                f"{self._host.name} is of another database than fsmflow works on, so the two cannot be written in one "
                f"transaction; give fsmflow that database: configure(database_url=...), and run 'fsmflow init' once"
            )

    def _by_itself(self) -> ConfigurationError:
        return ConfigurationError(
            f"{self._host.name} commits each statement by itself (AUTOCOMMIT), so there is no transaction to write in; "
            f"use one without it, or call fsmflow by itself"
        )

    def cursor(self, *options: Any) -> Any:
        return self.connection().cursor()

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """As peewee has it. What goes wrong outside of a savepoint may have taken the transaction along, and its COMMIT
        would not say so: it is spoilt then."""
        run: Callable[..., Any] = super().execute_sql  # type: ignore[misc]
        try:
            return run(sql, params)
        except ERRORS as error:
            if self._depth == 0:
                self._host.spoil(error)
            raise

    def _run(self, connection: Any, sql: str, params: tuple[Any, ...] = ()) -> Any:
        with vars(peewee)["__exception_wrapper__"]:
            cursor = connection.cursor()
            cursor.execute(sql, params)
        return cursor

    @scope
    def _savepoint(self, connection: Any) -> Iterator[None]:
        name = _SAVEPOINT.format(self._depth)
        self._depth += 1
        try:
            self._run(connection, f"SAVEPOINT {name}")
            try:
                yield
                self._run(connection, f"RELEASE SAVEPOINT {name}")
            except BaseException as error:
                self._undo(connection, name, error)
                raise
        finally:
            self._depth -= 1

    def _undo(self, connection: Any, name: str, error: BaseException) -> None:
        """What was wrong is told by ``error``; that it took the transaction with it is for the host to know."""
        try:
            self._run(connection, f"ROLLBACK TO SAVEPOINT {name}")
            self._run(connection, f"RELEASE SAVEPOINT {name}")
        except ERRORS:
            self._host.spoil(error)

    @scope
    def savepoint(self) -> Iterator[None]:
        """A savepoint of the host's transaction, behind all that the host holds back."""
        connection = self.connection()
        if self._depth == 0:
            self._host.flush()
        with self._savepoint(connection):
            yield

    def atomic(self, *begin: str) -> AbstractContextManager[None]:
        """A savepoint, as in any transaction that has begun."""
        return self.savepoint()

    def after_commit(self, action: Callable[[], None]) -> None:
        """As peewee has it: by then fsmflow is back on a connection of its own."""

        def act() -> None:
            token = joined.set(None)
            try:
                action()
            except Exception as error:  # noqa: BLE001 - the commit stands, and the host must learn that it does
                log.dispatch_failed(1, error)
            finally:
                joined.reset(token)

        self._host.after_commit(act)

    def in_transaction(self) -> bool:
        return True

    def top_transaction(self) -> None:
        return None

    def is_closed(self) -> bool:
        return self._host is None


def lend(host: Host, own: Database, dialect: Dialect, installation: str, *, schema: str | None = None) -> HostDatabase:
    """A Database of the kind of ``own`` in the host's transaction. ``schema``: where the tables are."""
    db = _class_of(dialect)(own.database)
    db.server_version = own.server_version
    db.lend(host, dialect, installation, schema)
    return cast(HostDatabase, db)


@cache
def _class_of(dialect: Dialect) -> Any:
    return type(f"Host{dialect.kind.__name__}", (HostDatabase, dialect.kind), {})
