"""Over real sockets: a scrape, a probe, a client that dawdles; and as a part of a web application."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import signal
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from fsmflow import metrics
from fsmflow.errors import ConfigurationError
from fsmflow.metrics import server as servers
from fsmflow.metrics.asgi import App
from fsmflow.metrics.exposition import CONTENT_TYPE
from fsmflow.metrics.page import Page
from fsmflow.metrics.server import Server
from tests.support.bench import Bench, bench_on
from tests.support.eventually import eventually
from tests.support.machines import Counter
from tests.support.processes import COMMAND, World


@pytest.fixture
def bench(redis_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=f"sqlite:///{tmp_path}/fsmflow.db") as bench:
        yield bench


@contextlib.contextmanager
def served(page: Page | None = None) -> Iterator[Server]:
    with Server("127.0.0.1", 0, page or Page()) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def asked(server: Server, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=30)  # type: ignore[arg-type]
    connection.request(method, path)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def test_a_scrape_and_probes_are_answered(bench: Bench) -> None:
    Counter.start("1")
    with served() as server:
        status, headers, body = asked(server, "GET", "/metrics?name[]=up")
        assert (status, headers["Content-Type"]) == (200, CONTENT_TYPE)
        assert b'fsmflow_entities{machine="counter",state="open",kind="root"} 1\n' in body
        status, headers, body = asked(server, "HEAD", "/metrics")
        assert (status, body) == (200, b"")
        assert int(headers["Content-Length"]) > 1_000
        assert asked(server, "GET", "/readyz")[0] == 200
        status, headers, _ = asked(server, "PUT", "/healthz")
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
        assert "Python" not in headers["Server"]
        assert asked(server, "GET", "/nosuch")[0] == 404


def test_who_dawdles_is_cut_off_and_more_than_can_be_answered_are_turned_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(servers, "LIMIT_S", 0.2)
    with served() as server:
        clients = [socket.create_connection(server.server_address[:2], timeout=30) for _ in range(3)]  # type: ignore[arg-type]
        for client in clients[:2]:
            with contextlib.suppress(OSError):
                client.sendall(b"GET /metrics HTTP/1.0\r\nX-Slow: ")
        for client in clients:
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(100) == b""
            client.close()
        eventually(lambda: not server._until_s, what="room for the next one")
        assert asked(server, "GET", "/healthz")[0] == 200


def test_an_address_that_cannot_be_had_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1 port {port}: .*name another one"):
            Server("127.0.0.1", port, Page())
    with pytest.raises(ConfigurationError, match="cannot listen on no.such.host.invalid port 9187"):
        Server("no.such.host.invalid", 9187, Page())


def test_it_is_a_part_of_a_web_application(bench: Bench) -> None:
    api = FastAPI()
    api.mount("/ops", metrics.app)

    async def ask() -> list[Any]:
        transport = httpx2.ASGITransport(app=api)
        async with httpx2.AsyncClient(transport=transport, base_url="http://shop") as client:
            asked = [
                ("GET", "/ops/metrics"),
                ("HEAD", "/ops/healthz"),
                ("POST", "/ops/metrics"),
                ("GET", "/ops/nosuch"),
            ]
            return [await client.request(*each) for each in asked]

    text, alive, refused, unknown = asyncio.run(ask())
    assert (text.status_code, text.headers["content-type"]) == (200, CONTENT_TYPE)
    assert "fsmflow_up 1\n" in text.text
    assert (alive.status_code, alive.content) == (200, b"")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert unknown.status_code == 404


def test_by_itself_it_takes_part_in_the_life_of_its_server() -> None:
    sent: list[Any] = []
    asks = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(asks)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(App()({"type": "lifespan"}, receive, send))
    assert sent == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]
    with pytest.raises(ValueError, match="answers to HTTP, not to 'websocket'"):
        asyncio.run(App()({"type": "websocket"}, receive, send))


def test_the_command_answers_until_it_is_told_to_end(place: World) -> None:
    process = subprocess.Popen(
        [*COMMAND, "metrics", "--port", "0"], env=place.environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        url = line.partition("metrics.listening: ")[2].partition(";")[0]
        assert url.startswith("http://127.0.0.1:"), line
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert b"fsmflow_up 1\n" in answer.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()
        process.stderr.close()  # type: ignore[union-attr]
