"""A transactional job that waits, by another connection, for what its own transaction has locked: it is told so, soon,
and is not waited for until its limit."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from fsmflow.running import standstill
from fsmflow.store.link import open_database
from tests.support.bench import Bench, bench_on
from tests.support.eventually import eventually
from tests.support.machines import play
from tests.support.mapped import Sale, User, user_of
from tests.support.servers import on_servers, on_sqlite

UPDATE = "UPDATE mapped_sale SET note = 'apart' WHERE id = 1"
SYNC = {"postgresql": ("postgresql+psycopg",), "mysql": ("mysql+pymysql", "mysql+mysqldb")}
ASYNC = {"postgresql": ("postgresql+psycopg", "postgresql+asyncpg"), "mysql": ("mysql+aiomysql",)}


@pytest.fixture
def bench(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(standstill, "_LOOK_S", 0.1)
    with bench_on(redis_url, database_url=database_url, machines=(Sale,)) as bench:
        yield bench


@pytest.fixture
def user(bench: Bench, database_url: str) -> Iterator[User]:
    with user_of(database_url) as user:
        user.add_rows(1, 2, 3)
        yield user


def by_sqlalchemy(url: str) -> Callable[[], None]:
    def write() -> None:
        engine = create_engine(make_url(url))
        try:
            with engine.begin() as connection:
                connection.execute(text(UPDATE))
        finally:
            engine.dispose()

    return write


def by_asyncio(url: str) -> Callable[[], None]:
    async def write() -> None:
        engine = create_async_engine(make_url(url))
        try:
            async with engine.begin() as connection:
                await connection.execute(text(UPDATE))
        finally:
            await engine.dispose()

    return lambda: asyncio.run(write())


def by_a_driver(url: str) -> Callable[[], None]:
    def write() -> None:
        connection = open_database(url)._connect()  # type: ignore[attr-defined]
        cursor = connection.cursor()
        try:
            cursor.execute(UPDATE)
        finally:
            connection.close()

    return write


@on_servers
def test_a_job_that_waits_for_its_own_transaction_ends_with_words(
    bench: Bench, user: User, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    kind = user.kind
    ways = [by_a_driver(database_url)]
    there = [name for name in SYNC[kind] if name != "mysql+mysqldb" or find_spec("MySQLdb") is not None]
    ways += [by_sqlalchemy(database_url.replace(kind, name, 1)) for name in there]
    ways += [by_asyncio(database_url.replace(kind, name, 1)) for name in ASYNC[kind]]
    sale = Sale.start(1)
    sale.pay_now()
    for way in ways:

        def waits(machine: Any, way: Callable[[], None] = way) -> None:
            machine.session.flush()  # the row is locked
            way()

        play["pay"] = waits
        bench.run()
        told = sale.refresh().failure
        assert told is not None, way
        assert (sale.state, told.error_type) == ("failed_from_paying", "OwnLock"), told
        assert "job 'pay' waited for what its own transaction has locked, by another connection" in told.message
        assert "write in that transaction: by self.session with SQLAlchemy, self.database with peewee" in told.message
        assert "job.waited_for_itself: sale:1: job 'pay' waited for what its own" in caplog.text
        assert user.row(1) == ("failed_from_paying", None)
        caplog.clear()
        sale.retry()
    play.clear()
    bench.run()
    assert (sale.refresh().state, user.row(1)) == ("paid", ("paid", "called"))


@on_servers
def test_who_else_waits_for_a_job_goes_on_waiting(bench: Bench, user: User, database_url: str) -> None:
    other = Thread(target=by_a_driver(database_url))

    def is_waited_for(machine: Any) -> None:
        machine.session.flush()
        other.start()
        (watched,) = standstill._lookout._jobs
        eventually(lambda: watched.pause_s > 4 * standstill._LOOK_S)  # it was looked twice
        assert other.is_alive()

    sale = Sale.start(1)
    sale.pay_now()
    play["pay"] = is_waited_for
    bench.step()
    other.join()
    assert (sale.refresh().state, user.row(1)) == ("calling", ("calling", "apart"))


@on_sqlite
def test_what_keeps_a_job_from_the_file_is_most_likely_its_own_transaction(
    bench: Bench, user: User, database_url: str
) -> None:
    def waits(machine: Any) -> None:
        with contextlib.closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), timeout=0)) as connection:
            connection.execute(UPDATE)

    sale = Sale.start(1)
    sale.pay_now()
    play["pay"] = waits
    bench.run()
    assert "database is locked; job 'pay' runs in a transaction, and most likely it is that which has the lock" in str(
        sale.refresh().failure
    )
