"""An error of the database as a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fsmflow.causes import likely
from fsmflow.store.dialects import lock_wait_s
from fsmflow.store.verdicts import code_of

#: A lock was waited for too long: SQLite, MySQL, PostgreSQL.
_LOCKED: Final = frozenset({5, 1205, "55P03"})
#: A connection was ended by an administrator, a crash or the network: PostgreSQL, whose driver may have no code; MySQL.
_CUT: Final = frozenset({"57P01", "57P02", "57P03", 1053, 1927, 2006, 2013})
#: Others were in the way of a transaction, which has to begin anew: PostgreSQL; MySQL, also of servers in a cluster.
_CONFLICTS: Final = frozenset({"40001", "40P01", 1213})
_OF_A_DRIVER: Final = frozenset({"psycopg.OperationalError", "psycopg2.OperationalError"})


def is_locked(error: BaseException) -> bool:
    """Whether a lock was waited for too long, whichever library tells it."""
    return any(code_of(told) in _LOCKED for told in _told(error))


def is_conflict(error: BaseException) -> bool:
    """Whether a transaction is to begin anew, as others were in its way, whichever library tells it."""
    return any(code_of(told) in _CONFLICTS for told in _told(error))


def is_cut(error: BaseException) -> bool:
    """Whether a connection was ended by the server or on the way, whichever library tells it; not where that is the
    fault of who was idle in a transaction for too long."""
    return any(_is_cut(told) for told in _told(error))


def _told(error: BaseException) -> Iterator[BaseException]:
    told: BaseException | None = error
    while told is not None:
        yield told
        told = told.__cause__


def _is_cut(told: BaseException) -> bool:
    cause: Any = getattr(told, "orig", told)
    code = code_of(told)
    if code is None:  # of the driver itself, which found no connection any more
        names = {f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in type(cause).__mro__}
        return not names.isdisjoint(_OF_A_DRIVER)
    return code in _CUT or str(code).startswith("08")


def first_line(error: BaseException) -> str:
    """An error of a driver in one line: what the server says, with its number where MySQL gives one; and of what is
    usual, such as a wrong password or a lock that was waited for in vain, what it most likely comes from."""
    if len(error.args) == 2 and isinstance(error.args[0], int) and error.args[1]:
        said = f"{' '.join(str(error.args[1]).split())} ({error.args[0]})"
    else:
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if code_of(error) not in _LOCKED:
        return likely(said)
    return (
        f"{said}; most likely a transaction of your own is open (atomic(), a shell, a program that looks at the "
        f"database) and was not over within {lock_wait_s():g} s: end it, and keep what takes long out of it"
    )
