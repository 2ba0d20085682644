"""What a connection to a server is opened with, and what may stand between the two of them."""

from __future__ import annotations

import select
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, Final, cast

import peewee
from peewee import Database

from fsmflow.store.drivers import encrypting, mysqlclient_options, with_tls

#: How long a server may take to answer a client that is new.
_CONNECT_S: Final = 5
#: How long it may then be silent where it has something to say. More than the ten seconds for which a lock is waited.
_SILENT_S: Final = 15
#: The same for TCP, which knows whether the other host is there, however long a statement takes.
_UNANSWERED_MS: Final = 12_000
#: That the other host has closed a connection, beside what is told in any case.
_GONE: Final = getattr(select, "POLLRDHUP", 0)
#: ``client_flag`` of the MySQL protocol: count the rows that were found, not those that changed.
_FOUND_ROWS: Final = 2

#: For whoever changes tables on MySQL, as that takes as long as it takes.
PATIENT: Final = {"read_timeout": 3_600}


def postgres_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a URL of PostgreSQL, and ours where it names none."""
    ours: dict[str, Any] = {
        "connect_timeout": _CONNECT_S,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": _UNANSWERED_MS,
    }
    theirs = dict(options)
    if "," in str(theirs.get("host", "")):
        ours["target_session_attrs"] = "read-write"  # the others are standbys, or one that is no longer the primary
    if theirs.get("prepare_threshold") == 0:
        theirs["prepare_threshold"] = 1  # what BEGIN is told with it are statements that cannot be prepared
    return {**ours, **theirs}


def mysql_options(driver: Any, options: Mapping[str, Any], settings: str) -> dict[str, Any]:
    """The options of a URL of MySQL for a driver, and ours where it names none. ``settings``: the SQL that a connection
    begins with."""
    theirs = with_tls(options)
    if "passwd" in theirs:
        theirs["password"] = theirs.pop("passwd")
    if driver.__name__ == "MySQLdb":
        theirs = mysqlclient_options(theirs)
    elif theirs.pop("ssl_required", False):
        theirs["ssl"] = encrypting()
    ours = {
        "connect_timeout": _CONNECT_S,
        "read_timeout": _SILENT_S,
        "write_timeout": _SILENT_S,
        "client_flag": _FOUND_ROWS,
        "init_command": settings,
    }
    return {**ours, **theirs}


def check_open(db: Database) -> None:
    """Open this thread's connection to PostgreSQL, where it is not. Raises OperationalError where the server has closed
    it, as far as this host knows: nothing was sent then, and nothing has to be looked for."""
    poll = select.poll()
    with vars(peewee)["__exception_wrapper__"]:
        poll.register(db.connection().fileno(), _GONE)
    if poll.poll(0):
        raise peewee.OperationalError("the server has closed the connection")


def is_pooled(db: Database) -> bool:
    """Whether a pooler stands in front of a PostgreSQL server. It greets its clients itself, with a number of its own
    in place of the process that will serve them. One query."""
    told = db.connection().info.backend_pid
    ((serving,),) = db.execute_sql("SELECT pg_backend_pid()").fetchall()
    return bool(told != serving)


def at_once(setting: str, writes: Sequence[tuple[str, bool]], *, made: str | None, asks: str | None) -> str:
    """One statement of PostgreSQL for several writes, of which those that are marked have to find a row. ``setting``
    comes before all of them; ``made`` asks for the row that the first makes, where it makes one; ``asks`` for one thing
    more."""
    parts = [f"settings AS MATERIALIZED ({setting})"]
    for number, (sql, _) in enumerate(writes):
        parts.append(f"w{number} AS ({sql}{' RETURNING 1' if made is None or number else ''})")
    # They run in the order in which they are asked for, the setting before any row is locked; and there is no other way
    # to have a statement fail by what it has found.
    asked = ["(SELECT COUNT(*) FROM settings)", *([] if made is None else [made])]
    asked += [f"1 / (SELECT COUNT(*) FROM w{number})" for number, (_, is_one) in enumerate(writes) if is_one]
    asked += [] if asks is None else [f"({asks})"]
    return f"WITH {', '.join(parts)} SELECT {', '.join(asked)}"


def sent(db: Database, sql: str, params: Sequence[Any]) -> Sequence[Any]:
    """Run a long statement of PostgreSQL; its one row. Its newer driver would read the text anew each time, to find the
    parameters; where these have numbers it does not."""
    connection = db.connection()
    if not hasattr(connection, "prepare_threshold"):
        return cast(Sequence[Any], db.execute_sql(sql, params).fetchone())
    raw = import_module("psycopg").RawCursor
    with vars(peewee)["__exception_wrapper__"]:
        return cast(Sequence[Any], raw(connection).execute(_numbered(sql), params).fetchone())


def sent_together(db: Database, statements: Sequence[tuple[str, Sequence[Any]]]) -> list[Sequence[Any]]:
    """Run long statements of PostgreSQL in one transaction; the rows of each. Nothing of it stays where one fails.

    Its newer driver sends them without waiting for the answers: up to where it does, they are one transaction.
    """
    connection = db.connection()
    if not hasattr(connection, "pipeline"):
        with db.atomic():
            return [db.execute_sql(sql, params).fetchall() for sql, params in statements]
    raw = import_module("psycopg").RawCursor
    with vars(peewee)["__exception_wrapper__"]:
        with connection.pipeline():
            cursors = [raw(connection).execute(_numbered(sql), params) for sql, params in statements]
        return [cursor.fetchall() for cursor in cursors]


@cache
def _numbered(sql: str) -> str:
    first, *rest = sql.split("%s")
    return first + "".join(f"${number}{part}" for number, part in enumerate(rest, start=1))


def stop_preparing(db: Database) -> bool:
    """Prepare no more statements on this thread's connection to PostgreSQL, and on those that are opened from now on.
    False for a driver that never does."""
    if db.is_closed() or not hasattr(connection := db.connection(), "prepare_threshold"):
        return False
    connection.prepare_threshold = None
    db.connect_params["prepare_threshold"] = None
    return True
