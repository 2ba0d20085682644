"""One database, as the store uses it: opening it, transactions, and errors that can be understood."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import peewee
from peewee import Database
from playhouse.pool import MaxConnectionsExceeded

from fsmflow import clock, log
from fsmflow.errors import ConfigurationError, DatabaseUnavailable, FsmflowError, SearchStopped
from fsmflow.redaction import hide_password, unreadable
from fsmflow.scope import scope
from fsmflow.store.alias import is_alias, open_alias
from fsmflow.store.dialects import DIALECTS, lock_wait_s
from fsmflow.store.drivers import check_driver
from fsmflow.store.guest import Guest
from fsmflow.store.namespace import placed
from fsmflow.store.sentence import first_line
from fsmflow.store.sizes import Most, TooLarge
from fsmflow.store.urls import examples, misread, parts_of
from fsmflow.store.verdicts import (
    ERRORS,
    Verdict,
    is_duplicate,
    is_ended,
    is_prepared_elsewhere,
    verdict_of,
)

_SAVEPOINT: Final = "fsmflow_step"
#: So often is done what may be done again, where others were in the way, and where it was interrupted.
_RACES: Final = 6
_INTERRUPTIONS: Final = 2
#: Whether all reads here are those of somebody who looks, and may take no longer than those of a search.
looking: Final[ContextVar[bool]] = ContextVar("fsmflow-looking", default=False)
Result = TypeVar("Result")


def open_database(url: str, *, patient: bool = False) -> Database:
    """The peewee Database of a URL: sqlite:///path, postgresql://..., mysql://... Connects to nothing.

    ``patient``: for statements that take long. What the URL says of a connection wins over what fsmflow would choose.

    Raises ConfigurationError for a URL that cannot be used and for a driver that is not installed.
    """
    if is_alias(url):
        return open_alias(url, patient=patient)
    scheme, is_url, _ = url.partition("://")
    dialect = next((known for known in DIALECTS if is_url and scheme.lower() in known.schemes), None)
    if dialect is None:
        raise ConfigurationError(f"the database URL {misread(url)}")
    try:
        options = parts_of(url, dialect=dialect)
        if dialect.is_server and "@" in options["database"]:
            raise ValueError("a password with a '/' in it was taken for a host and a port")
    except ValueError as error:
        raise ConfigurationError(
            f"the database URL {hide_password(url)!r} cannot be read: {unreadable(url, error)}"
        ) from None
    name = options.pop("database", "")
    if not name or name == ":memory:":
        raise ConfigurationError(f"the database URL {hide_password(url)!r} names no database; write {examples()}")
    if options and not dialect.is_server:
        raise ConfigurationError(f"the database URL {hide_password(url)!r} has options, and a file takes none")
    return dialect.open(name, {**(dialect.patience if patient else {}), **options}, url)


class StatementRefused(ConfigurationError):
    """The database refuses a statement of fsmflow for good."""

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        super().__init__(f"the database refused a statement of fsmflow: {sentence}")


class _There(Exception):
    """There is such a row already; ends the transaction that was to make it."""


class Link(Guest):
    """A database with what the store needs of it. Connections are per thread, opened at the first use of each."""

    def __init__(self, db: Database, *, own: bool, limit_s: int = 10, schema: str | None = None) -> None:
        super().__init__(db, own=own, schema=schema)
        self.mark = self.dialect.mark
        #: For how long one query of a search may run.
        self.limit_s = limit_s
        self._pid = os.getpid()
        self._most = Most()
        #: Whether a pooler of connections was found in front of the server.
        self.is_pooled = False

    def alone(self) -> AbstractContextManager[None]:
        """One process at a time makes tables in a database of ours, where nothing else sees to that."""
        return self.dialect.alone(self.db) if self.own else nullcontext()

    def check_driver(self) -> None:
        """Raises ConfigurationError where peewee uses a driver that fsmflow does not work with. Connects."""
        with self.understandable():
            connection = self.db.connection()
        own = f"use peewee's {self.dialect.kind.__name__}"
        advice = f"{self.dialect.advice}, and {own}" if self.dialect.advice else own
        check_driver(connection, self.dialect.drivers, advice)

    def quoted(self, name: str) -> str:
        """A name that may be a keyword."""
        return self.dialect.quoted(name)

    def open(self) -> None:
        """Open this thread's connection, if it is not. What raises here was not sent: what the driver says, also of a
        connection that the server is known to have closed; FsmflowError in a process that was forked meanwhile."""
        self._check_process()
        self.dialect.check_open(self.db)

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Run one statement; the cursor. Raises FsmflowError in a process that was forked meanwhile."""
        self._check_process()
        if self.dialect.statement_limit:
            self._most.check(sql, params, lambda: int(self.rows(self.dialect.statement_limit)[0][0]))
        return self.db.execute_sql(self._placed(sql), params)

    def send(self, sql: str, params: Sequence[Any]) -> Sequence[Any]:
        """Run a statement that the dialect has made of several, outside of any transaction, as it is one by itself; its
        one row. Raises FsmflowError in a process that was forked meanwhile."""
        self._check_process()
        return self.dialect.send(self.db, self._placed(sql), params)

    def _placed(self, sql: str) -> str:
        return sql if self.schema is None else placed(sql, self.schema)

    def has_table(self, name: str) -> bool:
        """Whether there is such a table of ours. One query."""
        return bool(self.db.table_exists(name, schema=self.schema))

    def send_together(self, statements: Sequence[tuple[str, Sequence[Any]]]) -> list[Sequence[Any]]:
        """Run several such statements in one transaction, outside of any other; the rows of each. Nothing is written
        where one fails. Raises FsmflowError in a process that was forked meanwhile."""
        self._check_process()
        return self.dialect.send_together(self.db, [(self._placed(sql), params) for sql, params in statements])

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """Run one query; all its rows. Raises FsmflowError in a process that was forked meanwhile."""
        self._check_process()
        return list(self.db.execute_sql(self._placed(sql), params).fetchall())

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """Run one read outside of any transaction of ours; once more on a new connection if the first is broken.

        Raises DatabaseUnavailable; for somebody who looks, SearchStopped too.
        """
        return self.look(sql, params) if looking.get() else self.again(lambda: self.rows(sql, params))

    def look(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """``query`` for one of a search: the database ends it where it takes longer than ``limit_s``.

        Raises SearchStopped and DatabaseUnavailable.
        """

        def once() -> list[Any]:
            self._check_process()
            try:
                with self._limit():
                    return self.rows(sql, params)
            except ERRORS as error:
                if not is_ended(error):
                    raise
                raise SearchStopped(
                    f"the search took more than {self.limit_s} s and was stopped. Ask for less: name the machine and a "
                    f"state; or give it more time by FSMFLOW_SEARCH_TIMEOUT"
                ) from error

        return self.again(once)

    def _limit(self) -> AbstractContextManager[None]:
        if self.lent is not None:
            return nullcontext()  # how long a statement may take is a setting of the host's
        if looking.get() and self.own and not self.is_pooled and not self.in_transaction and self._is_bounded():
            return nullcontext()
        return self.dialect.within(self.db, self.limit_s, own=self.own)

    def _is_bounded(self) -> bool:
        """Whether all statements of this thread's connection are ended in time: it is told so once, and no more with
        each read, until ``unbind``. False where a database knows no such thing."""
        connection = self.db.connection()
        if getattr(self.here, "bounded", (None,))[0] is not connection:
            undo = self.dialect.bind(self.db, self.limit_s)
            if undo is None:
                return False
            self.here.bounded = (connection, undo)
        return True

    def unbind(self) -> None:
        """Whoever looked is done: from now on statements of this thread take the time that they take."""
        connection, undo = getattr(self.here, "bounded", (None, ""))
        self.here.bounded = (None, "")
        if connection is None or self.base.is_closed() or self.base.connection() is not connection:
            return
        try:
            self.base.execute_sql(undo)
        except ERRORS as error:
            log.connection_dropped(first_line(error))
            self.base.dispose()

    def write(self, action: Callable[[], Result], *, hasty: bool = False) -> Result:
        """Run a transaction that does no harm if it is run again; so it is, if the first was interrupted.

        ``hasty``: its commit may be lost with the database server, never torn. Raises DatabaseUnavailable.
        """

        def transact() -> Result:
            with self._hasty_transaction() if hasty else self.transaction():
                return action()

        return self.again(transact)

    def add(self, sql: str, values: Sequence[Any]) -> bool:
        """Insert a row that is not there yet. False where somebody else has: of two who do so at once one is told."""

        def insert() -> None:
            try:
                self.execute(sql, values)
            except ERRORS as error:
                if not is_duplicate(error):
                    raise
                raise _There from error

        try:
            self.write(insert)
        except _There:
            return False
        return True

    def again(self, action: Callable[[], Result]) -> Result:
        """Do what may be done again: so it is, on a new connection, if it was interrupted, and some times more where
        others were in the way. Raises DatabaseUnavailable."""
        started, turns = clock.monotonic(), 0
        while True:
            try:
                with self.understandable():
                    return action()
            except DatabaseUnavailable as error:
                turns += 1
                is_late = clock.monotonic() - started > lock_wait_s() / 2
                if self.in_transaction or is_late or turns == (_RACES if error.raced else _INTERRUPTIONS):
                    raise

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is inside a transaction of the caller's; not if that stands for a whole test's."""
        lent = self.lent
        return bool(self.base.in_transaction()) if lent is None else not lent.host.is_of_test

    def jobs_transaction(self) -> AbstractContextManager[None]:
        """The transaction of a transactional job: on an alias one of the framework's, where its models are."""
        return self.transaction() if self.alias is None else self.alias.transaction()

    @scope
    def transaction(self) -> Iterator[None]:
        """One durable transaction; inside a transaction of the caller's, a savepoint of it."""
        self._check_process()
        if isinstance(self.db.top_transaction(), vars(peewee)["_manual"]):
            raise ConfigurationError("fsmflow cannot join peewee's manual_commit(); call it inside atomic()")
        if self.lent is None and self.beside is not None:
            self.beside.flush()
        with self.db.atomic(*self.dialect.begin):
            yield

    def _check_process(self) -> None:
        """A process that was forked shares the connections of its parent: each would read the answers of the other."""
        if os.getpid() != self._pid:
            raise FsmflowError(
                f"process {os.getpid()} was forked by process {self._pid} while that worked with its database; what a "
                f"job forks has no part in its step: it ends with os._exit(), or starts another program"
            )

    def briefly(self) -> AbstractContextManager[None]:
        """Inside, a lock is waited for as briefly as the database can."""
        return self.dialect.briefly(self.db)

    def _hasty_transaction(self) -> AbstractContextManager[None]:
        return self.dialect.hasty(self.db, own=self.own)

    def set_savepoint(self) -> None:
        """In a transaction that has begun: from now on ``savepoint_fault`` tells whether it is still the same one."""
        self.execute(f"SAVEPOINT {_SAVEPOINT}")

    def savepoint_fault(self) -> BaseException | None:
        """What says that the transaction in which ``set_savepoint`` was called does not go on unbroken. What asks it is
        its owner."""
        try:
            self.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
        except ERRORS as error:
            return error
        return None

    def after_commit(self, action: Callable[[], None]) -> None:
        """Run ``action``, which must not raise, once what was written is durable: now, or after the caller's commit."""
        self.db.after_commit(action)

    @scope
    def understandable(self) -> Iterator[None]:
        """Turns what may yet succeed into DatabaseUnavailable, and what will not into ConfigurationError.

        After an error of the connection the next use connects anew.
        """
        try:
            yield
        except MaxConnectionsExceeded as error:
            raise DatabaseUnavailable(
                "the database did not do as asked: all connections of its pool are in use; give the pool a larger "
                "max_connections, or a timeout for which it waits"
            ) from error
        except ERRORS as error:
            unreached = self.dialect.is_server and bool(self.db.is_closed())
            verdict = self.verdict(error)
            if verdict is Verdict.LASTING:
                raise StatementRefused(first_line(error)) from error
            unavailable = DatabaseUnavailable(f"the database did not do as asked: {first_line(error)}")
            unavailable.unreached, unavailable.raced = unreached, verdict is Verdict.RACE
            raise unavailable from error

    def verdict(self, error: BaseException) -> Verdict:
        """How an error of the database is to be taken. A connection that may be to blame for it is thrown away."""
        found = verdict_of(error)
        if is_prepared_elsewhere(error) and self.lent is None:
            self.dialect.stop_preparing(self.db)
        if found is Verdict.PASSING or isinstance(error, TooLarge):
            # A new connection knows what the server takes by then.
            self.forget_connection()
        return found

    def look_for_pooler(self) -> None:
        """Behind a pooler that gives each transaction another connection, no prepared statement is found again: none is
        prepared then, unless the settings of the database say something of it."""
        self.is_pooled = self.dialect.is_pooled(self.db)
        if self.is_pooled and "prepare_threshold" not in self.db.connect_params:
            self.dialect.stop_preparing(self.db)

    def forget_connection(self) -> None:
        """Close this thread's connection, unless the caller has a transaction open on it, or it is that of a parent
        process."""
        if os.getpid() != self._pid or self.base.is_closed() or self.base.in_transaction():
            return
        try:
            self.base.close()
        except peewee.PeeweeException as error:
            log.connection_dropped(first_line(error))
            self.base.dispose()

    def roll_back_open_transaction(self) -> bool:
        """End a transaction that a job left open on this thread's connection. Whether there was one."""
        db = self.base
        if db.is_closed() or not (db.in_transaction() or self.dialect.is_in_transaction(db.connection())):
            return False
        connection = db.connection()
        db.dispose()
        try:
            connection.close()
        except Exception as error:  # noqa: BLE001 - it is thrown away, whatever the job did to it
            log.connection_dropped(first_line(error))
        return True

    def version(self) -> str:
        """Which database answers: ``SQLite 3.45.1``."""
        if not self.dialect.is_server:
            return f"SQLite {self.query('SELECT sqlite_version()')[0][0]}"
        told = str(self.query("SELECT version()")[0][0]).partition(" on ")[0]
        return self.dialect.told(told)

    def may_lose(self) -> list[str]:
        """What the database may lose of what it has acknowledged, as far as it tells. Raises DatabaseUnavailable."""
        return self.dialect.durability.told(self.query)

    def now(self) -> int:
        """UTC now by the database's clock, in milliseconds."""
        return self.dialect.now(self.query)
