"""Installations in schemas of PostgreSQL: many in one database and one Redis, apart from each other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine

import fsmflow
from fsmflow import settings
from fsmflow.engine import runtime
from fsmflow.engine.runtime import Runtime
from fsmflow.errors import ConfigurationError
from fsmflow.settings import Settings
from fsmflow.settings.amounts import schema_of
from fsmflow.sqlalchemy.migration import make_tables
from fsmflow.store.columns import TABLES
from fsmflow.store.link import open_database
from fsmflow.store.namespace import placed
from fsmflow.store.store import create_store, open_store
from fsmflow.store.tables import ENTITIES_VIEW, HISTORY_VIEW, NAMES
from fsmflow.verify import verify
from tests.support.bench import Bench, bench_on
from tests.support.machines import Order
from tests.support.pgbouncer import pooled
from tests.support.process_flows import Chain
from tests.support.processes import FLOWS, world
from tests.support.servers import on_postgres
from tests.support.terminal import Terminal

SCHEMAS = ("acme", "zeta")
#: In which schemas there are tables.
THERE = "SELECT schemaname FROM pg_tables WHERE tablename = 'fsmflow_work' ORDER BY 1"
CHAINS = 3


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(psycopg.connect(url)) as connection:
        return connection.execute(query.encode()).fetchall()


@pytest.mark.parametrize(
    ("sql", "right"),
    [
        ("SELECT e.id FROM fsmflow_entity e", 'SELECT e.id FROM "acme".fsmflow_entity e'),
        ('DELETE FROM "fsmflow_event"', 'DELETE FROM "acme".fsmflow_event'),
        ("SELECT 'fsmflow_history'::regclass", "SELECT '\"acme\".fsmflow_history'::regclass"),
        ("SAVEPOINT fsmflow_step", "SAVEPOINT fsmflow_step"),
        ('CREATE INDEX "fsmflow_work_due" ON x', 'CREATE INDEX "fsmflow_work_due" ON x'),
        (
            'SELECT 1 FROM "zeta".fsmflow_work, zeta.fsmflow_meta',
            'SELECT 1 FROM "zeta".fsmflow_work, zeta.fsmflow_meta',
        ),
    ],
)
def test_each_table_is_named_with_its_schema_and_nothing_else_is_touched(sql: str, right: str) -> None:
    assert placed(sql, "acme") == right


def test_no_table_is_forgotten() -> None:
    assert set(NAMES) == {table.name for table in TABLES} | {ENTITIES_VIEW, HISTORY_VIEW}


@pytest.mark.parametrize("name", ["", "Acme", "1st", "a-b", "pg_acme", "information_schema", 'a"b', "x" * 64])
def test_a_schema_has_a_name_that_needs_no_quotes(name: str) -> None:
    with pytest.raises(ConfigurationError, match="schema is .* it takes the name of a schema of PostgreSQL"):
        schema_of(name, "schema")
    assert schema_of("user", "schema") == "user"


@pytest.mark.parametrize(
    ("url", "advice"),
    [("sqlite:///x.db", "sqlite:///acme.db"), ("mysql://u:sesame@127.0.0.1:1/n", "mysql://user@host/acme")],
)
def test_another_database_is_told_to_have_one_for_each(url: str, advice: str) -> None:
    for act in (create_store, open_store):
        with pytest.raises(ConfigurationError) as caught:
            act(Settings(database_url=url, schema="acme"))
        assert str(caught.value) == (
            f"FSMFLOW_SCHEMA is 'acme', which is for PostgreSQL; on {url.partition(':')[0]} give each installation a "
            f"database of its own: FSMFLOW_DATABASE_URL={advice}"
        )


@pytest.mark.postgres
@pytest.mark.parametrize("is_pooled", [False, True], ids=["direct", "pooled"])
def test_installations_in_schemas_of_their_own_are_apart(postgres_url: str, redis_url: str, is_pooled: bool) -> None:
    with pooled(postgres_url) if is_pooled else contextlib.nullcontext(postgres_url) as url:
        installations, queues = set(), set()
        for name in SCHEMAS:
            with bench_on(redis_url, database_url=url, schema=name) as bench:
                installations.add(bench.runtime.store.installation)
                queues.add(bench.queue_key())
                live(bench)
        assert len(installations) == len(queues) == 2
        assert rows(postgres_url, THERE) == [(name,) for name in SCHEMAS]
        # Whoever comes to a connection later finds it as it was.
        assert rows(url, "SHOW search_path") == [('"$user", public',)]


def live(bench: Bench) -> None:
    """What each of them can do as if it were alone."""
    Order.start_many((number, None) for number in range(3))
    Order.start("1", data={"amount": 7}, if_exists="return").submit()
    assert (len(bench.queued()), Order.counts()) == (1, {"pending": 2, "charging": 1})
    bench.run("default", "slow")
    assert Order.counts() == {"pending": 2, "shipped": 1}
    assert Order.get("1").history[-1].dest == "shipped"
    assert verify(bench.runtime.store, bench.runtime.machines.all()).violations == []


@pytest.mark.postgres
def test_a_transaction_of_the_callers_finds_its_own_tables_and_ours(postgres_url: str, redis_url: str) -> None:
    on_postgres(postgres_url, "CREATE TABLE fsmflow_mine (x INTEGER)")
    db = open_database(postgres_url)
    with bench_on(redis_url, database_url=postgres_url, schema="acme") as bench:
        with db.atomic() as undone:
            db.execute_sql("INSERT INTO fsmflow_mine VALUES (1)")
            Order.start("1", within=db)
            undone.rollback()
        assert Order.counts() == {}
        with db.atomic():
            db.execute_sql("INSERT INTO fsmflow_mine VALUES (1)")
            with fsmflow.joining(db):
                Order.start("1").submit()
        assert (Order.counts(), len(bench.queued())) == ({"charging": 1}, 1)
        db.close()
    with bench_on(redis_url, database=db, schema="zeta"), db.atomic():
        db.execute_sql("INSERT INTO fsmflow_mine VALUES (1)")
        Order.start("1")
        assert Order.counts() == {"pending": 1}
    db.close()
    assert rows(postgres_url, "SELECT COUNT(*) FROM fsmflow_mine") == [(2,)]


@pytest.mark.postgres
def test_alembic_makes_the_tables_in_the_schema_of_the_settings(postgres_url: str) -> None:
    engine = create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:"))
    fsmflow.configure(database_url=postgres_url, schema="acme")
    with engine.begin() as connection:
        make_tables(connection)
        assert connection.exec_driver_sql("SHOW search_path").scalar() == '"$user", public'
    engine.dispose()
    assert rows(postgres_url, THERE) == [("acme",)]
    open_store(settings.current()).link.forget_connection()
    settings.choose(None)


@pytest.mark.postgres
def test_the_commands_go_by_the_variable(
    postgres_url: str, redis_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSMFLOW_DATABASE_URL", postgres_url)
    monkeypatch.setenv("FSMFLOW_REDIS_URL", redis_url)
    monkeypatch.setenv("FSMFLOW_MACHINES", FLOWS[0])
    monkeypatch.setenv("FSMFLOW_SCHEMA", "acme")
    terminal = Terminal(capsys, monkeypatch)
    told = terminal.run("verify")
    assert "the schema acme of the database has no tables of fsmflow yet; run 'fsmflow init' once" in told.err
    for command in (["init", "--views", "--partitions", "2"], ["init"], ["verify"], ["check", "--database"]):
        assert terminal.run(*command).status == 0
    assert "acme" in terminal.run("info").out
    assert rows(postgres_url, "SELECT COUNT(*) FROM acme.fsmflow_entities") == [(0,)]
    runtime.close()
    settings.choose(None)
    monkeypatch.setenv("FSMFLOW_DATABASE_URL", "sqlite:///x.db")
    assert "on sqlite give each installation a database of its own" in terminal.run("init").err


@pytest.mark.postgres
def test_who_may_not_make_a_schema_is_told_who_does(postgres_url: str) -> None:
    on_postgres(postgres_url, "DROP ROLE IF EXISTS fsmflow_tenant; CREATE ROLE fsmflow_tenant LOGIN PASSWORD 'x'")
    try:
        theirs = open_database(postgres_url)
        theirs.connect_params |= {"user": "fsmflow_tenant", "password": "x"}
        with pytest.raises(ConfigurationError, match="whoever may runs: CREATE SCHEMA acme"):
            create_store(Settings(database=theirs, schema="acme"))
        on_postgres(postgres_url, "CREATE SCHEMA acme AUTHORIZATION fsmflow_tenant")
        create_store(Settings(database=theirs, schema="acme"))
        theirs.close()
    finally:
        on_postgres(postgres_url, "DROP SCHEMA IF EXISTS acme CASCADE; DROP ROLE fsmflow_tenant")


@pytest.mark.postgres
def test_workers_of_two_tenants_see_nothing_of_each_other(
    postgres_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as stack:
        places = {}
        for name in SCHEMAS:
            (tmp_path / name).mkdir()
            monkeypatch.setenv("EFFECTS", str(tmp_path / name))
            servers = {"FSMFLOW_DATABASE_URL": postgres_url, "FSMFLOW_REDIS_URL": redis_url, "FSMFLOW_SCHEMA": name}
            with configured(postgres_url, redis_url, name):
                for number in range(CHAINS):
                    # The same ids, and none of one is taken for one of the other's.
                    Chain.start(str(number)).trigger("go")
            places[name] = stack.enter_context(world(tmp_path / name, servers))
        started = [place.supervisor("--burst") for place in places.values()]
        assert [supervisor.ended() for supervisor in started] == [0, 0]
        for name, place in places.items():
            with configured(postgres_url, redis_url, name) as found:
                assert Chain.counts() == {"ended": CHAINS}
                assert sorted(each.entity_id for each in place.all_effects()) == sorted([*map(str, range(CHAINS))] * 3)
                assert verify(found.store, found.machines.all()).violations == []


@contextlib.contextmanager
def configured(url: str, redis_url: str, schema: str) -> Iterator[Runtime]:
    fsmflow.configure(database_url=url, redis_url=redis_url, machines=FLOWS, schema=schema)
    create_store(settings.current()).link.forget_connection()
    try:
        yield runtime.current()
    finally:
        runtime.close()
        settings.choose(None)
