"""The URLs of sentinels and clusters: what they say, and what is told of one that cannot be used."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fsmflow.dispatch.client import connect
from fsmflow.dispatch.doorbell import Doorbell
from fsmflow.dispatch.route import BySentinels, Route, route_of
from fsmflow.dispatch.rqworker import StepWorker
from fsmflow.errors import RedisUnavailable
from fsmflow.settings import Settings
from tests.support.encryption import certificate, encrypted, unix_socket
from tests.support.eventually import eventually
from tests.support.fleets import Node
from tests.support.servers import Valkey


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis+sentinel://h1:26379,h2", "does not name the master, as in redis+sentinel://host:26379/mymaster"),
        ("redis+sentinel://h1:x/shop", "'h1:x' is no host, nor a host:port"),
        ("redis+sentinel://h1,/shop", "'' is no host"),
        ("redis+sentinel://h1/shop/two", "the database 'two' is no number"),
        ("redis+sentinel://h1/shop?wait=1", "an option that is not known"),
        ("redis+cluster://h1/3", "a Redis Cluster has the database 0 alone, not '3'"),
        ("redis+cluster://h1/0", "set RQ_KEY_PREFIX={rq} in the environment of all that runs fsmflow or RQ"),
        ("redis+other://h1/0", "of no known kind; write redis+sentinel://"),
        ("redis+sentinel://ada:ses/ame@h1/shop", "write % as %25"),
        ("redis+sentinel://ada:ses#ame@h1/shop", "write % as %25"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_with_what_would_be_right(url: str, told: str) -> None:
    with pytest.raises(RedisUnavailable) as caught:
        route_of(url).check()
    assert told in str(caught.value)
    assert not any(part in str(caught.value) for part in ("ses", "#ame", "/ame"))


@pytest.mark.parametrize("url", ["redis+sentinel://ada:pw@[::1]:26379,h2/shop", "rediss+sentinel://h1/shop/3"])
def test_a_url_that_can_be_used_is_taken_as_it_is(url: str) -> None:
    route_of(url).check()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pinged(route: Route) -> bool:
    with contextlib.closing(connect(route.url(), timeout_s=5)) as client:
        return bool(client.ping())


def test_sentinels_and_master_are_reached_by_tls(valkey: Valkey, redis_url: str, tmp_path: Path) -> None:
    files = certificate(tmp_path)
    sentinel = Node(tmp_path)
    with (
        encrypted(files, lambda: unix_socket(urlsplit(redis_url).path)) as master,
        encrypted(files, lambda: socket.create_connection(("127.0.0.1", sentinel.port))) as asked,
    ):
        sentinel.start(f"sentinel monitor shop 127.0.0.1 {master.port} 1\n", "--sentinel")
        try:
            eventually(sentinel.answers, what="a sentinel")
            hosts = f"127.0.0.1:{free_port()},127.0.0.1:{asked.port}"
            options = f"?ssl_ca_certs={files[0]}&ssl_check_hostname=false"
            assert pinged(route_of(f"rediss+sentinel://{hosts}/shop{options}"))
            with pytest.raises(RedisUnavailable, match="no sentinel says where the master 'till' of Redis is"):
                route_of(f"rediss+sentinel://{hosts}/till{options}").url()
        finally:
            sentinel.kill()


def test_who_told_wrongly_is_asked_last(tmp_path: Path) -> None:
    nodes = [Node(tmp_path) for _ in range(2)]
    for number, node in enumerate(nodes):
        node.start(f"sentinel monitor shop 127.0.0.1 {number + 1} 1\n", "--sentinel")
    try:
        for node in nodes:
            eventually(node.answers, what="a sentinel")
        route = route_of(f"redis+sentinel://127.0.0.1:{nodes[0].port},127.0.0.1:{nodes[1].port}/shop")
        assert isinstance(route, BySentinels)
        assert route.url() == route.url() == "redis://127.0.0.1:1/0"
        route.doubt()
        assert route.url() == route.url() == "redis://127.0.0.1:2/0"
    finally:
        for node in nodes:
            node.kill()


def test_a_supervisor_and_a_worker_let_go_of_a_master_that_is_none_any_more(tmp_path: Path) -> None:
    before, after, sentinel = (Node(tmp_path) for _ in range(3))
    try:
        for node in (before, after):
            node.start('save ""\n')
        sentinel.start(f"sentinel monitor shop 127.0.0.1 {before.port} 1\n", "--sentinel")
        for node in (before, after, sentinel):
            eventually(node.answers, what="a server")
        settings = Settings(redis_url=f"redis+sentinel://127.0.0.1:{sentinel.port}/shop")
        doorbell = Doorbell(settings, "0123abcd", lambda: 0)
        worker = StepWorker(["default"], doorbell, lambda ticket: (), lambda: False)
        doorbell.announce(["default"])
        assert not worker.work_once(block=False)
        for words in (("REMOVE", "shop"), ("MONITOR", "shop", "127.0.0.1", after.port, 1)):
            sentinel.ask("SENTINEL", *words)
        doorbell.announce(["default"])
        keys = "rq:fsmflow:0123abcd:listening"
        assert (before.ask("EXISTS", keys), after.ask("EXISTS", keys)) == (1, 1)
        worker._seen_alive -= 60
        with pytest.raises(RedisUnavailable, match="another server is the master of Redis now"):
            worker.work_once(block=False)
    finally:
        for node in (before, after, sentinel):
            node.kill()
