"""A standby of PostgreSQL takes over under load: what was acknowledged is there, and work goes on by itself."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fsmflow.engine.runtime import current
from fsmflow.errors import DatabaseUnavailable
from fsmflow.verify import verify
from tests.support.eventually import eventually
from tests.support.galera import galera
from tests.support.patroni import patroni
from tests.support.pgbouncer import pooler
from tests.support.process_flows import Chain
from tests.support.processes import World, installation
from tests.support.servers import WHOLE
from tests.support.standby import pair

CHAINS = 60
#: Within so many seconds of the new primary steps are done again.
AGAIN_S = 5.0

pytestmark = [
    pytest.mark.skipif(not WHOLE, reason="it is run on demand: set FSMFLOW_TEST_WHOLE=1"),
]


def start(number: int) -> bool:
    """Start and trigger a chain; whether that was acknowledged."""
    try:
        Chain.start(str(number), if_exists="return").trigger("go", key=f"go {number}")
    except DatabaseUnavailable:
        return False
    return True


def check_takeover(
    town: World,
    crash: Callable[[], object],
    taken_over: Callable[[], object],
    capsys: pytest.CaptureFixture[str],
    within: float = AGAIN_S,
) -> None:
    """The primary crashes under load, and another one takes over, which ``taken_over`` waits for."""
    supervisor = town.supervisor(processes=2)
    acknowledged = {number for number in range(30) if start(number)}
    eventually(lambda: Chain.counts().get("ended", 0) > 5, what="the first chains")
    crash()
    acknowledged |= {number for number in range(30, 35) if start(number)}
    taken_over()
    at = time.time()
    for number in range(35, CHAINS):
        eventually(lambda number=number: start(number), what="a trigger that is taken")  # type: ignore[misc]
        acknowledged.add(number)
    assert len(acknowledged) >= CHAINS - 5
    again = 0
    for number in acknowledged:
        chain = Chain.get(str(number)).wait("ended", timeout=30)
        kinds = [entry.kind for entry in chain.history]
        # An attempt whose lease ran out while nobody took writes is run again; what it did counts once.
        again += sum(kind == "crashed" for kind in kinds)
        assert [kind for kind in kinds if kind != "crashed"] == ["start"] + ["transition"] * 4
    after = min(effect.at for effect in town.all_effects() if effect.at > at) - at
    with capsys.disabled():
        print(
            f" {len(acknowledged)} acknowledged, 0 lost, {again} attempts anew; steps again after {after:.1f} s", end=""
        )
    assert after < within
    runtime = current()
    assert verify(runtime.store, runtime.machines.all()).violations == []
    assert sum(Chain.counts().values()) <= CHAINS, "no key with two entities"
    assert "Traceback" not in supervisor.log


@pytest.mark.postgres
def test_a_synchronous_standby_takes_over_under_load_and_nothing_is_lost(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pair("*") as (first, second):
        url = f"postgresql://fsmflow@127.0.0.1:{first.port},127.0.0.1:{second.port}/postgres"
        with installation(tmp_path, monkeypatch, database_url=url, redis_url=redis_url) as town:
            check_takeover(town, first.crash, lambda: second.ask("SELECT pg_promote()"), capsys)


@pytest.mark.postgres
def test_patroni_has_the_standby_take_over_behind_a_pooler_and_nothing_is_lost(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def taken_over() -> None:
        eventually(second.takes_writes, within=90, what="a new primary")
        front.lead_to(second.url)

    with (
        patroni() as (first, second),
        pooler(first.url) as front,
        installation(tmp_path, monkeypatch, database_url=front.url, redis_url=redis_url) as town,
    ):
        check_takeover(town, first.crash, taken_over, capsys)


@pytest.mark.postgres
def test_patroni_has_the_standby_take_over_and_nothing_is_lost(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def taken_over() -> None:
        eventually(second.takes_writes, within=90, what="a new primary")

    with patroni() as (first, second):
        url = f"postgresql://fsmflow@127.0.0.1:{first.port},127.0.0.1:{second.port}/postgres"
        with installation(tmp_path, monkeypatch, database_url=url, redis_url=redis_url) as town:
            check_takeover(town, first.crash, taken_over, capsys)


def test_a_node_of_galera_is_killed_under_load_and_nothing_is_lost(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with galera() as (nodes, writer):
        first, second, _ = nodes
        with contextlib.closing(first.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE shop")

        def taken_over() -> None:
            writer.lead_to(second)

        url = f"mysql://fsmflow@127.0.0.1:{writer.port}/shop"
        with installation(tmp_path, monkeypatch, database_url=url, redis_url=redis_url) as town:
            # The two that are left take some seconds to be sure of it.
            check_takeover(town, first.crash, taken_over, capsys, within=30)
