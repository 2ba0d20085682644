"""A host that vanishes without a packet: nobody waits for it for ever, and others take over in time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from fsmflow.store.link import open_database
from tests.support.eventually import eventually
from tests.support.network import Host, other_host
from tests.support.paths import ROOT
from tests.support.process_flows import Chain
from tests.support.processes import World
from tests.support.servers import Valkey, on_servers

#: Beyond this, nobody need wait for a host that is gone.
PROMISED_S = 20.0

CLIENT = """
import json, sys, time
from fsmflow.errors import DatabaseUnavailable
from fsmflow.store.link import Link, open_database
link = Link(open_database(sys.argv[1]), own=True)
link.query("SELECT 1")
print("ready", flush=True)
if sys.argv[2] == "before":
    sys.stdin.readline()
began = time.monotonic()
try:
    link.query("SELECT 1" if sys.argv[2] == "before" else sys.argv[3])
    told = "an answer"
except DatabaseUnavailable as error:
    told = str(error)
print(json.dumps([time.monotonic() - began, told]), flush=True)
"""

RINGER = """
import json, sys, time
from fsmflow.dispatch.doorbell import Doorbell
from fsmflow.settings import Settings
from fsmflow.store.work import Ticket
doorbell = Doorbell(Settings(redis_url=sys.argv[1]), "0123abcd", lambda: 0)
ring = (Ticket(row=1, epoch=1, attempt=1, dispatch=0), "default")
assert doorbell.ring([ring])
print("ready", flush=True)
sys.stdin.readline()
began = time.monotonic()
rung = doorbell.ring([ring])
print(json.dumps([time.monotonic() - began, rung]), flush=True)
"""


@pytest.fixture
def host() -> Iterator[Host]:
    with other_host() as host:
        yield host


def seen_from(host: Host, url: str) -> str:
    """The URL of a database here, as another host has it."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    port = host.serve((parts.hostname or "127.0.0.1", parts.port or 0))
    return parts._replace(netloc=f"{login}@{host.address}:{port}").geturl()


def talk(host: Host, script: str, *arguments: str, waits: bool) -> list[Any]:
    """What a client on another host says, whose link is taken down once it is ready."""
    with subprocess.Popen(
        host.command(sys.executable, "-c", script, *arguments),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdin
        assert client.stdout
        try:
            assert client.stdout.readline() == "ready\n"
            host.vanish()
            if waits:
                client.stdin.write("\n")
                client.stdin.flush()
            said, _ = client.communicate(timeout=3 * PROMISED_S)
            told: list[Any] = json.loads(said)
            return told
        finally:
            client.kill()


@on_servers
@pytest.mark.parametrize("moment", ["before", "during"])
def test_a_statement_does_not_wait_for_a_database_whose_host_has_vanished(
    host: Host, database_url: str, moment: str
) -> None:
    slow = "SELECT pg_sleep(600)" if database_url.startswith("postgres") else "SELECT SLEEP(600)"
    seconds, told = talk(host, CLIENT, seen_from(host, database_url), moment, slow, waits=moment == "before")
    assert told.startswith("the database did not do as asked")
    assert 10.0 < seconds < PROMISED_S, "a lock is waited for ten seconds, and that is no vanished host"


def test_a_ring_does_not_wait_for_a_redis_whose_host_has_vanished(host: Host, valkey: Valkey, redis_url: str) -> None:
    port = host.serve(urlsplit(redis_url).path)
    seconds, rung = talk(host, RINGER, f"redis://{host.address}:{port}/0", waits=True)
    assert (rung, seconds < 10.0) == (False, True)


@on_servers
def test_others_take_over_from_a_host_that_has_vanished(host: Host, any_place: World) -> None:
    here = any_place.environment["FSMFLOW_DATABASE_URL"]
    log = any_place.folder / "vanished.log"
    command = host.command(sys.executable, "-m", "fsmflow.cli", "worker", "--processes", "1")
    with log.open("wb") as output:
        vanished = subprocess.Popen(
            command,
            env={**any_place.environment, "FSMFLOW_DATABASE_URL": seen_from(host, here)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        chain = Chain.start("1", gate="gate")
        chain.trigger("go")
        first = any_place.effect("1", "two")
        other = any_place.supervisor(processes=1)
        eventually(lambda: "worker.started" in other.log, what="another worker")
        gone_at = time.time()
        host.vanish()
        second = any_place.effect("1", "two", attempt=2, within=40)
        assert second.at - gone_at < PROMISED_S
        assert second.pid != first.pid
        eventually(lambda: "database.lost" in log.read_text(), within=30, what="a word of the one who is cut off")
        assert time.time() - gone_at < PROMISED_S + 10
        any_place.open("gate")
        chain.wait("ended", timeout=40)
        assert [entry.dest for entry in chain.history if entry.trigger == "done"] == ["two", "three", "ended"]
    finally:
        vanished.kill()
        vanished.wait()


def test_what_the_url_says_of_timeouts_wins() -> None:
    postgres = open_database("postgresql://u@h/n?tcp_user_timeout=1000&keepalives_idle=60")
    assert (postgres.connect_params["tcp_user_timeout"], postgres.connect_params["keepalives_idle"]) == (1000, 60)
    mysql = open_database("mysql://u@h/n?read_timeout=600")
    assert (mysql.connect_params["read_timeout"], mysql.connect_params["write_timeout"]) == (600, 15)
    assert open_database("mysql://u@h/n", patient=True).connect_params["read_timeout"] == 3_600
    assert open_database("mysql://u@h/n?read_timeout=9", patient=True).connect_params["read_timeout"] == 9
