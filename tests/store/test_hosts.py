"""Databases of which several servers belong together: URLs with several hosts, one of which takes writes; a server that
only reads for a while; TLS as hosters ask for it; and what is told of standbys."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

import fsmflow
from fsmflow.errors import ConfigurationError, DatabaseUnavailable
from fsmflow.settings import Settings
from fsmflow.store.durability import OfMysql
from fsmflow.store.link import open_database
from fsmflow.store.store import create_store, open_store
from tests.support.bench import Bench
from tests.support.machines import Order
from tests.support.processes import FLOWS
from tests.support.servers import WHOLE, on_postgres, on_servers
from tests.support.standby import pair
from tests.support.terminal import Terminal


def parameters(url: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = open_database(url).connect_params
    return found


def test_a_url_names_several_hosts_as_libpq_has_them() -> None:
    found = parameters("postgresql://u:a%40b@h1:5433,[::1]:5432,h3/shop?sslmode=require")
    assert (found["host"], found["port"]) == ("h1,::1,h3", "5433,5432,")
    assert (found["user"], found["password"], found["sslmode"]) == ("u", "a@b", "require")
    assert found["target_session_attrs"] == "read-write"
    assert parameters("postgresql:///shop?host=a,b")["target_session_attrs"] == "read-write"
    assert parameters("postgresql://a,b/shop?target_session_attrs=any")["target_session_attrs"] == "any"
    assert "target_session_attrs" not in parameters("postgresql://a/shop")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://u:sesame@a,b/shop", "names 2 hosts, and mysql takes one: a proxy's, or a name that moves along"),
        ("postgresql://u:sesame@a,/shop", "one of the hosts in the database URL is none"),
        ("mysql://u:sesame@a/shop?ssl-mode=MAYBE", "ssl-mode='MAYBE'; it takes DISABLED, PREFERRED, REQUIRED"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_with_what_would_be_right(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_database(url)
    assert told in str(caught.value)
    assert "sesame" not in str(caught.value)


@pytest.mark.postgres
def test_the_host_that_takes_writes_is_found_among_several(postgres_url: str) -> None:
    parts = urlsplit(postgres_url)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        user, _, host = parts.netloc.rpartition("@")
        url = parts._replace(netloc=f"{user}@127.0.0.1:{closed.getsockname()[1]},{host}").geturl()
        store = create_store(Settings(database_url=url))
        store.link.forget_connection()
    on_postgres(postgres_url, f"ALTER DATABASE {parts.path[1:]} SET default_transaction_read_only = on")
    with pytest.raises(DatabaseUnavailable, match="session is read-only"):
        open_store(Settings(database_url=url))


@on_servers
def test_a_server_that_only_reads_is_left_for_a_new_connection(bench: Bench, database_url: str) -> None:
    session = "SESSION CHARACTERISTICS AS" if database_url.startswith("postgres") else "SESSION"
    link = bench.runtime.store.link
    link.execute(f"SET {session} TRANSACTION READ ONLY")
    order = Order.start("1")
    link.execute(f"SET {session} TRANSACTION READ ONLY")
    order.submit()
    assert order.refresh().state == "charging"


@pytest.mark.postgres
def test_info_tells_of_a_commit_that_is_not_waited_for(
    postgres_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    create_store(Settings(database_url=postgres_url)).link.forget_connection()
    terminal = Terminal(capsys, monkeypatch)
    for options, lost in (("", []), ("?options=-csynchronous_commit%3Doff", ["synchronous_commit is off: if the"])):
        fsmflow.configure(database_url=f"{postgres_url}{options}", redis_url="redis://127.0.0.1:1/0", machines=FLOWS)
        found = terminal.json("info")["database"]["may_lose"]
        assert [sentence[:33] for sentence in found] == lost
        assert all(sentence in terminal.ok("info") for sentence in found)


def test_what_mysql_writes_once_a_second_is_told() -> None:
    assert OfMysql().told(lambda sql: [(1,)]) == []
    (told,) = OfMysql().told(lambda sql: [(2,)])
    assert told.startswith("innodb_flush_log_at_trx_commit is 2: if the server crashes")


@pytest.mark.parametrize("mode", ["REQUIRED", "VERIFY_IDENTITY", "verify-ca"])
@pytest.mark.mysql
def test_tls_is_asked_for_as_hosters_print_it(mysql_url: str, mode: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="SSL"):
        open_store(Settings(database_url=f"{mysql_url}?ssl-mode={mode}"))


@pytest.mark.mysql
def test_no_tls_is_used_where_the_url_says_so(mysql_url: str) -> None:
    assert parameters(f"{mysql_url}?ssl_mode=DISABLED")["ssl_disabled"] is True
    create_store(Settings(database_url=f"{mysql_url}?ssl-mode=PREFERRED")).link.forget_connection()


@pytest.mark.postgres
@pytest.mark.skipif(not WHOLE, reason="it is run on demand: set FSMFLOW_TEST_WHOLE=1")
@pytest.mark.parametrize("names", ["", "*"])
def test_info_tells_of_a_standby_that_is_not_waited_for(names: str) -> None:
    with pair(names) as (first, _):
        store = create_store(Settings(database_url=f"postgresql://fsmflow@127.0.0.1:{first.port}/postgres"))
        told = [sentence.partition(":")[0] for sentence in store.link.may_lose()]
        assert told == ([] if names else ["its standby is asynchronous"])
        store.link.forget_connection()


@pytest.mark.postgres
def test_a_search_path_that_leads_nowhere_is_told_with_what_makes_it_lead_somewhere(postgres_url: str) -> None:
    with pytest.raises(ConfigurationError, match="make that first, as in CREATE SCHEMA acme"):
        create_store(Settings(database_url=f"{postgres_url}?options=-csearch_path%3Dacme"))
