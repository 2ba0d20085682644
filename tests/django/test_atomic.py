"""Inside ``transaction.atomic()`` of the alias that fsmflow works on: what is joined, what is refused, and what is lost
together."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, ClassVar

import django
import psycopg
import pytest
from django.db import connections, transaction
from django.db.transaction import TransactionManagementError
from django.db.utils import DatabaseError

from fsmflow import ConfigurationError, DatabaseUnavailable, Machine, State, joining
from fsmflow.decision.history import HistoryEntry
from fsmflow.engine import runtime
from fsmflow.engine.threads import Pool
from fsmflow.errors import EntityExists
from fsmflow.store.alias import open_alias
from tests.support.bench import Bench, bench_on
from tests.support.django_shops import ALIAS, forget_database, name_database
from tests.support.servers import on_postgres, on_servers, on_sqlite
from tests.support.shops import Purchase

JOBS = 40
LOST = (
    "the step is committed, but what the job had handed to on_commit() raised this, and what came after it there was "
    "not called: give it robust=True"
)
#: Django is at this level here.
REPEATABLE: dict[str, dict[str, Any]] = {
    "postgresql": {"isolation_level": psycopg.IsolationLevel.REPEATABLE_READ},
    "mysql": {"isolation_level": "repeatable read"},
}


class Reader(Machine):
    """Its job asks Django's connection."""

    initial = "reading"
    states = [State("reading", job="read"), State("done", final=True)]
    transitions = [["done", "reading", "done"]]

    def read(self) -> dict[str, Any]:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return {"by": cursor.fetchone()[0]}


class Careless(Machine):
    """Its job writes in the transaction of its transition, and goes on after an error in that where it is told to."""

    initial = "writing"
    states = [State("writing", job="write", transactional=True), State("done", final=True)]
    transitions = [["done", "writing", "done"]]

    def write(self) -> None:
        Purchase.start(self.entity_id)
        connections[ALIAS].set_rollback(bool(self.data["goes_on"]))  # as a model of Django does where its save() fails


class Careful(Careless):
    """It tells, and hands over to ``on_commit`` what raises."""

    told: ClassVar[list[str]] = []

    def on_transition(self, entry: HistoryEntry) -> None:
        self.told.append(f"{self.entity_id} {entry.dest}")

    def write(self) -> None:
        transaction.on_commit(_raise, using=ALIAS)


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    name_database(ALIAS, database_url, **REPEATABLE.get(database_url.partition(":")[0], {}))
    with bench_on(redis_url, database_url=f"django://{ALIAS}", machines=(Purchase, Reader, Careless, Careful)) as bench:
        yield bench
    forget_database(ALIAS)


@on_sqlite
def test_what_is_no_transaction_of_that_alias_is_refused_with_what_to_write(bench: Bench, tmp_path: Path) -> None:
    name_database("other", f"sqlite:///{tmp_path}/other.db")
    name_database("twin", f"sqlite:///{bench.runtime.store.link.db.database}")
    try:
        for nothing in (ALIAS, connections[ALIAS]):
            with pytest.raises(ConfigurationError, match=r"call inside 'with transaction\.atomic\(using='shop'\):'"):
                Purchase.start(1, within=nothing)
        with pytest.raises(ConfigurationError, match="DATABASES of Django has no 'shpo'; did you mean 'shop'"):
            Purchase.start(1, within="shpo")
        with transaction.atomic(using="other"), pytest.raises(ConfigurationError, match="is of another database"):
            Purchase.start(1, within="other")
        with transaction.atomic(using="twin"), pytest.raises(ConfigurationError, match="atomic.. of 'twin' of Django"):
            Purchase.start(1)
        with transaction.atomic(using="other"):
            Purchase.start(2)  # which has nothing to do with it
        connections[ALIAS].set_autocommit(False)
        with pytest.raises(ConfigurationError, match="autocommit is off on 'shop'"):
            Purchase.start(1)
        with transaction.atomic(using=ALIAS):
            Purchase.start(3).trigger("submit")
        assert bench.queued() == []
        connections[ALIAS].commit()
        connections[ALIAS].set_autocommit(True)
        assert (Purchase.counts(), len(bench.queued())) == ({"charging": 1, "new": 1}, 1)
    finally:
        forget_database("other")
        forget_database("twin")


@on_sqlite
def test_a_call_inside_atomic_that_fsmflow_knows_nothing_of_is_refused(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    name_database(ALIAS, database_url)
    with bench_on(redis_url, database_url=database_url, machines=(Purchase,)):
        Purchase.start(1)
        with transaction.atomic(using=ALIAS):
            for act in (lambda: Purchase.start(2), lambda: Purchase.get(1).trigger("submit")):
                with pytest.raises(ConfigurationError, match=r"add 'fsmflow\.django' to INSTALLED_APPS.*within='shop'"):
                    act()
            Purchase.get(1).trigger("submit", within=connections[ALIAS])
            with joining(ALIAS):
                Purchase.start(2)
        assert Purchase.counts() == {"charging": 1, "new": 1}
    forget_database(ALIAS)


def test_other_threads_are_outside_and_a_refusal_inside_leaves_the_transaction_as_it_was(bench: Bench) -> None:
    Purchase.start(1)
    with transaction.atomic(using=ALIAS, durable=True):
        with pytest.raises(EntityExists):
            Purchase.start(1)
        Purchase.start(2).trigger("submit")
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(_elsewhere, bench).result() == {"new": 1}
        assert Purchase.counts() == {"charging": 1, "new": 1}
    assert (Purchase.counts(), len(bench.queued())) == ({"charging": 1, "new": 1}, 1)


def _elsewhere(bench: Bench) -> dict[str, int]:
    counts = Purchase.counts()
    bench.runtime.store.link.forget_connection()
    return counts


def test_an_error_that_is_caught_inside_lets_nothing_be_written_any_more(bench: Bench) -> None:
    with transaction.atomic(using=ALIAS):
        Purchase.start(1)
        with pytest.raises(DatabaseError), connections[ALIAS].cursor() as cursor:
            cursor.execute("INSERT INTO nowhere VALUES (1)")
        connections[ALIAS].set_rollback(True)  # as a model of Django does where its save() fails
        with pytest.raises(DatabaseUnavailable, match="an error of the database was caught inside"):
            Purchase.start(2)
        with pytest.raises(TransactionManagementError), connections[ALIAS].cursor() as cursor:
            cursor.execute("SELECT 1")
    assert Purchase.counts() == {}
    Purchase.start(3)


@on_sqlite
def test_a_block_that_begins_without_a_lock_gets_it_before_anything_is_read(bench: Bench, database_url: str) -> None:
    Purchase.start(1)
    name_database(ALIAS, database_url, **({"transaction_mode": None} if django.VERSION >= (5, 1) else {}))
    other = sqlite3.connect(database_url.removeprefix("sqlite:///"), timeout=0, isolation_level=None)
    with closing(other), transaction.atomic(using=ALIAS):
        order = Purchase.get(1)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        order.trigger("submit")
    assert Purchase.get(1).state == "charging"


@on_sqlite
def test_a_transactional_job_is_in_a_block_of_django_and_fails_where_it_has_broken_that(bench: Bench) -> None:
    for number, goes_on in enumerate((False, True)):
        Careless.start(number, goes_on=goes_on)
        bench.step()
    assert Careless.counts() == {"done": 1, "failed_from_writing": 1}
    assert "broke the transaction" in str(Careless.get(1).failure)
    assert (Purchase.counts(), Purchase.get(0).state) == ({"new": 1}, "new")


@on_sqlite
def test_a_callback_of_the_program_that_raises_takes_nothing_of_fsmflow_along(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    with pytest.raises(LookupError, match="too late"):
        _start_careful(told)
    assert (told, Careful.told, len(bench.queued())) == (["before"], ["1 writing", "3 writing"], 2)
    bench.step()
    bench.step()
    assert (Careful.counts(), Careful.told[2:]) == ({"done": 2}, ["1 done", "3 done"])
    lines = [line for line in caplog.messages if line.startswith(("transaction.", "result."))]
    assert lines == [
        f"transaction.callback_failed: careful:{number}: LookupError: too late; {LOST}" for number in (1, 3)
    ]


@transaction.atomic(using=ALIAS)  # type: ignore[untyped-decorator]
def _start_careful(told: list[str]) -> None:
    transaction.on_commit(lambda: told.append("before"), using=ALIAS)
    transaction.on_commit(_raise, using=ALIAS)
    Careful.start(1)
    with suppress(ZeroDivisionError), transaction.atomic(using=ALIAS):
        Careful.start(2)
        raise ZeroDivisionError
    Careful.start(3)


def _raise() -> None:
    raise LookupError("too late")


@on_servers
def test_what_a_host_at_repeatable_read_has_not_seen_is_told_and_the_whole_begins_anew(bench: Bench) -> None:
    def cancels_what_others_move() -> None:
        with transaction.atomic(using=ALIAS):
            with connections[ALIAS].cursor() as cursor:
                cursor.execute("SELECT COUNT(*) FROM fsmflow_entity")  # this is what it sees from now on
            with ThreadPoolExecutor(1) as pool:
                pool.submit(_submit, bench).result()
            Purchase.get(1).cancel()

    Purchase.start(1)
    if bench.runtime.store.link.dialect.latest:  # MariaDB shows what is there now to who changes it
        cancels_what_others_move()
    else:
        with pytest.raises(DatabaseUnavailable, match="could not serialize"):
            cancels_what_others_move()
        assert Purchase.get(1).state == "charging"
        with transaction.atomic(using=ALIAS):
            Purchase.get(1).cancel()
    assert Purchase.get(1).state == "cancelled"


def _submit(bench: Bench) -> None:
    Purchase.get(1).trigger("submit")
    bench.runtime.store.link.forget_connection()


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_no_job_fails_where_the_server_ends_all_connections_between_two_jobs(bench: Bench, database_url: str) -> None:
    connections[ALIAS].settings_dict["CONN_MAX_AGE"] = None  # they are kept, and Django is not told to ask for health
    Reader.start_many([(number, {}) for number in range(JOBS)])
    for _ in range(JOBS):
        on_postgres(
            database_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()",
        )
        bench.step()
    assert Reader.counts() == {"done": JOBS}
    assert len({reader.data["by"] for reader in Reader.find()}) == JOBS


@on_sqlite
def test_another_database_by_the_same_alias_is_opened_anew(bench: Bench, tmp_path: Path) -> None:
    Purchase.start(1)
    before = runtime.current().store.installation
    connections[ALIAS].close()
    connections[ALIAS].settings_dict["NAME"] = f"{tmp_path}/test.db"
    with pytest.raises(ConfigurationError, match="no tables"):
        Purchase.counts()
    open_alias(f"django://{ALIAS}")
    connections[ALIAS].settings_dict["NAME"] = f"{tmp_path}/fsmflow.db"
    assert (Purchase.counts(), runtime.current().store.installation) == ({"new": 1}, before)


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_thread_that_awaits_asks_no_connection_that_has_ended_and_leaves_none_behind(bench: Bench) -> None:
    pool, theirs = Pool(1, name="one", kept_s=60), list[Any]()

    def cut() -> None:
        connections[ALIAS].settings_dict["CONN_MAX_AGE"] = None
        connections[ALIAS].ensure_connection()
        connections[ALIAS].connection.close()  # as a server that ends it

    def asked() -> Any:
        theirs.append(connections[ALIAS])
        with connections[ALIAS].cursor() as cursor:
            cursor.execute("SELECT 1")
            return cursor.fetchone()

    async def awaited() -> Any:
        await pool.run(Purchase.counts)
        await pool.run(cut)
        found = await pool.run(asked)
        assert theirs[0].connection is not None
        await pool.aclose()
        return found

    assert asyncio.run(awaited()) == (1,)
    assert theirs[0].connection is None
