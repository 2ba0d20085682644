"""The databases, and all that differs between them: one object for each, ``dialect_of`` a database.

To add a database, write one more class here and name it in ``DIALECTS``; nothing else asks which one it is.
"""

from __future__ import annotations

import fcntl
import json
import math
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import peewee
from peewee import Database, Model, MySQLDatabase, PostgresqlDatabase, SqliteDatabase
from playhouse.sqlite_ext import AutoIncrementField

from fsmflow import clock
from fsmflow.errors import ConfigurationError
from fsmflow.scope import scope
from fsmflow.store import connections, namespace
from fsmflow.store.dialect import Dialect, Marked
from fsmflow.store.drivers import connected_by, connected_by_url, imported, mysql_in_transaction
from fsmflow.store.durability import OfMysql, OfPostgres
from fsmflow.store.fields import LongTextField, SerialField
from fsmflow.store.notation import MysqlNotation, PostgresNotation, SqliteNotation
from fsmflow.store.sequence import ByLocks, ByTransactions, Ordered
from fsmflow.store.wakes import ROUNDED
from fsmflow.store.writelock import SharedFile

_SQLITE_PRAGMAS: Final = {"journal_mode": "wal", "synchronous": "full", "foreign_keys": 1}
_LOCK_WAIT_S: float = 10
FILE: Final = "file:"  # how the URIs of SQLite begin
#: After so many steps of its machine, SQLite asks whether to go on: some thousands of times a second.
_STEPS: Final = 10_000
_UPGRADE_LOCK: Final = 0x66736D66
#: Collations that tell all texts apart; the last, of old servers, takes texts that differ in trailing spaces for one.
_EXACT: Final = ("utf8mb4_0900_bin", "utf8mb4_nopad_bin", "utf8mb4_bin")


def lock_wait_s() -> float:
    """How long a lock is waited for."""
    return _LOCK_WAIT_S


def _lock_wait_ms() -> int:
    return round(_LOCK_WAIT_S * 1000)


class Sqlite(Dialect):
    """A file on the local disk. One transaction writes at a time."""

    name, is_server = "sqlite", False
    schemes = ("sqlite",)
    example = "sqlite:///path"
    kind = SqliteDatabase
    drivers = ("sqlite3", "pysqlite3", "sqlcipher3", "pysqlcipher3")
    notation = SqliteNotation()
    numbering = Ordered()
    begin = ("IMMEDIATE",)
    hold = "DELETE FROM {} WHERE 0"
    locking = ""
    row_field = number_field = AutoIncrementField
    without_rowid = True
    joins_values = sqlite3.sqlite_version_info >= (3, 33)
    by_row, then_join = " NOT INDEXED", "CROSS JOIN"
    merges_unions = True

    def open(self, name: str, options: dict[str, Any], url: str) -> Database:
        return open_sqlite(Path(name))

    def open_as(self, name: str, options: dict[str, Any], url: str, driver: Any) -> Database:
        return open_uri(name) if name.startswith(FILE) else open_sqlite(Path(name))

    @scope
    def alone(self, db: Database) -> Iterator[None]:
        """Switching a file to WAL waits for no lock, it just fails."""
        if str(db.database).startswith(FILE):
            yield
            return
        try:
            file = open(f"{db.database}.lock", "a")  # noqa: SIM115 - closed below, and by any death
        except OSError as error:
            raise ConfigurationError(f"the database {db.database} cannot be opened: {error.strerror}") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @scope
    def hasty(self, db: Database, *, own: bool) -> Iterator[None]:
        if not own:
            with super().hasty(db, own=own):
                yield
            return
        db.execute_sql("PRAGMA synchronous = NORMAL")
        try:
            with db.atomic(*self.begin):
                yield
        finally:
            db.execute_sql("PRAGMA synchronous = FULL")

    def moment(self, db: Database) -> AbstractContextManager[Any]:
        return db.atomic("DEFERRED")

    @scope
    def within(self, db: Database, seconds: int, *, own: bool) -> Iterator[None]:
        connection, until = db.connection(), clock.monotonic() + seconds
        connection.set_progress_handler(lambda: clock.monotonic() > until, _STEPS)
        try:
            yield
        finally:
            connection.set_progress_handler(None, 0)

    def is_in_transaction(self, connection: Any) -> bool:
        return bool(connection.in_transaction)

    def begun(self, connection: Any) -> bool:
        # Its driver begins with the first write only, and what a savepoint holds would be committed with that.
        driver = getattr(connection, "driver_connection", connection)
        if driver.in_transaction:
            return True
        if driver.isolation_level is None:
            return False
        with vars(peewee)["__exception_wrapper__"]:
            connection.cursor().execute("BEGIN IMMEDIATE")
        return True

    def leave_to(self, connection: Any) -> None:
        # A read begins nothing, and the first write waits for its turn.
        connection.isolation_level = "IMMEDIATE"

    def now(self, query: Callable[[str], list[Any]]) -> int:
        return clock.local_now()

    def by_index(self, name: str) -> str:
        # It has no statistics, and takes any index with as many columns that are equal.
        return f" INDEXED BY {name}"

    def upgrading(self, db: Database, schema: str | None) -> AbstractContextManager[Any]:
        return db.atomic(*self.begin)


def open_sqlite(path: Path) -> SqliteDatabase:
    """The SQLite database in a file, durable, and shared well by several processes. Creates nothing yet."""
    if not path.parent.is_dir():
        raise ConfigurationError(f"the database {path} cannot be opened: there is no folder {path.parent}")
    return SharedFile(str(path), pragmas=_SQLITE_PRAGMAS, timeout=_LOCK_WAIT_S)


def open_uri(uri: str) -> SqliteDatabase:
    """The SQLite database of a URI: one in memory that connections share, as tests have it. There a table that is
    written is locked for readers too, who would be refused at once."""
    pragmas = {"foreign_keys": 1, "read_uncommitted": 1}
    return SqliteDatabase(
        uri, pragmas=pragmas, lock_type="IMMEDIATE", timeout=_LOCK_WAIT_S, uri=True, check_same_thread=False
    )


class Postgres(Dialect):
    """A PostgreSQL server."""

    name = "postgresql"
    schemes = ("postgresql", "postgres")
    example = "postgresql://user@host/name"
    kind = PostgresqlDatabase
    drivers = ("psycopg", "psycopg2")
    advice = "install fsmflow[postgres]"
    notation = PostgresNotation()
    numbering = ByTransactions()
    takes_hosts = has_schemas = True
    durability = OfPostgres()
    locking = " FOR UPDATE"
    returning = " RETURNING id"
    by_bytes = '"C"'
    number_field = SerialField
    has_batches = True
    made_first = "(SELECT id FROM w0)"
    one_of_order = "BETWEEN ? AND ?"
    wakes = ROUNDED

    def open(self, name: str, options: dict[str, Any], url: str) -> Database:
        imported("psycopg", self.advice, url)
        return _PostgresDatabase(name, prefer_psycopg3=True, **connections.postgres_options(options))

    @scope
    def hasty(self, db: Database, *, own: bool) -> Iterator[None]:
        setting = "SET LOCAL synchronous_commit = off"
        if own:
            with db.atomic(setting):
                yield
            return
        # In a transaction of the caller's it would make the caller's own commit a hasty one.
        hurries = not db.in_transaction()
        with db.atomic():
            if hurries:
                db.execute_sql(setting)
            yield

    @scope
    def moment(self, db: Database) -> Iterator[None]:
        with db.atomic():
            db.execute_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield

    @scope
    def within(self, db: Database, seconds: int, *, own: bool) -> Iterator[None]:
        setting = f"SET LOCAL statement_timeout = {seconds * 1000}"
        if own and not db.in_transaction():
            with db.atomic(setting):
                yield
        elif not db.in_transaction():
            with db.atomic():
                db.execute_sql(setting)
                yield
        else:
            with db.savepoint() as inner:
                db.execute_sql(setting)
                yield
                # What was set lasts until the end of the caller's transaction, but for what is rolled back of it.
                inner.rollback(begin=False)

    def bind(self, db: Database, seconds: int) -> str | None:
        db.execute_sql(f"SET statement_timeout = {seconds * 1000}")
        return "RESET statement_timeout"

    def is_in_transaction(self, connection: Any) -> bool:
        return bool(connection.info.transaction_status)

    def leave_to(self, connection: Any) -> None:
        connection.autocommit = False

    def now(self, query: Callable[[str], list[Any]]) -> int:
        return int(query("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")[0][0])

    def check_open(self, db: Database) -> None:
        connections.check_open(db)

    def is_pooled(self, db: Database) -> bool:
        return connections.is_pooled(db)

    def stop_preparing(self, db: Database) -> bool:
        return connections.stop_preparing(db)

    def new_row(self, cursor: Any) -> int:
        return int(cursor.fetchone()[0])

    def among(self, values: Sequence[Any]) -> tuple[str, Sequence[Any]]:
        return f"= ANY({self.mark})", (list(values),)

    def insert_many(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> tuple[str, Sequence[Any]]:
        # Thousands of parameters take its driver longer than the database: one text, read there by the table's own
        # types, takes a third of the time.
        names = ", ".join(map(self.quoted, columns))
        text = json.dumps([dict(zip(columns, row, strict=True)) for row in rows], ensure_ascii=False)
        source = f"json_populate_recordset(NULL::{table}, {self.mark}::json)"
        return f"INSERT INTO {table} ({names}) SELECT {names} FROM {source}", (text,)

    def claim_at_once(self, claim: str, found: str) -> str | None:
        # The settings are made before the row is locked, as the condition asks for them.
        made = f"set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '{_lock_wait_ms()}', true)"
        once = f"{claim} AND (SELECT COUNT(*) FROM settings) = 1 RETURNING *"
        return f"WITH settings AS MATERIALIZED (SELECT {made}), w AS ({once}) {found}"

    def at_once(self, writes: Marked, *, is_new: bool, wait_s: float | None, asks: str | None) -> str:
        wait_ms = _lock_wait_ms() if wait_s is None else round(wait_s * 1000)
        patience = f"SELECT set_config('lock_timeout', '{wait_ms}', true)"
        return connections.at_once(patience, writes, made=self.made_first if is_new else None, asks=asks)

    def send(self, db: Database, sql: str, params: Sequence[Any]) -> Sequence[Any]:
        return connections.sent(db, sql, params)[1:]

    def send_together(self, db: Database, statements: Sequence[tuple[str, Sequence[Any]]]) -> list[Sequence[Any]]:
        return connections.sent_together(db, statements)

    def upgrading(self, db: Database, schema: str | None) -> AbstractContextManager[Any]:
        return namespace.upgrading(db, _UPGRADE_LOCK, schema)


class _PostgresDatabase(PostgresqlDatabase):
    """Says with BEGIN, in the same round trip, what the protocol relies on."""

    def begin(self, *settings: str) -> None:  # type: ignore[override]
        """Begin a transaction that sees what others commit, and does not wait for a lock for ever."""
        patience = f"SET LOCAL lock_timeout = {_lock_wait_ms()}"
        statements = "; ".join(("BEGIN ISOLATION LEVEL READ COMMITTED", patience, *settings))
        self.execute_sql(statements)  # type: ignore[no-untyped-call]


class Mysql(Dialect):
    """A MySQL or MariaDB server. A plain SELECT in a transaction shows what was there when that began."""

    name = "mysql"
    schemes = ("mysql",)
    example = "mysql://user@host/name"
    kind = MySQLDatabase
    drivers = ("pymysql", "MySQLdb")
    advice = "install fsmflow[mysql], which is PyMySQL, or mysqlclient"
    notation = MysqlNotation()
    numbering = ByLocks()
    durability = OfMysql()
    locking = " FOR UPDATE"
    latest = " FOR UPDATE"
    latest_shared = " LOCK IN SHARE MODE"
    text_field = LongTextField
    patience = connections.PATIENT
    has_partial_indexes = False
    counts_found = False
    statement_limit = "SELECT @@max_allowed_packet"

    def replacing(self, key: Sequence[str], column: str) -> str:
        return f" ON DUPLICATE KEY UPDATE {column} = VALUES({column})"

    def open(self, name: str, options: dict[str, Any], url: str) -> Database:
        driver = imported("mysql", self.advice, url)
        patience = f"SET SESSION innodb_lock_wait_timeout = {math.ceil(_LOCK_WAIT_S)}"
        return connected_by_url(MySQLDatabase(name, **connections.mysql_options(driver, options, patience)))

    def open_as(self, name: str, options: dict[str, Any], url: str, driver: Any) -> Database:
        patience = f"SET SESSION innodb_lock_wait_timeout = {math.ceil(_LOCK_WAIT_S)}"
        ours = connections.mysql_options(driver, {}, patience)
        flags = {"client_flag": ours["client_flag"] | options.get("client_flag", 0)}
        return connected_by(MySQLDatabase(name, **{**ours, **options, **flags}), driver)

    @scope
    def briefly(self, db: Database) -> Iterator[None]:
        db.execute_sql("SET @fsmflow_wait = @@innodb_lock_wait_timeout, innodb_lock_wait_timeout = 1")
        try:
            yield
        finally:
            db.execute_sql("SET innodb_lock_wait_timeout = @fsmflow_wait")

    def moment(self, db: Database) -> AbstractContextManager[Any]:
        return db.atomic("REPEATABLE READ")

    def bind(self, db: Database, seconds: int) -> str:
        is_mariadb = "mariadb" in str(db.connection().get_server_info()).lower()
        name, most = ("max_statement_time", seconds) if is_mariadb else ("max_execution_time", seconds * 1000)
        ((before,),) = db.execute_sql(f"SELECT @@SESSION.{name}").fetchall()
        db.execute_sql(f"SET SESSION {name} = {most}")
        return f"SET SESSION {name} = {before}"

    def is_in_transaction(self, connection: Any) -> bool:
        return mysql_in_transaction(connection)

    def leave_to(self, connection: Any) -> None:
        connection.autocommit(False)

    def now(self, query: Callable[[str], list[Any]]) -> int:
        return int(query("SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000")[0][0])

    @scope
    def upgrading(self, db: Database, schema: str | None) -> Iterator[None]:
        """It commits each change of a table by itself."""
        lock = (f"fsmflow-{_UPGRADE_LOCK}",)
        db.execute_sql("SELECT GET_LOCK(%s, 60)", lock).fetchall()
        try:
            yield
        finally:
            db.execute_sql("SELECT RELEASE_LOCK(%s)", lock).fetchall()

    def table_settings(self, db: Database) -> list[str] | None:
        found = db.execute_sql("SELECT collation_name FROM information_schema.collations").fetchall()
        names = {name for (name,) in found}
        exact = next(name for name in _EXACT if name in names)
        return ["ENGINE=InnoDB", "CHARACTER SET utf8mb4", f"COLLATE {exact}"]

    def create_tables(self, db: Database, models: Sequence[type[Model]]) -> None:
        present = set(db.get_tables())
        # Who creates tables is alone in that: what was not there a moment ago need not be asked for one by one.
        db.create_tables([model for model in models if model._meta.table_name not in present], safe=False)
        # It has no CREATE INDEX IF NOT EXISTS: of a table that was there, what is missing is found out.
        for model in models:
            if model._meta.table_name not in present:
                continue
            there = {index.name for index in db.get_indexes(model._meta.table_name)}
            for index in model._meta.fields_to_index():
                if index._name not in there:  # noqa: SLF001 - peewee has no public name of it
                    db.execute(index)


DIALECTS: Final[tuple[Dialect, ...]] = (Sqlite(), Postgres(), Mysql())


def dialect_of(db: Database) -> Dialect:
    """What a database speaks. Raises ConfigurationError for one that is in no list of ours."""
    for dialect in DIALECTS:
        if isinstance(db, dialect.kind):
            return dialect
    raise ConfigurationError(f"fsmflow cannot work on a {type(db).__name__}; use {known_names()}")


def known_names() -> str:
    """The databases that there are, for an error."""
    *names, last = (dialect.name for dialect in DIALECTS)
    return f"{', '.join(names)} or {last}"
