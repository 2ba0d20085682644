"""Who waits for whose locks, as each kind of server tells it; and how such a wait is ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Final

from fsmflow.store.verdicts import code_of

#: Runs one statement on a connection of its own; all its rows.
Ask = Callable[..., Sequence[Sequence[Any]]]

#: MySQL: no such table, as it is one of MariaDB; and one that may not be read.
_NO_TABLE: Final = frozenset({1109, 1146})
_WAITING: Final = (
    "SELECT r.trx_mysql_thread_id, b.trx_mysql_thread_id FROM {waits} w "
    "JOIN information_schema.innodb_trx r ON r.trx_id = w.{asks} "
    "JOIN information_schema.innodb_trx b ON b.trx_id = w.{holds}"
)
_OF_MARIADB: Final = _WAITING.format(
    waits="information_schema.innodb_lock_waits", asks="requesting_trx_id", holds="blocking_trx_id"
)
_OF_MYSQL: Final = _WAITING.format(
    waits="performance_schema.data_lock_waits",
    asks="requesting_engine_transaction_id",
    holds="blocking_engine_transaction_id",
)


class Waits:
    """Of a database that tells of no waits: SQLite, where one waits for the file. It has no state."""

    #: The modules of drivers whose connections have a number, those for asyncio among them.
    drivers: ClassVar[frozenset[str]] = frozenset()

    def number_of(self, thing: Any) -> int | None:
        """What the server calls the connection that this is, or that this cursor is of; None for all else."""
        if self.drivers.isdisjoint(_modules_of(thing)):
            return None
        try:
            return self._number(getattr(thing, "connection", thing))
        except Exception:  # noqa: BLE001 - one that is closed has none, and each driver says so in its own way
            return None

    def _number(self, connection: Any) -> int | None:
        return None

    def pairs(self, ask: Ask) -> Sequence[Sequence[int]]:
        """Who waits, and for whom, by their numbers. Raises what the driver raises where this may not be seen."""
        return ()

    def end(self, ask: Ask, number: int) -> None:
        """End the statement that a connection waits with: it fails there. Raises what the driver raises."""


class OfPostgres(Waits):
    """A server process for each connection."""

    drivers = frozenset({"psycopg", "psycopg2", "asyncpg"})

    def _number(self, connection: Any) -> int | None:
        asked = getattr(connection, "get_server_pid", None)
        return int(connection.info.backend_pid if asked is None else asked())

    def pairs(self, ask: Ask) -> Sequence[Sequence[int]]:
        return ask("SELECT pid, unnest(pg_blocking_pids(pid)) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")

    def end(self, ask: Ask, number: int) -> None:
        ask(f"SELECT pg_cancel_backend({number:d})")


class OfMysql(Waits):
    """A thread of the server for each connection. Who sees the waits needs the privilege PROCESS."""

    drivers = frozenset({"pymysql", "MySQLdb", "aiomysql", "asyncmy"})

    def _number(self, connection: Any) -> int | None:
        return int(connection.thread_id())

    def pairs(self, ask: Ask) -> Sequence[Sequence[int]]:
        try:
            return ask(_OF_MARIADB)
        except Exception as error:
            if code_of(error) not in _NO_TABLE:
                raise
        return ask(_OF_MYSQL)

    def end(self, ask: Ask, number: int) -> None:
        ask(f"KILL QUERY {number:d}")


_KINDS: Final = (OfPostgres(), OfMysql())


def waits_of(connection: Any) -> Waits:
    """What tells of the waits on the server that a connection leads to, by its driver."""
    modules = _modules_of(connection)
    return next((kind for kind in _KINDS if not kind.drivers.isdisjoint(modules)), Waits())


def _modules_of(thing: Any) -> set[str]:
    # Not isinstance, which asks a lazy object what it is.
    return {base.__module__.partition(".")[0] for base in type(thing).__mro__}


def behind(pairs: Iterable[Sequence[int]], holder: int) -> set[int]:
    """Who waits for this one, or for somebody who does."""
    pairs, found, size = list(pairs), {holder}, 0
    while len(found) > size:
        size = len(found)
        found |= {waiter for waiter, holds in pairs if holds in found}
    return found - {holder}
