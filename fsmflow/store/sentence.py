"""An error of the database as a sentence."""

from __future__ import annotations

from typing import Final

from fsmflow.causes import likely
from fsmflow.store.dialects import lock_wait_s
from fsmflow.store.verdicts import code_of

#: A lock was waited for too long: SQLite, MySQL, PostgreSQL.
_LOCKED: Final = frozenset({5, 1205, "55P03"})


def is_locked(error: BaseException) -> bool:
    """Whether a lock was waited for too long, whoever tells it."""
    told: BaseException | None = error
    while told is not None:
        if code_of(told) in _LOCKED:
            return True
        told = told.__cause__
    return False


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
