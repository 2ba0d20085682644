"""What fsmflow refuses to write in, what it leaves behind there, and a transaction that it was not told of."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import peewee
import pytest
from sqlalchemy import create_engine, delete, insert, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

import fsmflow
from fsmflow import ConfigurationError, DatabaseUnavailable, Machine, State, joining
from tests.support.bench import Bench, bench_on
from tests.support.servers import on_servers, on_sqlite
from tests.support.shops import Purchase, Shop
from tests.support.users import users_database

SETTINGS = {
    "postgresql": "SELECT name, setting FROM pg_settings WHERE source = 'session' AND name <> 'client_encoding' "
    "UNION ALL SELECT name, 'prepared' FROM pg_prepared_statements ORDER BY 1",
    "mysql": "SHOW SESSION VARIABLES WHERE variable_name IN ('innodb_lock_wait_timeout', 'tx_isolation', 'sql_mode', "
    "'autocommit', 'max_statement_time', 'transaction_isolation', 'time_zone')",
}

PATIENCE = {"postgresql": "SET LOCAL lock_timeout = '50ms'", "mysql": "SET SESSION innodb_lock_wait_timeout = 1"}

WRITES = (
    "-- it has\nUPDATE guarded_row SET id = 2",
    "/* a */ -- b\n /* c */ DELETE FROM guarded_row",
    "WITH x AS (SELECT 'a ''b', \"id\" FROM guarded_row) INSERT INTO guarded_row SELECT 3 FROM x",
    "WITH x AS (SELECT 1) -- (\n REPLACE INTO guarded_row SELECT 3 FROM x",
)
READS = (
    "WITH x AS (SELECT id FROM guarded_row WHERE '(update' <> '') SELECT id FROM x",
    "WITH x AS (SELECT 1 AS id) /* (DELETE */ SELECT id -- ) INSERT\n FROM x",
    "WITH x AS (SELECT (replace('a', 'b', 'c'))) SELECT \"(update\" FROM (SELECT 1 AS \"(update\")",
    "/* a */ " * 40 + "SELECT 1",
)


class Base(DeclarativeBase):
    """The user's tables."""


class Row(Base):
    __tablename__ = "guarded_row"

    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=database_url, machines=(Purchase,)) as bench:
        yield bench


@pytest.fixture
def shop(bench: Bench, database_url: str) -> Iterator[Shop]:
    shop = Shop(database_url)
    Base.metadata.create_all(shop.engine)
    yield shop
    shop.close()


def test_the_atomic_of_another_peewee_database_is_found_by_the_model_that_carries_states(
    bench: Bench, database_url: str
) -> None:
    class Parcel(peewee.Model):
        state = peewee.CharField(null=True)

    class Flow(Machine):
        initial = "packed"
        status_field = Parcel.state
        states = [State("packed"), State("sent", final=True)]
        transitions = [["send_off", "packed", "sent"]]

    with users_database(database_url) as db, db.bind_ctx([Parcel]):
        Purchase.start(1)
        with db.atomic():
            with pytest.raises(ConfigurationError, match=r"atomic\(\) of a peewee Database other.*within=db in start"):
                Purchase.get(1).trigger("submit")
            Purchase.get(1).trigger("submit", within=db)
        with bench.runtime.store.link.db.atomic():
            Purchase.start(2)
        assert Purchase.counts() == {"charging": 1, "new": 1}
        db.close()


def test_nobody_waits_inside_a_transaction_for_what_others_do_after_it(bench: Bench, shop: Shop) -> None:
    refused = pytest.raises(ConfigurationError, match=r"purchase:1 is waited for inside a transaction.*wait after it")
    with Session(shop.engine) as session:
        session.add(Row(id=1))
        purchase = Purchase.start(1, within=session)
        with joining(session):
            assert purchase.wait("new").state == "new"  # it is there
            purchase.trigger("submit")
            with refused:
                purchase.wait(timeout=60)
            with refused:
                asyncio.run(purchase.until())
        session.flush()
        session.commit()
        session.add(Row(id=2))
        with refused:
            purchase.wait(timeout=60)
    with bench.runtime.store.link.db.atomic(), refused:
        purchase.wait(timeout=60)


def test_what_is_no_transaction_of_this_database_and_this_thread_is_refused(shop: Shop, tmp_path: Path) -> None:
    by_itself = create_engine(shop.url, isolation_level="AUTOCOMMIT")
    other = create_engine(f"sqlite:///{tmp_path}/other.db")
    for engine, level in ((by_itself, {}), (shop.engine, {"isolation_level": "AUTOCOMMIT"})):
        connection = engine.connect().execution_options(**level)
        with connection, pytest.raises(ConfigurationError, match="AUTOCOMMIT"):
            Purchase.start(1, within=connection)
    for nothing, match in (("session", "'session'"), (shop.engine, "Engine"), (AsyncSession(), r"session\.run_sync")):
        with pytest.raises(ConfigurationError, match=match):
            Purchase.start(1, within=nothing)
    with Session(other) as session, session.begin():
        session.execute(text("CREATE TABLE other (id INTEGER)"))
        with pytest.raises(ConfigurationError, match="this Session is of another database"):
            Purchase.start(1, within=session)
    with other.connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM other")).scalar() == 0
    with Session(shop.engine) as session, joining(session), ThreadPoolExecutor(1) as pool:
        there = pool.submit(copy_context().run, Purchase.start, 1)
        with pytest.raises(ConfigurationError, match="joined by another thread"):
            there.result()
    assert Purchase.counts() == {}
    by_itself.dispose()
    other.dispose()


@on_sqlite
def test_a_session_that_does_not_tell_its_database_is_refused_in_words(shop: Shop) -> None:
    with Session(binds={Base: shop.engine}) as session:
        session.add(Row(id=1))
        with pytest.raises(ConfigurationError, match=r"within=session\.connection\(bind_arguments="):
            Purchase.start(1, within=session)
        session.flush()
        Purchase.start(1, within=session.connection(bind_arguments={"mapper": Row}))
        session.commit()
    assert Purchase.counts() == {"new": 1}


@on_sqlite
def test_a_block_that_ends_in_another_context_is_refused_in_words_and_leaves_nothing_joined(shop: Shop) -> None:
    def dependency() -> Generator[Session, None, None]:
        with Session(shop.engine) as session, session.begin(), joining(session):
            yield session

    # As FastAPI does with a generator that is not async.
    one, other = copy_context(), copy_context()
    steps = dependency()
    other.run(one.run(next, steps).add, Row(id=1))
    with pytest.raises(ConfigurationError, match="within=session"):
        other.run(next, steps, None)
    with pytest.raises(ConfigurationError, match="is over"):
        one.run(Purchase.start, 1)
    steps = dependency()
    one.run(next, steps)
    with pytest.raises(LookupError):
        other.run(steps.throw, LookupError())
    Purchase.start(1)
    with Session(shop.engine) as session:
        assert session.get(Row, 1) is None


def test_a_session_with_changes_that_was_not_told_of_is_found(shop: Shop) -> None:
    Purchase.start(1)
    with Session(shop.engine) as session:
        session.add(Row(id=1))
        for act in (lambda: Purchase.start(2), lambda: Purchase.get(1).trigger("submit")):
            with pytest.raises(ConfigurationError, match="within=session"):
                act()
        session.flush()
        with pytest.raises(ConfigurationError, match="within=session"):
            Purchase.start_many([(3, {})])
        Purchase.get(1).trigger("submit", within=session)
        session.commit()
        Purchase.start(2)
        session.execute(delete(Row))
        with pytest.raises(ConfigurationError, match="not committed"):
            Purchase.get(2).cancel()
        session.rollback()
    assert Purchase.counts() == {"charging": 1, "new": 1}


def test_a_connection_with_changes_that_was_not_told_of_is_found(shop: Shop) -> None:
    Purchase.start(1)
    with shop.engine.connect() as connection:
        connection.execute(text("SELECT id FROM guarded_row"))
        Purchase.start(2)
        connection.execute(text("/* mine */ INSERT INTO guarded_row (id) VALUES (1)"))
        with pytest.raises(ConfigurationError, match=r"a Connection of SQLAlchemy in this thread.*within=connection"):
            Purchase.start(3)
        Purchase.start(3, within=connection)
        connection.commit()
        connection.execute(text("SELECT id FROM guarded_row"))
        Purchase.get(3).trigger("submit")
    assert Purchase.counts() == {"charging": 1, "new": 2}


@on_sqlite
def test_only_what_is_surely_of_the_caller_is_refused_in_an_event_loop(shop: Shop) -> None:
    async def beside(session: AsyncSession, number: int) -> None:
        """Another task has its start begun, which waits for the lock as for that of any writer."""
        task = asyncio.create_task(Purchase.astart(number))
        await asyncio.sleep(0)
        await session.rollback()
        await task

    async def whole() -> None:
        engine = create_async_engine(shop.url.set(drivername="sqlite+aiosqlite"))
        await Purchase.astart(1)
        async with AsyncSession(engine) as session:
            session.add(Row(id=1))
            await asyncio.create_task(session.flush())  # as asyncio.wait_for does
            with pytest.raises(ConfigurationError, match="within=session"):
                await Purchase.astart(2)
            await beside(session, 3)
            await asyncio.create_task(session.execute(insert(Row).values(id=2)))
            await beside(session, 4)
        await engine.dispose()
        await fsmflow.aclose()

    asyncio.run(whole())
    assert Purchase.counts() == {"new": 3}


@on_sqlite
def test_a_statement_is_known_by_its_words_not_by_its_literals_and_comments(shop: Shop) -> None:
    for sql in WRITES:
        with shop.engine.connect() as connection:
            connection.execute(text(sql))
            with pytest.raises(ConfigurationError, match="within=connection"):
                Purchase.start(1)
    for number, sql in enumerate(READS):
        with shop.engine.connect() as connection:
            connection.execute(text(sql))
            Purchase.start(number)


def test_a_session_that_only_reads_is_elsewhere_or_belongs_to_others_is_left_alone(bench: Bench, shop: Shop) -> None:
    apart = create_engine("sqlite://")
    Base.metadata.create_all(apart)
    with Session(apart) as elsewhere, Session(shop.engine) as reads:
        elsewhere.add(Row(id=1))
        elsewhere.flush()
        reads.get(Row, 1)
        Purchase.start(1)

        def start() -> None:
            Purchase.start(2)
            bench.runtime.store.link.forget_connection()

        if shop.kind != "sqlite":  # it has one writer
            reads.add(Row(id=2))
            reads.flush()
            with ThreadPoolExecutor(1) as pool:
                pool.submit(copy_context().run, start).result()
    apart.dispose()
    assert len(list(Purchase.find())) == 1 + (shop.kind != "sqlite")


def test_a_scoped_session_and_one_that_commits_as_it_goes_are_written_in(bench: Bench, shop: Shop) -> None:
    scoped = scoped_session(sessionmaker(shop.engine))
    with joining(scoped):
        Purchase.start(1).trigger("submit")
        scoped.commit()
        assert len(bench.queued()) == 1
        Purchase.start(2).trigger("submit")
        scoped.rollback()
        Purchase.start(3)
        scoped.commit()
        Purchase.start(4)
    scoped.remove()
    assert Purchase.counts() == {"charging": 1, "new": 1}
    bench.run()
    assert Purchase.counts() == {"charged": 1, "new": 1}


@pytest.mark.mysql
@pytest.mark.parametrize("database_url", ["mysql"], indirect=True)
def test_what_follows_a_two_phase_commit_follows_it_and_no_other(bench: Bench, shop: Shop) -> None:
    with shop.engine.connect() as connection, Session(connection, twophase=True) as session:
        Purchase.start(1, within=session).trigger("submit", within=session)
        session.prepare()
        assert bench.queued() == []
        session.commit()
        assert len(bench.queued()) == 1
        Purchase.start(2, within=session).trigger("submit", within=session)
        session.rollback()
        Purchase.start(3, within=session)
        session.commit()
        assert len(bench.queued()) == 1
    assert Purchase.counts() == {"charging": 1, "new": 1}


@on_servers
def test_nothing_of_fsmflow_stays_in_the_transaction(shop: Shop) -> None:
    with Session(shop.engine) as session, session.begin():
        before = session.execute(text(SETTINGS[shop.kind])).all()
        Purchase.start(1, within=session).trigger("submit", within=session)
        with joining(session):
            assert [purchase.state for purchase in Purchase.find()] == ["charging"]
        assert session.execute(text(SETTINGS[shop.kind])).all() == before
        with pytest.raises(DBAPIError, match="(?i)savepoint"):
            session.execute(text("ROLLBACK TO SAVEPOINT fsmflow_0"))
        session.rollback()


@on_servers
def test_a_lock_is_waited_for_as_the_host_says_and_what_was_lost_is_not_committed(shop: Shop) -> None:
    Purchase.start(1)
    with Session(shop.engine) as first, Session(shop.engine) as second:
        Purchase.get(1).trigger("submit", within=first)
        second.execute(text(PATIENCE[shop.kind]))
        second.add(Row(id=1))
        with pytest.raises(DatabaseUnavailable, match="a transaction of your own is open"):
            Purchase.get(1).trigger("submit", within=second)
        with pytest.raises(SQLAlchemyError):
            second.commit()
        second.rollback()
        first.commit()
        assert second.get(Row, 1) is None
    assert Purchase.get(1).state == "charging"


@on_servers
def test_who_only_looks_in_a_transaction_keeps_nobody_from_going_on(shop: Shop) -> None:
    Purchase.start(1)
    with Session(shop.engine) as first, Session(shop.engine) as second:
        with joining(first):
            looked = Purchase.get(1)
            assert "submit" in str(looked.refresh().explain())
        second.execute(text(PATIENCE[shop.kind]))
        Purchase.get(1).trigger("submit", within=second)
        second.commit()
        with joining(first):
            assert looked.trigger("cancel").source == "charging"  # who decides sees what is there now
        first.commit()
    assert Purchase.get(1).state == "cancelled"
