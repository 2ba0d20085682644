"""How each kind of database numbers the lines of history, and when a number that is missing will never come.

The number of a line is taken after its entity's row was written, by which the transaction is known, and before the
commit. Two lines of one entity are numbered in the order of their commits: who writes the second has waited for the
row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol, TypeVar

from fsmflow.store.tables import HISTORY
from fsmflow.store.verdicts import ERRORS, code_of

Ask = Callable[..., list[Any]]


class Gap(Protocol):
    """Numbers of which no line was there, all given out at ``since``, and the transactions that may yet commit them."""

    @property
    def low(self) -> int: ...

    @property
    def high(self) -> int: ...

    @property
    def since(self) -> int: ...

    @property
    def writers(self) -> tuple[int, ...]: ...


Missing = TypeVar("Missing", bound=Gap)

#: For so long a single INSERT can run, after it has taken numbers and before its rows are there. It waits for locks for
#: 10 seconds, in a caller's database for a minute.
INSERT_MS: Final = 600_000
#: MySQL, and MariaDB: a lock is held by somebody else.
_HELD: Final = frozenset({1205, 3572})
#: Ranges of one statement.
RANGES: Final = 100


class Numbering(ABC):
    """It has no state. ``ask`` runs one query, outside of any transaction, where nothing else is said."""

    #: Whether lines can be there while a lower number is still to come.
    leaves_gaps: bool = True
    #: How long it takes until what was given out is surely a row, where that has to be waited for.
    settles_ms: int = 0

    def fault(self, ask: Ask) -> str | None:
        """Why lines are not numbered in the order of their commits as this server is set, and what to do."""
        return None

    @abstractmethod
    def last(self, ask: Ask) -> int | None:
        """The highest number that was ever given out; None where the account may not know."""

    def writers(self, ask: Ask) -> tuple[int, ...]:
        """The transactions that may yet commit lines under numbers which are given out by now. May be asked in a
        transaction."""
        return ()

    def dead(self, ask: Ask, gaps: Sequence[Missing], now: int) -> list[Missing]:
        """Those gaps for which nobody is left to commit a line. A line may have been committed just before: what is
        told here goes by a look that comes later."""
        return []


class Ordered(Numbering):
    """SQLite: one transaction writes at a time, so numbers appear in their order."""

    leaves_gaps = False

    def last(self, ask: Ask) -> int:
        rows = ask(f"SELECT seq FROM sqlite_sequence WHERE name = '{HISTORY}'")
        return int(rows[0][0]) if rows else 0


class ByTransactions(Numbering):
    """PostgreSQL: who may yet commit holds a lock on the table, and one on the id of its own transaction, which it got
    with the row of the entity. Everybody may look at locks. Both go once the commit can be seen."""

    def fault(self, ask: Ask) -> str | None:
        sequence = f"pg_get_serial_sequence('{HISTORY}', 'id')"
        rows = ask(f"SELECT pg_is_in_recovery(), seqcache FROM pg_sequence WHERE seqrelid = {sequence}::regclass")
        ((is_replica, cached),) = rows or [(False, 1)]
        if is_replica:
            return "this server is a replica, which does not tell what is still to be committed; ask the primary"
        if int(cached) > 1:
            name = ask(f"SELECT {sequence}")[0][0]
            return f"each connection keeps {cached} numbers for itself; run 'ALTER SEQUENCE {name} CACHE 1'"
        return None

    def last(self, ask: Ask) -> int | None:
        sequence = f"pg_get_serial_sequence('{HISTORY}', 'id')::regclass"
        permitted = f"has_sequence_privilege({sequence}, 'USAGE, SELECT')"
        ((last,),) = ask(f"SELECT CASE WHEN {permitted} THEN COALESCE(pg_sequence_last_value({sequence}), 0) END")
        return None if last is None else int(last)

    def writers(self, ask: Ask) -> tuple[int, ...]:
        sql = (
            "SELECT DISTINCT t.transactionid::text::bigint FROM pg_locks r JOIN pg_locks t "
            "ON t.virtualtransaction = r.virtualtransaction AND t.locktype = 'transactionid' "
            "AND t.mode = 'ExclusiveLock' AND t.granted "
            f"WHERE r.locktype = 'relation' AND r.relation = '{HISTORY}'::regclass AND r.mode = 'RowExclusiveLock' "
            "AND r.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND r.granted AND r.pid IS DISTINCT FROM pg_backend_pid() ORDER BY 1"
        )
        return tuple(int(number) for (number,) in ask(sql))

    def dead(self, ask: Ask, gaps: Sequence[Missing], now: int) -> list[Missing]:
        alive: set[int] = set()
        if any(gap.writers for gap in gaps):
            sql = (
                "SELECT transactionid::text::bigint FROM pg_locks "
                "WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted"
            )
            alive = {int(number) for (number,) in ask(sql)}
        return [gap for gap in gaps if alive.isdisjoint(gap.writers)]


class ByLocks(Numbering):
    """MySQL and MariaDB: a row that is not committed is locked, which everybody can find out who may read it. Only
    while its INSERT still runs it may have a number and be no row yet; so a gap has to be old besides."""

    settles_ms = INSERT_MS

    def last(self, ask: Ask) -> int:
        if "mariadb" not in str(ask("SELECT VERSION()")[0][0]).lower():
            # It would tell what it knew yesterday.
            ask("SET SESSION information_schema_stats_expiry = 0")
        sql = (
            "SELECT t.auto_increment - 1 FROM information_schema.tables t "
            f"WHERE t.table_schema = DATABASE() AND t.table_name = '{HISTORY}'"
        )
        rows = ask(sql)
        return int(rows[0][0] or 0) if rows else 0

    def dead(self, ask: Ask, gaps: Sequence[Missing], now: int) -> list[Missing]:
        old = [gap for gap in gaps if now - gap.since >= INSERT_MS]
        if not old:
            return []
        is_mariadb = "mariadb" in str(ask("SELECT VERSION()")[0][0]).lower()
        locking = "LOCK IN SHARE MODE NOWAIT" if is_mariadb else "FOR SHARE NOWAIT"
        parts = (old[start : start + RANGES] for start in range(0, len(old), RANGES))
        return [gap for part in parts for gap in self._free(ask, part, locking)]

    def _free(self, ask: Ask, gaps: Sequence[Missing], locking: str) -> Iterator[Missing]:
        """Those of these in which nobody holds a row: all at once, or one by one where somebody does."""
        if self._is_free(ask, gaps, locking):
            yield from gaps
        elif len(gaps) > 1:
            yield from (gap for gap in gaps if self._is_free(ask, [gap], locking))

    def _is_free(self, ask: Ask, gaps: Sequence[Gap], locking: str) -> bool:
        try:
            ask(f"SELECT COUNT(*) FROM {HISTORY} WHERE {within(gaps)} {locking}")
        except ERRORS as error:
            if code_of(error) in _HELD:
                return False
            raise
        return True


def within(gaps: Iterable[Gap], column: str = "id") -> str:
    """The condition that a line has a number of these gaps."""
    return "(" + " OR ".join(f"{column} BETWEEN {gap.low} AND {gap.high}" for gap in gaps) + ")"
