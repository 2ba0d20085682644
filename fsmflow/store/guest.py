"""Whose transactions a link works in, beside its own, and who works in its own beside it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

from peewee import Database
from playhouse.pool import PooledDatabase

from fsmflow.errors import ConfigurationError
from fsmflow.scope import scope
from fsmflow.store.alias import Alias, alias_of
from fsmflow.store.dialects import dialect_of
from fsmflow.store.host import Host, Lent, Stranger, held, joined, left, lend, stranger


class Guest:
    """A database, or the transaction of a host that is joined in its place."""

    def __init__(self, db: Database, *, own: bool, schema: str | None = None) -> None:
        #: The database as it was given, and the name that a framework has for it.
        self.base = db
        self.alias = alias_of(db)
        #: Where the alias was then.
        self._place = None if self.alias is None else self.alias.place()
        self._own = own
        #: The number of the installation, by which a host's connection is found to lead to the same tables.
        self.installation = ""
        self.dialect = dialect_of(db)
        if schema is not None and not self.dialect.has_schemas:
            raise ConfigurationError(
                f"FSMFLOW_SCHEMA is {schema!r}, which is for PostgreSQL; on {self.dialect.label} give each "
                f"installation a database of its own: FSMFLOW_DATABASE_URL={self.dialect.of_its_own(schema)}"
            )
        #: Where the tables are; None where that is left to the database.
        self.schema = schema
        #: What is of this thread alone.
        self.here = threading.local()

    @property
    def db(self) -> Database:
        """The database, or that of the host's transaction which is joined here."""
        lent = self.lent
        return self.base if lent is None else lent.db

    @property
    def within(self) -> Any:
        """What the user calls the transaction that is joined here, or the session that works in ours; None where there
        is neither."""
        lent = self.lent
        host = self.beside if lent is None else lent.host
        return None if host is None else host.transaction

    @property
    def beside(self) -> Host | None:
        """What writes over the connection of this thread too, in our transaction: the session of a transactional job.
        What it holds back comes before what fsmflow writes."""
        found: Host | None = getattr(self.here, "beside", None)
        return found

    @beside.setter
    def beside(self, host: Host | None) -> None:
        self.here.beside = host

    def opener(self) -> Callable[[], Any]:
        """Opens connections as fsmflow opens its own, for somebody who begins and commits on them by himself."""
        db, dialect = cast(Any, self.base), self.dialect
        kind = cast(Any, dialect.kind)

        def opened() -> Any:
            # A pool keeps count of what it opens.
            connection = kind._connect(db) if isinstance(db, PooledDatabase) else db._connect()  # noqa: SLF001
            dialect.leave_to(connection)
            return connection

        return opened

    def is_of(self, asked: Callable[[Database], bool]) -> bool:
        """Whether what is asked of a database holds for the one that this is, whoever's transaction is joined."""
        return asked(self.base) or (self.lent is not None and asked(self.lent.host.transaction))

    @property
    def own(self) -> bool:
        """Whether nobody else works on its connections."""
        return self._own and self.lent is None

    @property
    def is_lent(self) -> bool:
        """Whether it works over the connection of a host."""
        return self.lent is not None

    @property
    def lent(self) -> Lent | None:
        """The host's transaction that is worked in here; None where it is our own."""
        lent = joined.get()
        if lent is not None and lent.link is self:
            return lent
        return None if self.alias is None or not self.installation else self._found(self.alias)

    def _found(self, alias: Alias) -> Lent | None:
        """The transaction that is open in this thread on the database of an alias: it is joined by itself."""
        host = alias.host()
        if host is None:
            return None
        if host.lent is None or host.lent.link is not self:
            db = lend(host, self.base, self.dialect, self.installation, schema=self.schema)
            host.lent = Lent(self, host, db, found=True)
        return host.lent

    @property
    def has_moved(self) -> bool:
        """Whether the alias that this was opened by names another database by now, as in tests of a framework."""
        return self.alias is not None and self.alias.place() != self._place

    def refresh(self) -> None:
        """Between two jobs, or two calls: the connections that a framework has for its models are put right."""
        if self.alias is not None:
            self.alias.refresh()

    def leave_thread(self) -> None:
        """Before this thread ends: the connections that a framework has in it are closed."""
        if self.alias is not None:
            self.alias.leave_thread()

    @scope
    def joining(self, host: Host) -> Iterator[None]:
        """Inside, all is written and read in the transaction of the host, over its connection. What follows a commit is
        done after the host's, on a connection of fsmflow's own."""
        if self.beside is not None and self.beside.transaction is host.transaction:
            yield
            return
        db = lend(host, self.base, self.dialect, self.installation, schema=self.schema)
        lent = Lent(self, host, db)
        token = joined.set(lent)
        try:
            yield
        except BaseException:
            lent.is_over = True
            with contextlib.suppress(ValueError):  # it ends in another context; what is wrong first is told
                joined.reset(token)
            raise
        lent.is_over = True
        try:
            joined.reset(token)
        except ValueError as error:
            raise ConfigurationError(
                f"'with joining' of {host.name} ends in another context than it began in, as in a dependency of "
                f"FastAPI that is not async, so what was called between may not have been written in it; give "
                f"within=session instead, or make it 'async def'"
            ) from error

    @scope
    def leaving(self) -> Iterator[None]:
        """Inside, whoever does something for this thread in another one is told of the transactions that are open here
        and not joined."""
        token = left.set(stranger(self.base))
        try:
            yield
        finally:
            left.reset(token)

    def stranger(self) -> Stranger | None:
        """A transaction that is open in this thread on this database and is not joined, as far as one can be found."""
        return None if self.lent is not None else stranger(self.base)

    @scope
    def held(self) -> Iterator[list[int]]:
        """Inside, a transactional job runs: what it writes by other connections waits for what its own has locked, and
        is told or refused. Yields the numbers of those connections, as they become known."""
        held.db, held.apart = self.base, []
        try:
            yield held.apart
        finally:
            held.db, held.apart = None, None

    def check_joined(self) -> None:
        """Raises ConfigurationError where a transaction of the caller's is found that was written in and is not joined:
        what is asked for now would be committed apart from it, and may wait for a lock that it holds."""
        if (found := self.stranger()) is not None:
            raise ConfigurationError(f"{found.what}, and fsmflow was not told to write in it: {found.advice}")
