"""How the lock is waited for that all who write to a SQLite file share."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import peewee
import pytest

from fsmflow.store import dialects
from fsmflow.store.dialects import open_sqlite


class Told(Exception):
    """Raised by a signal."""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else's connection to the same file."""
    with closing(sqlite3.connect(tmp_path / "one.db", isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def file(tmp_path: Path, other: sqlite3.Connection) -> Iterator[peewee.SqliteDatabase]:
    file = open_sqlite(tmp_path / "one.db")
    file.connect()
    yield file
    file.close()


def pausing(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> list[float]:
    """From now on nobody sleeps: ``act`` is called instead, with the number of the pause; the pauses."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        act(len(pauses))

    monkeypatch.setattr("fsmflow.clock.pause", pause)
    return pauses


def patience(file: peewee.SqliteDatabase) -> int:
    """How long other statements wait for a lock, in milliseconds."""
    return int(file.execute_sql("PRAGMA busy_timeout").fetchone()[0])


def test_who_writes_is_there_again_at_once_as_others_have_done(
    file: peewee.SqliteDatabase, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.execute("BEGIN IMMEDIATE")

    def done(number: int) -> None:
        if number == 3:
            other.execute("COMMIT")

    pauses = pausing(monkeypatch, done)
    with file.atomic("IMMEDIATE"):
        assert patience(file) == 10_000
        other.execute("PRAGMA busy_timeout = 0")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    assert len(pauses) == 3
    assert max(pauses) <= 0.002


def test_the_wait_is_over_in_time_and_others_wait_as_before(
    tmp_path: Path, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialects, "_LOCK_WAIT_S", 0.05)
    file = open_sqlite(tmp_path / "one.db")
    file.connect()
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(peewee.OperationalError, match="locked"), file.atomic("IMMEDIATE"):
        raise AssertionError("it has begun")
    assert patience(file) == 50
    other.execute("COMMIT")
    with file.atomic("IMMEDIATE"):
        file.execute_sql("CREATE TABLE one (a INTEGER)")
    file.close()


def test_who_reads_does_not_wait(
    file: peewee.SqliteDatabase, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.execute("BEGIN IMMEDIATE")
    pauses = pausing(monkeypatch, lambda number: None)
    with file.atomic("DEFERRED"):
        file.execute_sql("SELECT * FROM sqlite_master").fetchall()
    assert pauses == []


def test_a_signal_that_raises_ends_the_wait(file: peewee.SqliteDatabase, other: sqlite3.Connection) -> None:
    """That of a job's limit: SQLite's own wait would go on for all of its ten seconds."""

    def told(number: int, frame: object) -> None:
        raise Told

    before = signal.signal(signal.SIGALRM, told)
    try:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Told), file.atomic("IMMEDIATE"):
            raise AssertionError("it has begun")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 8
    assert patience(file) == 10_000


def test_what_no_wait_would_mend_is_told_at_once(file: peewee.SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = pausing(monkeypatch, lambda number: None)
    file.execute_sql("BEGIN")
    with pytest.raises(peewee.OperationalError, match="within a transaction"):
        file.begin("IMMEDIATE")
    assert pauses == []
    assert patience(file) == 10_000
