"""The drivers below peewee: mysqlclient does as PyMySQL does, and what nobody has tried is refused by its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import peewee
import pytest

from fsmflow import ConfigurationError
from fsmflow.settings import Settings
from fsmflow.store.drivers import mysqlclient_options
from fsmflow.store.link import Link, open_database
from fsmflow.store.store import create_store, open_store
from tests.support.bench import Bench, bench_on
from tests.support.eventually import eventually
from tests.support.machines import Order, play
from tests.support.process_flows import Chain
from tests.support.processes import World

MySQLdb = pytest.importorskip("MySQLdb", reason="mysqlclient is not installed: 'pip install mysqlclient'")

on_mysql = pytest.mark.parametrize("database_url", [pytest.param("mysql", marks=pytest.mark.mysql)], indirect=True)


@pytest.fixture
def mysqlclient(monkeypatch: pytest.MonkeyPatch) -> None:
    """peewee as it is where PyMySQL is not installed."""
    monkeypatch.setattr(peewee, "mysql", MySQLdb)


@pytest.fixture
def bench(database_url: str, redis_url: str, mysqlclient: None) -> Iterator[Bench]:
    db = open_database(database_url)
    with bench_on(redis_url, database=db) as bench:
        yield bench
    db.close()


@on_mysql
def test_a_job_runs_once_and_what_it_left_open_is_rolled_back(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    link = bench.runtime.store.link
    assert isinstance(link.db.connection(), MySQLdb.connections.Connection)
    link.execute("CREATE TABLE shop_note (text VARCHAR(10))")
    runs = []

    def leave_open(order: Any) -> None:
        runs.append(order.attempt)
        link.db.begin()
        link.execute("INSERT INTO shop_note VALUES ('lost')")

    play["charging"] = leave_open
    order = Order.start("1", {"amount": 5_000})
    order.submit()
    bench.run()
    assert (order.refresh().state, runs) == ("approval", [1])
    assert link.rows("SELECT * FROM shop_note") == []
    assert [record for record in caplog.records if "job.transaction_open" in record.message] != []


@on_mysql
def test_whether_a_transaction_is_open_is_asked_of_the_server(database_url: str, mysqlclient: None) -> None:
    link = Link(open_database(database_url), own=True)
    connection = link.db.connection()
    assert not link.dialect.is_in_transaction(connection)
    link.db.begin()
    assert link.dialect.is_in_transaction(connection)
    link.db.rollback()
    assert not link.dialect.is_in_transaction(connection)
    link.execute("SET autocommit = 0")
    link.rows("SELECT COUNT(*) FROM information_schema.collations")
    assert link.dialect.is_in_transaction(connection)
    connection.close()
    assert not link.dialect.is_in_transaction(connection)
    link.forget_connection()


@on_mysql
def test_worker_processes_work_with_mysqlclient_alone(any_place: World) -> None:
    shadow = any_place.folder / "shadow"
    shadow.mkdir()
    (shadow / "pymysql.py").write_text("raise ImportError('it is not to be found')\n")
    any_place.environment["PYTHONPATH"] = f"{shadow}:{any_place.environment['PYTHONPATH']}"
    supervisor = any_place.supervisor(processes=1)
    chain = Chain.start("1")
    chain.trigger("go")
    eventually(lambda: chain.refresh().phase == "finished", within=30, what="all three steps")
    assert [effect.state for effect in any_place.effects("1")] == ["one", "two", "three"]
    supervisor.terminate()
    assert supervisor.ended() == 0
    assert "worker.lost" not in supervisor.log


@pytest.mark.parametrize(
    ("options", "theirs"),
    [
        ({"port": 1}, {"port": 1}),
        ({"ssl_ca": "a.pem"}, {"ssl": {"ca": "a.pem"}, "ssl_mode": "VERIFY_CA"}),
        (
            {"ssl_ca": "a.pem", "ssl_cert": "b", "ssl_key": "c", "ssl_verify_identity": True},
            {"ssl": {"ca": "a.pem", "cert": "b", "key": "c"}, "ssl_mode": "VERIFY_IDENTITY"},
        ),
        ({"ssl_verify_identity": True}, {"ssl": {}, "ssl_mode": "VERIFY_IDENTITY"}),
        ({"ssl_disabled": True}, {"ssl_mode": "DISABLED"}),
    ],
)
def test_options_of_a_url_are_told_to_mysqlclient_in_its_words(options: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert mysqlclient_options(options) == theirs


class _Connection:
    """One of another driver: it is not even asked anything."""

    __module__ = "mysql.connector.connection_cext"
    server_version = (8, 0, 30)

    def close(self) -> None:
        """peewee closes it."""


class ConnectorDatabase(peewee.MySQLDatabase):
    def _connect(self) -> Any:
        return _Connection()


def test_another_driver_is_refused_by_its_name_before_anything_is_made() -> None:
    sentence = (
        r"fsmflow does not work with the database driver mysql.connector.connection_cext; install fsmflow\[mysql\], "
        r"which is PyMySQL, or mysqlclient, and use peewee's MySQLDatabase"
    )
    for opened in (create_store, open_store):
        with pytest.raises(ConfigurationError, match=sentence):
            opened(Settings(database=ConnectorDatabase("shop")))
