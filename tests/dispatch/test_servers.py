"""Queues on several Redis servers: steps go from one to the other, and one that is away keeps back its own alone."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import fsmflow
from fsmflow.dispatch.doorbell import Doorbell
from fsmflow.engine import runtime
from fsmflow.engine.runtime import current
from fsmflow.store.store import create_store
from fsmflow.verify import verify
from tests.support.eventually import eventually
from tests.support.ferries import Dinghy, Ferry
from tests.support.processes import World, world
from tests.support.servers import Valkey, short_folder

MACHINES = "tests.support.ferries"


@pytest.fixture(scope="module")
def far() -> Iterator[Valkey]:
    """The server of the slow queue."""
    with tempfile.TemporaryDirectory(prefix="fsmflow-", dir=short_folder()) as folder:
        server = Valkey(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="module")
def town(far: Valkey, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An installation with a queue on a server of its own, and a supervisor."""
    folder = tmp_path_factory.mktemp("town")
    url = f"sqlite:///{folder}/fsmflow.db"
    valkey.start()
    with contextlib.closing(valkey.client()) as client:
        client.flushall()
    fsmflow.configure(
        database_url=url, redis_url=valkey.url, queues={"slow-boat": far.url}, machines=[MACHINES], home=folder
    )
    create_store(fsmflow.settings.current()).link.forget_connection()
    variables = {"FSMFLOW_DATABASE_URL": url, "FSMFLOW_REDIS_URL": valkey.url, "FSMFLOW_REDIS_URL_SLOW_BOAT": far.url}
    with pytest.MonkeyPatch.context() as patch, world(folder, variables) as made:
        patch.setitem(os.environ, "EFFECTS", str(folder))
        made.environment["FSMFLOW_MACHINES"] = f"{MACHINES},tests.support.doomed"
        made.supervisor(processes=1)
        yield made
    runtime.close()


def start(first: int, last: int) -> None:
    for number in range(first, last):
        Ferry.start(str(number)).trigger("go")


def home() -> int:
    return Ferry.counts().get("home", 0)


def check_arrivals(town: World, first: int, last: int) -> None:
    """All are home, each step was done once, and the checker finds nothing."""
    for number in range(first, last):
        Ferry.get(str(number)).wait("home", timeout=30)
    numbers = {str(number) for number in range(first, last)}
    effects = [(effect.entity_id, effect.state) for effect in town.all_effects() if effect.entity_id in numbers]
    assert len(effects) == len(set(effects)) == (last - first) * 3
    made = current()
    assert verify(made.store, made.machines.all()).violations == []


def queues_on(server: Valkey) -> set[str]:
    with contextlib.closing(server.client()) as client:
        return {key.decode().rpartition(":")[2] for key in client.smembers("rq:queues")}  # type: ignore[union-attr]


def of(doorbell: Doorbell) -> dict[str, set[str]]:
    """Who listens on which queues, by process."""
    return {each.name: set(each.queues) for each in doorbell.listeners()}


def test_steps_go_from_a_server_to_another_one_and_back(town: World, far: Valkey, valkey: Valkey) -> None:
    start(0, 10)
    check_arrivals(town, 0, 10)
    assert (queues_on(valkey), queues_on(far)) == ({"default"}, {"slow-boat"})
    pids = {state: {e.pid for e in town.all_effects() if e.state == state} for state in ("loading", "crossing")}
    assert pids["loading"].isdisjoint(pids["crossing"])
    first, second = current().doorbell.servers
    assert list(of(first).values()) == [{"operations", "default", "deliveries"}]
    assert list(of(second).values()) == [{"slow-boat"}]
    assert of(current().doorbell) == of(first) | of(second)


def test_a_server_that_loses_all_it_had_loses_no_step(town: World, far: Valkey) -> None:
    before = home()
    start(10, 16)
    eventually(lambda: home() > before + 1, what="some of them home")
    with contextlib.closing(far.client()) as client:
        client.flushall()
    start(16, 22)
    eventually(lambda: home() > before + 7, what="more of them home")
    far.restart_empty()
    start(22, 30)
    check_arrivals(town, 10, 30)


def test_while_a_server_is_away_the_steps_of_others_go_on(town: World, far: Valkey) -> None:
    far.stop()
    start(30, 36)
    for number in range(5):
        Dinghy.start(f"dinghy-{number}").trigger("go")
    for number in range(5):
        Dinghy.get(f"dinghy-{number}").wait("home", timeout=20)
    eventually(lambda: Ferry.counts().get("crossing") == 6, what="ferries that wait for the other server")
    far.start()
    check_arrivals(town, 30, 36)


@pytest.mark.parametrize("point", ["settle.after", "take.after"])
def test_a_worker_that_dies_between_two_servers_leaves_no_step_behind(town: World, point: str) -> None:
    first = 40 if point == "settle.after" else 50
    town.open(f"armed-{point}")
    start(first, first + 3)
    check_arrivals(town, first, first + 3)
    assert (town.folder / f"died-{point}").exists()
