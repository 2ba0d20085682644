"""TLS is asked for in the URLs, and then insisted on."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from fsmflow.dispatch.client import connect
from fsmflow.errors import ConfigurationError, DatabaseUnavailable, FsmflowError, RedisUnavailable
from fsmflow.settings import Settings
from fsmflow.store.link import open_database
from fsmflow.store.store import create_store, open_store
from tests.support.encryption import certificate, encrypted, unix_socket
from tests.support.servers import Valkey


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def rediss(valkey: Valkey, redis_url: str, files: tuple[Path, Path]) -> Iterator[int]:
    """The port of a Redis that speaks TLS only."""
    with encrypted(files, lambda: unix_socket(urlsplit(redis_url).path)) as proxy:
        yield proxy.port


def ping(url: str) -> bool:
    with contextlib.closing(connect(url, timeout_s=5)) as client:
        return bool(client.ping())


def test_redis_by_tls_with_the_certificate_that_is_named(rediss: int, files: tuple[Path, Path]) -> None:
    assert ping(f"rediss://localhost:{rediss}/0?ssl_ca_certs={files[0]}")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_redis_whose_certificate_nobody_vouches_for_is_refused(host: str, rediss: int) -> None:
    with pytest.raises(RedisConnectionError, match="certificate verify failed"):
        ping(f"rediss://{host}:{rediss}/0")


def test_redis_under_another_name_than_its_certificate_is_refused(rediss: int, files: tuple[Path, Path]) -> None:
    with pytest.raises(RedisConnectionError, match="certificate verify failed"):
        ping(f"rediss://127.0.0.1:{rediss}/0?ssl_ca_certs={files[0]}")


def test_redis_that_speaks_tls_only_gets_no_plain_words(rediss: int) -> None:
    with pytest.raises(RedisConnectionError):
        ping(f"redis://localhost:{rediss}/0")


def on(port: int, url: str, query: str) -> Settings:
    """Settings for the database of a URL, by way of a proxy."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return Settings(database_url=parts._replace(netloc=f"{user}@localhost:{port}", query=query).geturl())


def reach(settings: Settings) -> str:
    store = create_store(settings)
    store.link.forget_connection()
    return store.installation


def test_postgres_by_tls_with_the_certificate_that_is_named(postgres_url: str, files: tuple[Path, Path]) -> None:
    parts = urlsplit(postgres_url)
    server = (parts.hostname or "", parts.port or 5432)
    with encrypted(files, lambda: socket.create_connection(server), postgres=True) as proxy:
        assert reach(on(proxy.port, postgres_url, f"sslmode=verify-full&sslrootcert={files[0]}"))
        assert proxy.begun > 0
        assert reach(on(proxy.port, postgres_url, "sslmode=require"))
        with pytest.raises(DatabaseUnavailable, match="(?i)certificate"):
            reach(on(proxy.port, postgres_url, "sslmode=verify-full&sslrootcert=system"))


def test_a_postgres_without_tls_is_refused_where_the_url_asks_for_it(postgres_url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="SSL"):
        open_store(Settings(database_url=f"{postgres_url}?sslmode=require"))


def test_a_mysql_without_tls_is_refused_where_the_url_asks_for_it(mysql_url: str, files: tuple[Path, Path]) -> None:
    with pytest.raises(DatabaseUnavailable, match="SSL"):
        open_store(Settings(database_url=f"{mysql_url}?ssl_ca={files[0]}&ssl_verify_identity=true"))


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
@pytest.mark.parametrize("password", ["ses/ame", "ses?ame", "ses#ame", "ses@ame", "12/34", "ses:ame", "[sesame"])
def test_no_error_shows_a_password_that_is_written_wrongly(kind: str, password: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_store(Settings(database_url=f"{kind}://ada:{password}@127.0.0.1:1/shop"))
    check_hidden(caught.value, password)


@pytest.mark.parametrize("password", ["ses/ame", "ses?ame", "ses#ame", "[sesame", "12/34"])
def test_no_error_of_redis_shows_a_password_that_is_written_wrongly(password: str) -> None:
    with pytest.raises(RedisUnavailable, match="write % as %25") as caught:
        connect(f"redis://ada:{password}@127.0.0.1:1/0", timeout_s=1)
    check_hidden(caught.value, password)


def check_hidden(error: FsmflowError, password: str) -> None:
    chain: list[BaseException | None] = [error, error.__cause__]
    text = " ".join(f"{one} {one!r}" for one in chain)
    assert [part for part in (password, "ses", "sesame", "12", "34") if part in text.replace("127.0.0.1", "")] == []


def test_passwords_of_all_characters_reach_the_server() -> None:
    database = open_database("postgresql://ada%40x:a%2Fb%3F%23%25%40%3A@db/shop")
    assert (database.connect_params["user"], database.connect_params["password"]) == ("ada@x", "a/b?#%@:")
    with contextlib.closing(connect("redis://ada%40x:a%2Fb%3F%23%25%40%3A@host:6379/0", timeout_s=1)) as client:
        known = client.connection_pool.connection_kwargs
        assert (known["username"], known["password"]) == ("ada@x", "a/b?#%@:")
        assert "a/b" not in repr(client)
