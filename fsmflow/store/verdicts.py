"""What an error of the database means to whoever asked it, by the code that the database gives it.

Drivers do not tell: one class of theirs is raised for a deadlock, for a server that is gone and for a broken rule.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

import peewee

#: All that is raised for what a database says, or does not say.
ERRORS: Final = (peewee.DatabaseError, peewee.InterfaceError)
#: Those of them that pass, where there is no code to go by: most come from a connection that is gone.
_PASSING_KINDS: Final = (peewee.OperationalError, peewee.InterfaceError, peewee.InternalError)


class Verdict(Enum):
    """``RACE``: others were in the way, and the same may succeed at once, on the same connection. ``PASSING``: the
    connection or the server is not as it should be, and the same may succeed later, on a new connection. ``LASTING``:
    a rule of the database is broken, and the same will be refused again."""

    RACE = "race"
    PASSING = "passing"
    LASTING = "lasting"


#: PostgreSQL: SQLSTATEs, and the classes that they begin with. What is not here is lasting.
_RACES_OF_POSTGRES: Final = frozenset({"40000", "40001", "40P01", "55P03"})
_PASSING_OF_POSTGRES: Final = frozenset(
    {
        "25006",  # read-only, as a server is that is no longer the primary
        "25P02",  # a statement in a transaction that an earlier one has broken
        "25P03",  # idle in transaction for too long
        "25P04",  # the transaction took too long
        "26000",  # a prepared statement that the server does not know
        "3D000",  # the database is not there
        "40003",  # whether the statement was completed is not known
        "42P05",  # a prepared statement that the server knows already
        "55000",  # recovery
        "72000",  # the snapshot is too old
        "HV00N",  # the server behind a foreign table is away
    }
)
#: Connection, authorisation, resources, an operator's intervention, the system, and what its authors did not foresee.
_PASSING_CLASSES: Final = ("08", "28", "53", "57", "58", "F0", "XX")

#: MySQL and MariaDB: error numbers. What is not here is lasting; numbers of 2000 and more are those of the connection.
_RACES_OF_MYSQL: Final = frozenset(
    {
        1020,  # a row has changed since it was read
        1205,  # a lock was waited for too long
        1213,  # a deadlock, and a conflict with another server of a cluster
        1412,  # a table was changed meanwhile
        1615,  # a prepared statement has to be prepared again
        3101,  # a conflict with another server of a group
        3572,  # a lock is held by somebody else
    }
)
_PASSING_OF_MYSQL: Final = frozenset(
    {
        # of the connection, and of who may connect
        *(0, 1040, 1042, 1043, 1044, 1045, 1047, 1049, 1129, 1130, 1152, 1154, 1155, 1156, 1157, 1158, 1159, 1160),
        *(1161, 1184, 1203, 1226, 1927, 3032, 3118, 3159, 3168, 3169, 4031, 4151),
        # of a server that stops, starts, or has run out of something
        *(1021, 1030, 1037, 1038, 1041, 1053, 1077, 1079, 1080, 1081, 1114, 1135, 1180, 1181, 1206, 1637),
        # of a server that only reads, as one that is no longer the primary
        *(1290, 1792, 1836),
        # of a statement that was ended, or took too long
        *(1317, 1969, 3024),
    }
)
_OF_THE_CONNECTION: Final = range(2000, 3000)
#: A statement is larger than the server, or its client, takes.
_TOO_LARGE_OF_MYSQL: Final = frozenset({1153, 2020})

#: SQLite: primary result codes. What is not here is lasting.
_RACES_OF_SQLITE: Final = frozenset({5, 6})  # BUSY, LOCKED
#: PERM, ABORT, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL, SCHEMA
_PASSING_OF_SQLITE: Final = frozenset({3, 4, 7, 8, 9, 10, 13, 14, 15, 17})
#: What SQLite and its driver say, as of any wrong SQL, where a connection is closed, or not in the transaction that it
#: is taken to be in.
_OUT_OF_STEP: Final = ("Cannot operate on a closed", "cannot start", "cannot commit", "cannot rollback", "no such save")

#: Two rows with one key: PostgreSQL; MySQL; SQLite, which tells in the upper bits of its code.
_DUPLICATES: Final = frozenset({"23505", 1062, 1586, 1555, 2067, 2579})


#: PostgreSQL: a prepared statement is not there, or is there already, on the connection behind a pooler.
_PREPARED_ELSEWHERE: Final = frozenset({"26000", "42P05"})


#: A statement took longer than it was allowed to: PostgreSQL; MariaDB, MySQL; SQLite.
_ENDED: Final = frozenset({"57014", 1969, 3024, 9})


#: A savepoint, where no transaction is open: PostgreSQL, which refuses it; MySQL, which has forgotten it by then.
_OUTSIDE: Final = frozenset({"25P01", 1305})


#: Of PostgreSQL: a division by zero, by which a statement of several writes fails where one of them finds no row.
_MISSED: Final = "22012"


def is_missed(error: BaseException) -> bool:
    """Whether a write of a batch found no row, as far as the error tells: what the user adds to our tables, such as a
    trigger, may have raised it."""
    return code_of(error) == _MISSED


def is_outside(error: BaseException) -> bool:
    """Whether a savepoint was set, or ended, where no transaction is open."""
    return code_of(error) in _OUTSIDE


def is_ended(error: BaseException) -> bool:
    """Whether a statement was ended as it took too long."""
    return code_of(error) in _ENDED


def is_prepared_elsewhere(error: BaseException) -> bool:
    """Whether a statement had been prepared on another connection than the one that a pooler has chosen now."""
    return code_of(error) in _PREPARED_ELSEWHERE


def verdict_of(error: BaseException) -> Verdict:
    """How an error of peewee, or of the driver below it, is to be taken."""
    cause = getattr(error, "orig", error)
    code = code_of(error)
    if isinstance(code, str):
        return _of_postgres(code)
    if hasattr(cause, "sqlite_errorcode"):
        return _of_sqlite(code or 0, str(cause))
    if code is not None:
        return _of_mysql(code)
    passes = isinstance(error, _PASSING_KINDS) or str(cause).startswith(_OUT_OF_STEP)
    return Verdict.PASSING if passes else Verdict.LASTING


def is_duplicate(error: BaseException) -> bool:
    """Whether a row was refused as another one has its key."""
    return code_of(error) in _DUPLICATES


def code_of(error: BaseException) -> str | int | None:
    """What a database calls an error: PostgreSQL by its SQLSTATE, MySQL and SQLite by a number; None where it comes
    from the driver alone."""
    cause: Any = getattr(error, "orig", error)
    first = cause.args[0] if cause.args else None
    if isinstance(first, int):
        return first  # of MySQL, whose driver may tell an SQLSTATE besides, which says less
    for name in ("sqlite_errorcode", "sqlstate", "pgcode"):
        found = getattr(cause, name, None)
        if found is not None:
            return found if isinstance(found, int) else str(found)
    return None


def _of_postgres(state: str) -> Verdict:
    if state in _RACES_OF_POSTGRES:
        return Verdict.RACE
    passes = state in _PASSING_OF_POSTGRES or state.startswith(_PASSING_CLASSES)
    return Verdict.PASSING if passes else Verdict.LASTING


def _of_mysql(number: int) -> Verdict:
    if number in _RACES_OF_MYSQL:
        return Verdict.RACE
    passes = number in _PASSING_OF_MYSQL or (number in _OF_THE_CONNECTION and number not in _TOO_LARGE_OF_MYSQL)
    return Verdict.PASSING if passes else Verdict.LASTING


def _of_sqlite(code: int, message: str) -> Verdict:
    primary = code & 0xFF
    if primary in _RACES_OF_SQLITE:
        return Verdict.RACE
    passes = primary in _PASSING_OF_SQLITE or message.startswith(_OUT_OF_STEP)
    return Verdict.PASSING if passes else Verdict.LASTING
