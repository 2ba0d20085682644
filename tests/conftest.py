"""The databases and the Valkey server that tests run against: real ones, a fresh database for each test."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import croniter  # noqa: F401 - as it is imported, it asks by a process what machine this is; no unit test may
import peewee
import psycopg
import pytest

from fsmflow.settings import Settings
from fsmflow.store.store import create_store
from fsmflow.store.tables import META
from tests.support.bench import Bench, bench_on
from tests.support.eventually import eventually
from tests.support.processes import World, installation
from tests.support.sample import left_out
from tests.support.servers import (
    TEST_VARIABLES,
    WHOLE,
    Valkey,
    fresh_mysql,
    fresh_postgres,
    on_postgres,
    server_url,
    short_folder,
)
from tests.support.traces import failing, ran
from tests.support.users import users_database

#: Read here, as no test sees the variable.
HERE = Path(__file__).parent
#: Where every test that asks for no server is pure: it starts no process and does not wait. These are the unit tests.
PURE = (
    "definition",
    "decision",
    "ground",
    "engine",
    "machine",
    "operations",
    "running",
    "shapes",
    "testing",
    "verify",
    "diagram",
    "attacks/model",
)
#: What starts processes all the same.
IMPURE = ("ground/test_lint.py", "testing/test_plugin.py")
#: What makes its database ready first thing.
MADE_READY = frozenset({"bench", "any_place"})
SERVERS = frozenset({"valkey", "database_url", "postgres_url", "mysql_url"})


def pytest_configure(config: pytest.Config) -> None:
    """No test may touch what a developer's own settings name."""
    for name in [name for name in os.environ if name.startswith("FSMFLOW_") and not name.startswith(TEST_VARIABLES)]:
        del os.environ[name]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As for whatever a shell starts in the background; the processes of the tests would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # A test may change a module twice in a second, which a process that finds it compiled would not see.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the unit tests: those that are pure, which are run while working. Take a sample, where that is wanted."""
    for item in items:
        if _is_pure(item):
            item.add_marker(pytest.mark.unit)
    left = left_out(items)
    config.hook.pytest_deselected(items=list(left))
    items[:] = [item for item in items if item not in left]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A unit test that starts a process, connects to one or sleeps fails, so that they stay quick."""
    with contextlib.ExitStack() as stack:
        if item.get_closest_marker("unit"):
            for owner, name in ((subprocess.Popen, "__init__"), (socket.socket, "connect"), (time, "sleep")):
                stack.enter_context(patch.object(owner, name, _refuse))
        return (yield)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("mysql", marks=pytest.mark.mysql),
    ]
)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database that nobody else uses, on each kind of server in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/fsmflow.db"
        return
    with contextlib.ExitStack() as stack:
        if request.param == "mysql":
            yield stack.enter_context(fresh_mysql(server_url("mysql")))
        elif MADE_READY.intersection(request.fixturenames):
            template: str = request.getfixturevalue("_ready_postgres")
            url = stack.enter_context(fresh_postgres(server_url("postgres"), template))
            on_postgres(url, f"UPDATE {META} SET value = '{secrets.token_hex(4)}' WHERE name = 'installation'")
            yield url
        else:
            yield stack.enter_context(fresh_postgres(server_url("postgres")))


@pytest.fixture(scope="session")
def _ready_postgres() -> Iterator[str]:
    """The name of a database with the tables of fsmflow. To copy it takes a fifth of what it takes to make them."""
    with fresh_postgres(server_url("postgres")) as url:
        store = create_store(Settings(database_url=url))
        store.link.forget_connection()
        eventually(lambda: not _connected(url), what="the end of the connection to the template")
        yield urlsplit(url).path.lstrip("/")


def _connected(url: str) -> int:
    with contextlib.closing(psycopg.connect(server_url("postgres"))) as connection:
        name = urlsplit(url).path.lstrip("/")
        return len(connection.execute("SELECT 1 FROM pg_stat_activity WHERE datname = %s", (name,)).fetchall())


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A PostgreSQL database of its own, for what only PostgreSQL does."""
    with fresh_postgres(server_url("postgres")) as url:
        yield url


@pytest.fixture
def mysql_url() -> Iterator[str]:
    """A MySQL or MariaDB database of its own, for what only they do."""
    with fresh_mysql(server_url("mysql")) as url:
        yield url


@pytest.fixture
def db(database_url: str) -> Iterator[peewee.Database]:
    """The user's own database object, on each kind of server in turn."""
    with users_database(database_url) as db:
        yield db


@pytest.fixture(autouse=True)
def _no_traces() -> None:
    """What the jobs of one test did is nothing to the next."""
    ran.clear()
    failing.clear()


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """The tests' Valkey server. A test may stop it, and start it or not; the next one finds it running."""
    with tempfile.TemporaryDirectory(prefix="fsmflow-", dir=short_folder()) as folder:
        server = Valkey(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """The URL of a Valkey server that runs and is empty."""
    valkey.start()
    with contextlib.closing(valkey.client()) as client:
        client.flushall()
    return valkey.url


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    """A bench on each kind of database in turn."""
    with bench_on(redis_url, database_url=database_url) as bench:
        yield bench


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str) -> Iterator[World]:
    """An installation on SQLite, for what does not depend on the kind of database."""
    url = f"sqlite:///{tmp_path}/fsmflow.db"
    with installation(tmp_path, monkeypatch, database_url=url, redis_url=redis_url) as made:
        yield made


@pytest.fixture
def any_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str, redis_url: str) -> Iterator[World]:
    """An installation on each kind of database in turn."""
    with installation(tmp_path, monkeypatch, database_url=database_url, redis_url=redis_url) as made:
        yield made


@pytest.fixture
def sampled_place(request: pytest.FixtureRequest, database_url: str) -> World:
    """The same, on servers where FSMFLOW_TEST_WHOLE is set: for what is slow and differs little between databases."""
    if not database_url.startswith("sqlite") and not WHOLE:
        pytest.skip("on a server it is run on demand: set FSMFLOW_TEST_WHOLE=1")
    made: World = request.getfixturevalue("any_place")
    return made


def _is_pure(item: pytest.Item) -> bool:
    return _has_pure_tests(item.path) and not SERVERS.intersection(getattr(item, "fixturenames", ()))


@functools.cache
def _has_pure_tests(path: Path) -> bool:
    place = path.relative_to(HERE)
    return any(place.is_relative_to(part) for part in PURE) and str(place) not in IMPURE


def _refuse(*arguments: Any, **options: Any) -> None:
    if arguments == (0,):
        return  # a sleep of no length lets others go on, and does not wait
    raise AssertionError("a unit test starts no process and does not wait: see PURE in tests/conftest.py")
