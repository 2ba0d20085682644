"""What an error of the database means: others were in the way, the server was away, or a rule is broken."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import peewee
import psycopg
import pymysql
import pytest

from fsmflow.errors import DatabaseUnavailable
from fsmflow.store.link import Link, open_database
from fsmflow.store.verdicts import ERRORS, Verdict, code_of, is_duplicate, verdict_of
from tests.support.servers import on_servers, on_sqlite


def of_postgres(state: str) -> peewee.PeeweeException:
    """As peewee raises it: its own error, which has that of the driver."""
    return peewee.DatabaseError(psycopg.errors.lookup(state)("what the server says"), "what the server says")


def of_mysql(number: int) -> peewee.PeeweeException:
    cause = pymysql.err.OperationalError(number, "what the server says")
    return peewee.OperationalError(cause, *cause.args)


def of_sqlite(code: int, message: str = "what SQLite says") -> peewee.PeeweeException:
    cause = sqlite3.OperationalError(message)
    cause.sqlite_errorcode = code
    return peewee.OperationalError(cause, message)


@pytest.mark.parametrize(
    ("verdict", "states"),
    [
        (Verdict.RACE, ["40001", "40P01", "55P03"]),
        (Verdict.PASSING, ["08006", "08P01", "25006", "53100", "53300", "57014", "57P01", "57P03", "58030", "XX000"]),
        (Verdict.LASTING, ["22001", "23502", "23503", "23505", "23514", "42501", "42703", "54000", "P0001", "0A000"]),
    ],
)
def test_errors_of_postgres_are_told_apart_by_their_sqlstate(verdict: Verdict, states: list[str]) -> None:
    assert {state: verdict_of(of_postgres(state)) for state in states} == dict.fromkeys(states, verdict)


@pytest.mark.parametrize(
    ("verdict", "numbers"),
    [
        (Verdict.RACE, [1205, 1213, 1020]),
        (Verdict.PASSING, [0, 1040, 1053, 1114, 1290, 1317, 1836, 1927, 2003, 2006, 2013, 3024]),
        (Verdict.LASTING, [1048, 1062, 1142, 1146, 1054, 1153, 1406, 1452, 1644, 2020, 3819, 4025]),
    ],
)
def test_errors_of_mysql_are_told_apart_by_their_number(verdict: Verdict, numbers: list[int]) -> None:
    """Its driver raises an OperationalError for a deadlock, for a lost connection and for a broken CHECK."""
    assert {number: verdict_of(of_mysql(number)) for number in numbers} == dict.fromkeys(numbers, verdict)


@pytest.mark.parametrize(
    ("verdict", "codes"),
    [
        (Verdict.RACE, [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_BUSY_SNAPSHOT]),
        (Verdict.PASSING, [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_READONLY]),
        (
            Verdict.LASTING,
            [
                sqlite3.SQLITE_ERROR,
                sqlite3.SQLITE_TOOBIG,
                sqlite3.SQLITE_CONSTRAINT_CHECK,
                sqlite3.SQLITE_CONSTRAINT_TRIGGER,
            ],
        ),
    ],
)
def test_errors_of_sqlite_are_told_apart_by_their_code(verdict: Verdict, codes: list[int]) -> None:
    assert {code: verdict_of(of_sqlite(code)) for code in codes} == dict.fromkeys(codes, verdict)


def test_a_connection_of_sqlite_that_is_in_another_transaction_than_it_is_taken_to_be_is_replaced() -> None:
    nested = of_sqlite(sqlite3.SQLITE_ERROR, "cannot start a transaction within a transaction")
    closed = peewee.ProgrammingError(sqlite3.ProgrammingError("Cannot operate on a closed database."))
    assert [verdict_of(nested), verdict_of(closed)] == [Verdict.PASSING] * 2


def test_what_comes_from_a_driver_alone_is_told_apart_by_its_class() -> None:
    gone = peewee.OperationalError(psycopg.OperationalError("the connection is closed"))
    nul = peewee.DataError(psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"))
    unopened = peewee.InterfaceError("Error, database connection not opened.")
    assert [verdict_of(error) for error in (gone, nul, unopened)] == [
        Verdict.PASSING,
        Verdict.LASTING,
        Verdict.PASSING,
    ]
    assert [code_of(error) for error in (gone, nul, unopened)] == [None] * 3


@pytest.fixture
def link(database_url: str) -> Iterator[Link]:
    """A database with a table that has rules."""
    link = Link(open_database(database_url), own=True)
    kind = "VARCHAR(5)" if link.dialect.is_server else "VARCHAR(5) CHECK (length(name) < 6)"
    link.execute(f"CREATE TABLE ruled (id INTEGER PRIMARY KEY, name {kind} NOT NULL, age INTEGER CHECK (age > 0))")
    link.execute("INSERT INTO ruled VALUES (1, 'one', 1)")
    yield link
    link.forget_connection()


BROKEN = {
    "check": "INSERT INTO ruled VALUES (2, 'two', -1)",
    "null": "INSERT INTO ruled VALUES (2, NULL, 1)",
    "unique": "INSERT INTO ruled VALUES (1, 'two', 1)",
    "too long": "INSERT INTO ruled VALUES (2, 'far too long', 1)",
    "no column": "INSERT INTO ruled (id, surname) VALUES (2, 'two')",
    "no table": "INSERT INTO unruled VALUES (1)",
    "no SQL": "INSRT",
}


@pytest.mark.parametrize("rule", BROKEN)
def test_what_breaks_a_rule_of_a_real_database_is_refused_for_good(link: Link, rule: str) -> None:
    with pytest.raises(ERRORS) as refused:
        link.execute(BROKEN[rule])
    assert verdict_of(refused.value) is Verdict.LASTING
    assert is_duplicate(refused.value) == (rule == "unique")


@on_servers
def test_a_conflict_of_two_who_change_the_same_row_is_a_race(link: Link, database_url: str) -> None:
    other = Link(open_database(database_url), own=True)
    is_postgres = link.dialect.name == "postgresql"
    link.execute("SET lock_timeout = 100" if is_postgres else "SET innodb_lock_wait_timeout = 1")
    with other.db.atomic():
        other.execute("UPDATE ruled SET age = 2 WHERE id = 1")
        with pytest.raises(ERRORS) as locked:
            link.execute("UPDATE ruled SET age = 3 WHERE id = 1")
    assert verdict_of(locked.value) is Verdict.RACE
    if is_postgres:
        with link.db.atomic() as transaction:
            link.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            link.rows("SELECT * FROM ruled")
            other.execute("UPDATE ruled SET age = 4 WHERE id = 1")
            with pytest.raises(ERRORS) as stale:
                link.execute("UPDATE ruled SET age = 5 WHERE id = 1")
            transaction.rollback()
        assert code_of(stale.value) == "40001"
        assert verdict_of(stale.value) is Verdict.RACE
    other.forget_connection()


@on_sqlite
def test_a_file_that_somebody_else_writes_to_is_a_race(link: Link, database_url: str) -> None:
    other = Link(open_database(database_url), own=True)
    link.execute("PRAGMA busy_timeout = 10")
    with other.db.atomic("IMMEDIATE"), pytest.raises(ERRORS) as busy:
        link.execute("UPDATE ruled SET age = 3 WHERE id = 1")
    assert verdict_of(busy.value) is Verdict.RACE
    other.forget_connection()


DEADLOCKS = {
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$",
    "mysql": "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'deadlock'",
}


@on_servers
def test_who_loses_against_others_some_times_is_not_told_that_the_database_is_away(link: Link) -> None:
    lost: list[str] = []

    def lose(times: int) -> int:
        link.execute("UPDATE ruled SET age = age + 1 WHERE id = 1")
        if len(lost) < times:
            lost.append(link.dialect.name)
            link.execute(DEADLOCKS[link.dialect.name])
        return len(lost)

    assert link.write(lambda: lose(5)) == 5
    assert link.query("SELECT age FROM ruled") == [(2,)]
    lost.clear()
    with pytest.raises(DatabaseUnavailable, match="deadlock") as always:
        link.write(lambda: lose(100))
    assert (always.value.raced, len(lost)) == (True, 6)
