"""One database, as the store uses it: opening it, transactions, dialects, and errors that can be understood."""

from __future__ import annotations

import fcntl
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import peewee
from peewee import Database, MySQLDatabase, PostgresqlDatabase, SqliteDatabase
from playhouse.db_url import parse

from fsmflow import clock, log
from fsmflow.errors import ConfigurationError, DatabaseUnavailable
from fsmflow.redaction import hide_password, unreadable

#: ``client_flag`` of the MySQL protocol: count the rows that were found, not those that changed.
_FOUND_ROWS: Final = 2
_SQLITE_PRAGMAS: Final = {"journal_mode": "wal", "synchronous": "full", "foreign_keys": 1}
_LOCK_WAIT_S: float = 10
_CONNECT_S: Final = 5
_MARK: Final = "fsmflow_step"

#: Errors after which the same transaction may succeed.
TRANSIENT: Final = (peewee.OperationalError, peewee.InterfaceError, peewee.InternalError)


Result = TypeVar("Result")


def open_database(url: str) -> Database:
    """The peewee Database of a URL: sqlite:///path, postgresql://..., mysql://... Connects to nothing.

    Raises ConfigurationError for a URL that cannot be used and for a driver that is not installed.
    """
    scheme = url.partition("://")[0].lower()
    if scheme not in ("sqlite", "postgres", "postgresql", "mysql"):
        raise ConfigurationError(
            f"the database URL {hide_password(url)!r} is of no known kind; use sqlite, postgresql or mysql"
        )
    try:
        options = parse(url, unquote_password=True, unquote_user=True)
        if scheme != "sqlite" and "@" in options["database"]:
            raise ValueError("a password with a '/' in it was taken for a host and a port")
    except ValueError as error:
        raise ConfigurationError(
            f"the database URL {hide_password(url)!r} cannot be read: {unreadable(url, error)}"
        ) from None
    name = options.pop("database", "")
    if not name or name == ":memory:":
        raise ConfigurationError(
            f"the database URL {hide_password(url)!r} names no database; write sqlite:///path, "
            f"postgresql://user@host/name or mysql://user@host/name"
        )
    if scheme == "sqlite":
        return open_sqlite(Path(name))
    if scheme in ("postgres", "postgresql"):
        _need("psycopg", vars(peewee)["psycopg"], "postgres", url)
        defaults = {
            "connect_timeout": _CONNECT_S,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        }
        return _Postgres(name, prefer_psycopg3=True, **{**defaults, **options})
    _need("pymysql", vars(peewee)["mysql"], "mysql", url)
    if "passwd" in options:
        options["password"] = options.pop("passwd")
    patience = f"SET SESSION innodb_lock_wait_timeout = {math.ceil(_LOCK_WAIT_S)}"
    own = {"connect_timeout": _CONNECT_S, "client_flag": _FOUND_ROWS, "init_command": patience}
    return MySQLDatabase(name, **{**own, **options})


class _Postgres(PostgresqlDatabase):
    """Says with BEGIN, in the same round trip, what the protocol relies on."""

    def begin(self, *settings: str) -> None:  # type: ignore[override]
        """Begin a transaction that sees what others commit, and does not wait for a lock for ever."""
        patience = f"SET LOCAL lock_timeout = {_lock_wait_ms()}"
        statements = "; ".join(("BEGIN ISOLATION LEVEL READ COMMITTED", patience, *settings))
        self.execute_sql(statements)  # type: ignore[no-untyped-call]


def _lock_wait_ms() -> int:
    return round(_LOCK_WAIT_S * 1000)


def open_sqlite(path: Path) -> SqliteDatabase:
    """The SQLite database in a file, durable, and shared well by several processes. Creates nothing yet."""
    if not path.parent.is_dir():
        raise ConfigurationError(f"the database {path} cannot be opened: there is no folder {path.parent}")
    return SqliteDatabase(str(path), pragmas=_SQLITE_PRAGMAS, lock_type="IMMEDIATE", timeout=_LOCK_WAIT_S)


def _need(module: str, found: Any, extra: str, url: str) -> None:
    if found is None:
        raise ConfigurationError(
            f"the database {hide_password(url)!r} needs the package {module}; install fsmflow[{extra}]"
        )


class Link:
    """A database with what the store needs of it. Connections are per thread, opened at the first use of each."""

    def __init__(self, db: Database, *, own: bool) -> None:
        self.db = db
        self.own = own
        self.is_sqlite = isinstance(db, SqliteDatabase)
        self.is_postgres = isinstance(db, PostgresqlDatabase)
        self.is_mysql = isinstance(db, MySQLDatabase)
        self.mark = db.param
        self._begin = ("IMMEDIATE",) if self.is_sqlite else ()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time on a SQLite file of ours: switching it to WAL waits for no lock, it just fails."""
        if not (self.is_sqlite and self.own):
            yield
            return
        try:
            file = open(f"{self.db.database}.lock", "a")  # noqa: SIM115 - closed below, and by any death
        except OSError as error:
            raise ConfigurationError(f"the database {self.db.database} cannot be opened: {error.strerror}") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @property
    def lock_wait_ms(self) -> int:
        """How long a lock is waited for."""
        return _lock_wait_ms()

    def quoted(self, name: str) -> str:
        quotes = str(self.db.quote)
        return f"{quotes[0]}{name}{quotes[1]}"

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Run one statement; the cursor."""
        return self.db.execute_sql(sql, params)

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """Run one query; all its rows."""
        return list(self.db.execute_sql(sql, params).fetchall())

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """Run one read outside of any transaction of ours; once more on a new connection if the first is broken.

        Raises DatabaseUnavailable.
        """
        return self._twice(lambda: self.rows(sql, params))

    def write(self, action: Callable[[], Result], *, hasty: bool = False) -> Result:
        """Run a transaction that does no harm if it is run again; so it is, if the first was interrupted.

        ``hasty``: its commit may be lost with the database server, never torn. Raises DatabaseUnavailable.
        """

        def transact() -> Result:
            with self._hasty_transaction() if hasty else self.transaction():
                return action()

        return self._twice(transact)

    def _twice(self, action: Callable[[], Result]) -> Result:
        started = clock.monotonic()
        try:
            with self.understandable():
                return action()
        except DatabaseUnavailable:
            if self.in_transaction or clock.monotonic() - started > _LOCK_WAIT_S / 2:
                raise
        with self.understandable():
            return action()

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is inside a transaction of the caller's."""
        return bool(self.db.in_transaction())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One durable transaction; inside a transaction of the caller's, a savepoint of it."""
        if isinstance(self.db.top_transaction(), vars(peewee)["_manual"]):
            raise ConfigurationError("fsmflow cannot join peewee's manual_commit(); call it inside atomic()")
        with self.db.atomic(*self._begin):
            yield

    @contextmanager
    def _hasty_transaction(self) -> Iterator[None]:
        if self.is_sqlite and self.own:
            self.db.execute_sql("PRAGMA synchronous = NORMAL")
            try:
                with self.db.atomic(*self._begin):
                    yield
            finally:
                self.db.execute_sql("PRAGMA synchronous = FULL")
        elif self.is_postgres and self.own:
            with self.db.atomic("SET LOCAL synchronous_commit = off"):
                yield
        else:
            # In a transaction of the caller's it would make the caller's own commit a hasty one.
            hurries = self.is_postgres and not self.in_transaction
            with self.db.atomic(*self._begin):
                if hurries:
                    self.db.execute_sql("SET LOCAL synchronous_commit = off")
                yield

    def set_mark(self) -> None:
        """In a transaction that has begun: from now on ``reach_mark`` tells whether it is still the same one."""
        self.execute(f"SAVEPOINT {_MARK}")

    def reach_mark(self) -> bool:
        """Whether the transaction in which ``set_mark`` was called goes on unbroken. What asks it is its owner."""
        try:
            self.execute(f"RELEASE SAVEPOINT {_MARK}")
        except peewee.DatabaseError:
            return False
        return True

    def after_commit(self, action: Callable[[], None]) -> None:
        """Run ``action``, which must not raise, once what was written is durable: now, or after the caller's commit."""
        self.db.after_commit(action)

    @contextmanager
    def understandable(self) -> Iterator[None]:
        """Turns errors of the connection into DatabaseUnavailable, and makes the next use connect anew."""
        try:
            yield
        except TRANSIENT as error:
            self.forget_connection()
            raise DatabaseUnavailable(f"the database did not do as asked: {first_line(error)}") from error
        except peewee.DatabaseError as error:
            raise ConfigurationError(f"the database refused a statement of fsmflow: {first_line(error)}") from error

    def forget_connection(self) -> None:
        """Close this thread's connection, unless the caller has a transaction open on it."""
        if self.db.is_closed() or self.in_transaction:
            return
        try:
            self.db.close()
        except peewee.PeeweeException as error:
            log.connection_dropped(first_line(error))
            self.db.dispose()

    def roll_back_open_transaction(self) -> bool:
        """End a transaction that a job left open on this thread's connection. Whether there was one."""
        if self.db.is_closed() or not (self.in_transaction or self._driver_in_transaction()):
            return False
        connection = self.db.connection()
        self.db.dispose()
        try:
            connection.close()
        except Exception as error:  # noqa: BLE001 - it is thrown away, whatever the job did to it
            log.connection_dropped(first_line(error))
        return True

    def _driver_in_transaction(self) -> bool:
        connection = self.db.connection()
        if self.is_sqlite:
            return bool(connection.in_transaction)
        if self.is_postgres:
            return bool(connection.info.transaction_status)
        return bool(connection.server_status & 1)

    def now(self) -> int:
        """UTC now by the database's clock, in milliseconds."""
        if self.is_postgres:
            ((now,),) = self.query("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        elif self.is_mysql:
            ((now,),) = self.query("SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000")
        else:
            now = clock.local_now()
        return int(now)


def first_line(error: BaseException) -> str:
    """An error of a driver in one line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
