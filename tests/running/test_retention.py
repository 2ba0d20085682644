"""Supervisors delete what has finished, beside workers that run steps, and wherever one of them is killed."""

from __future__ import annotations

import signal
from datetime import timedelta

import pytest

import fsmflow
from fsmflow.engine.retention import Pruned, prune
from fsmflow.engine.runtime import Runtime, current
from fsmflow.store.tables import ENTITY, EVENT, HISTORY
from fsmflow.verify import verify
from tests.running.perishables import Journey, Parcel
from tests.support.aged import age
from tests.support.concurrency import in_threads
from tests.support.eventually import eventually
from tests.support.processes import World

MODULE = "tests.running.perishables"


@pytest.fixture
def store(any_place: World) -> World:
    any_place.environment["FSMFLOW_MACHINES"] = MODULE
    fsmflow.configure(
        database_url=any_place.environment["FSMFLOW_DATABASE_URL"],
        redis_url=any_place.environment["FSMFLOW_REDIS_URL"],
        machines=[MODULE],
    )
    return any_place


def aged(world: World, trees: int) -> int:
    """A supervisor runs one parcel; so many like it have been finished for days. How many rows these have."""
    supervisor = world.supervisor()
    model = Parcel.start("model", lines=["a", "b", "c"])
    model.trigger("go", key="order-form")
    model.wait("shipped", timeout=60)
    supervisor.terminate()
    assert supervisor.ended() == 0
    return age(current(), model, [f"old-{number}" for number in range(trees)], by=timedelta(days=9))


def count(runtime: Runtime, table: str = ENTITY) -> int:
    ((found,),) = runtime.store.link.query(f"SELECT COUNT(*) FROM {table}")
    return int(found)


def assert_sound(runtime: Runtime) -> None:
    report = verify(runtime.store, runtime.machines.all(), strict=True)
    assert report.holds, str(report)


def test_trees_go_while_workers_run_steps_and_a_supervisor_is_killed_in_the_middle(store: World) -> None:
    is_sqlite = store.environment["FSMFLOW_DATABASE_URL"].startswith("sqlite")
    trees = 750 if is_sqlite else 150
    runtime = current()
    assert aged(store, trees) == 4 * trees
    assert_sound(runtime)
    store.environment["SUPERVISOR_DIES_AT"] = "prune.before~2"
    assert store.supervisor().ended(60) == -signal.SIGKILL
    del store.environment["SUPERVISOR_DIES_AT"]
    assert 4 < count(runtime) < 4 + 4 * trees
    assert_sound(runtime)
    store.supervisor(processes=2)
    journeys = [Journey.start(str(number)) for number in range(30)]
    for journey in journeys:
        journey.wait("there", timeout=120)
    eventually(lambda: count(runtime) == 4 + len(journeys), within=120, what="all that is old is gone")
    assert [one.entity_id for one in Parcel.find()] == ["model"]
    (account,) = runtime.store.retention.accounts().values()
    assert (account.trees, account.entities) == (trees, 4 * trees)
    assert_sound(runtime)


def test_of_several_who_prune_at_once_each_tree_is_deleted_by_one(store: World) -> None:
    trees, runtime = 60, current()
    aged(store, trees)
    definition = runtime.machines.get("parcel")

    def pruned(number: int) -> Pruned:
        return sum(prune(runtime, definition, definition.wide.retention), Pruned())

    found = sum(in_threads(3, runtime.store.link, pruned), Pruned())
    assert found.trees <= trees
    for _ in prune(runtime, definition, definition.wide.retention):
        pass
    assert count(runtime) == 4
    assert runtime.store.retention.accounts()["parcel"].trees == trees
    assert (count(runtime, HISTORY), count(runtime, EVENT)) == (4 + 2 * 3 - 1, 1)
    assert_sound(runtime)
