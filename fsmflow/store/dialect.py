"""What a kind of database has to say of itself: a class of ``dialects`` for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from peewee import BigAutoField, Database, Field, Model, TextField

from fsmflow.scope import scope
from fsmflow.store.durability import Durability
from fsmflow.store.notation import Notation
from fsmflow.store.sequence import Numbering
from fsmflow.store.wakes import EXACT, Wakes

#: Writes, and of each whether it has to find one row.
Marked = Sequence[tuple[str, bool]]


class Dialect(ABC):
    """One kind of database, from its URL to its locks. It has no state."""

    name: ClassVar[str]
    #: How its URLs begin, and one of them.
    schemes: ClassVar[tuple[str, ...]]
    example: ClassVar[str]
    #: Whether each of its drivers counts the rows that an UPDATE has found, whether or not that changed them.
    counts_found: ClassVar[bool] = True
    #: Whether its URLs name a host.
    is_server: ClassVar[bool] = True
    #: peewee's class for it.
    kind: ClassVar[type[Database]]
    #: The modules of its drivers, and what to do where peewee has none of them, if it is not always there.
    drivers: ClassVar[tuple[str, ...]]
    advice: ClassVar[str] = ""
    #: How views for people are written.
    notation: ClassVar[Notation]
    #: Whether a URL may name several hosts, one of which takes writes.
    takes_hosts: ClassVar[bool] = False
    #: What it may lose of what it has acknowledged.
    durability: ClassVar[Durability] = Durability()
    #: How the lines of history are numbered.
    numbering: ClassVar[Numbering]
    #: Whether one database has schemas, so that several installations can have their tables in it.
    has_schemas: ClassVar[bool] = False
    #: Options of a connection that changes tables, where that must not be cut off.
    patience: ClassVar[Mapping[str, Any]] = {}
    #: What BEGIN is told in a transaction that writes.
    begin: ClassVar[tuple[str, ...]] = ()
    #: A statement that changes nothing of a table, and has a transaction to itself what it will write in, where what
    #: was only read before may be out of date by then.
    hold: ClassVar[str] = ""
    #: What a SELECT ends with that locks its rows; nothing where a transaction has the whole database to itself.
    locking: ClassVar[str]
    #: What a SELECT ends with that shows what is there now in a transaction that may show what was there when it began,
    #: and the same where it only reads, which needs no right to change the rows.
    latest: ClassVar[str] = ""
    latest_shared: ClassVar[str] = ""
    #: The query that tells how many bytes a statement may have, where a server closes the connection over a larger one.
    statement_limit: ClassVar[str] = ""
    #: What an INSERT ends with so that ``new_row`` can tell the number of the row.
    returning: ClassVar[str] = ""
    #: The field that numbers rows. None may ever get the number of one that is gone: who has read that still means it.
    row_field: ClassVar[type[Field]] = BigAutoField
    #: The field that numbers rows which are known by others of their columns, in the order in which they are written.
    #: Rows are stored by it where it is the primary key.
    number_field: ClassVar[type[Field]] = BigAutoField
    #: The field that holds texts of any length.
    text_field: ClassVar[type[Field]] = TextField
    #: Whether a table is stored by its primary key only when it is told to.
    without_rowid: ClassVar[bool] = False
    #: Whether a list of values can be joined to the rows that an UPDATE changes: see ``alike``.
    joins_values: ClassVar[bool] = False
    #: The collation of texts that sort by their bytes, where that is not the one of all texts.
    by_bytes: ClassVar[str | None] = None
    #: By which column is found what is due.
    wakes: ClassVar[Wakes] = EXACT
    #: Whether an index may leave rows out.
    has_partial_indexes: ClassVar[bool] = True
    #: Whether a sorted UNION ALL reads no more of its parts than it gives, and takes none that are sorted themselves.
    merges_unions: ClassVar[bool] = False
    #: Whether several writes can be one statement, and how the row is called in it that the first has made: see
    #: ``at_once``.
    has_batches: ClassVar[bool] = False
    made_first: ClassVar[str] = ""
    #: What follows a table that is to be read by its rows' numbers, whatever else is asked of them.
    by_row: ClassVar[str] = ""
    #: What follows the first column of an order that has one value: it is given as often as it is marked. A planner may
    #: go by another index for rows with a value that many have, and read those first that have it no more; not where it
    #: takes the value for several.
    one_of_order: ClassVar[str] = "= ?"
    #: What joins a table to one that is to be read first, whatever a planner makes of it.
    then_join: ClassVar[str] = "JOIN"

    @abstractmethod
    def open(self, name: str, options: dict[str, Any], url: str) -> Database:
        """peewee's Database by what a URL says. Connects to nothing; raises ConfigurationError, without a password."""

    def open_as(self, name: str, options: dict[str, Any], url: str, driver: Any) -> Database:
        """The same by what a framework opens its own connections with, and by its driver, where peewee has a choice."""
        return self.open(name, options, url)

    def told(self, version: str) -> str:
        """What answers, by what it says of itself."""
        return version if version[:1].isalpha() else f"{self.name} {version}"

    @property
    def label(self) -> str:
        """What it is called where people are told of it. Nothing is decided by that."""
        return self.name

    def of_its_own(self, name: str) -> str:
        """The URL of a database of that name."""
        return f"{self.schemes[0]}://user@host/{name}" if self.is_server else f"{self.schemes[0]}:///{name}.db"

    @property
    def mark(self) -> str:
        """What stands for a parameter."""
        return str(self.kind.param)

    def quoted(self, name: str) -> str:
        """A name that may be a keyword."""
        quotes = str(self.kind.quote)
        return f"{quotes[0]}{name}{quotes[1]}"

    @scope
    def alone(self, db: Database) -> Iterator[None]:
        """One process at a time makes tables, where nothing else sees to that."""
        yield

    @scope
    def hasty(self, db: Database, *, own: bool) -> Iterator[None]:
        """A transaction whose commit may be lost with the server, never torn, where the database has such a thing.

        ``own``: nobody else works on the connections of ``db``.
        """
        with db.atomic(*self.begin):
            yield

    @scope
    def briefly(self, db: Database) -> Iterator[None]:
        """Inside, a lock is waited for as briefly as the database can, where it would be for long, and where that can
        be said of a connection. Outside of any transaction."""
        yield

    @abstractmethod
    def moment(self, db: Database) -> AbstractContextManager[Any]:
        """A transaction that only reads, and sees the database as it was at its first read."""

    @scope
    def within(self, db: Database, seconds: int, *, own: bool) -> Iterator[None]:
        """Reads in it are ended by the database where one takes longer. It may be inside a transaction of the caller's,
        which goes on as it was. ``own``: nobody else works on the connections of ``db``."""
        undo = self.bind(db, seconds)
        try:
            yield
        finally:
            if undo is not None:
                db.execute_sql(undo)

    def bind(self, db: Database, seconds: int) -> str | None:
        """From now on each statement of this thread's connection is ended where it takes longer. What takes that back;
        None where it cannot be said of a connection."""
        return None

    @abstractmethod
    def is_in_transaction(self, connection: Any) -> bool:
        """Whether a transaction is open on a connection of the driver's, whoever began it."""

    def begun(self, connection: Any) -> bool:
        """Begin the transaction of somebody else on this connection, where a savepoint does not. False where each
        statement is known to commit by itself."""
        return True

    @abstractmethod
    def leave_to(self, connection: Any) -> None:
        """From now on a transaction begins by itself on this connection, and is committed by whoever has it."""

    @abstractmethod
    def now(self, query: Callable[[str], list[Any]]) -> int:
        """UTC now by the database's clock, in milliseconds."""

    def check_open(self, db: Database) -> None:
        """Open this thread's connection, where it is not. Raises what the driver says, also where the server is known
        to have closed it: nothing was sent by then."""
        db.connection()

    def is_pooled(self, db: Database) -> bool:
        """Whether a pooler of connections stands in front of the server. One query, where there are such things."""
        return False

    def stop_preparing(self, db: Database) -> bool:
        """Prepare no more statements on this thread's connection, and on those that are opened from now on. False where
        none ever are."""
        return False

    def new_row(self, cursor: Any) -> int:
        """The number of the row that an INSERT has made."""
        return int(cursor.lastrowid)

    def among(self, values: Sequence[Any]) -> tuple[str, Sequence[Any]]:
        """What follows a column that has one of these values, and the parameters of that."""
        return f"IN ({', '.join([self.mark] * len(values))})", values

    def insert_many(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> tuple[str, Sequence[Any]]:
        """One statement that inserts all these rows, and its parameters."""
        names = ", ".join(map(self.quoted, columns))
        marks = f"({', '.join([self.mark] * len(columns))})"
        sql = f"INSERT INTO {table} ({names}) VALUES {', '.join([marks] * len(rows))}"
        return sql, [value for row in rows for value in row]

    def replacing(self, key: Sequence[str], column: str) -> str:
        """What an INSERT ends with that changes this column where a row with the key is there."""
        return f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {column} = excluded.{column}"

    def by_index(self, name: str) -> str:
        """What follows a table that is to be read by an index, where a planner would take another one."""
        return ""

    def claim_at_once(self, claim: str, found: str) -> str | None:
        """A hasty transaction in one round trip, that runs the UPDATE ``claim``, and ``found``, which selects from the
        row that it changed, ``w``. None where there is no such thing."""
        return None

    def at_once(self, writes: Marked, *, is_new: bool, wait_s: float | None, asks: str | None) -> str:
        """One statement, and a transaction of its own, that makes all of these writes, none of which is about a row of
        another. Those that are marked have to find one row: it fails as a whole where one does not. ``is_new``: the
        first makes the row that ``made_first`` numbers in the others. ``wait_s``: for how long it waits for a lock, if
        not for as long as all do. ``asks``: a query whose one value is the last of its row."""
        raise NotImplementedError

    def send(self, db: Database, sql: str, params: Sequence[Any]) -> Sequence[Any]:
        """Run what ``at_once`` has made; its one row, first of all the number of the row that it made, if it did."""
        raise NotImplementedError

    def send_together(self, db: Database, statements: Sequence[tuple[str, Sequence[Any]]]) -> list[Sequence[Any]]:
        """Run several that ``at_once`` or ``claim_at_once`` has made, in one transaction and in one round trip where
        the driver can; the rows of each. Nothing is written where one fails."""
        raise NotImplementedError

    @abstractmethod
    def upgrading(self, db: Database, schema: str | None) -> AbstractContextManager[Any]:
        """In it one process at a time changes tables; one transaction, where tables can be changed in one. ``schema``:
        where they are, if the installation has been told one. Raises ConfigurationError."""

    def table_settings(self, db: Database) -> list[str] | None:
        """What CREATE TABLE ends with. Asks the server what it has."""
        return None

    def create_tables(self, db: Database, models: Sequence[type[Model]]) -> None:
        """Create what is missing of these tables and of their indexes."""
        db.create_tables(models, safe=True)
