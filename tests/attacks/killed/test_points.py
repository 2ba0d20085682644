"""Worker processes are killed at each named point of a fan-out, a join, a retry, a message and an undo."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

import fsmflow
from fsmflow.engine.runtime import current
from fsmflow.store.tables import ENTITY
from tests.attacks.killed.expedition import Camp, Expedition
from tests.support.processes import Supervisor, World
from tests.support.servers import WHOLE

#: Each point, and the times of passing it at which the process dies: once for each entity.
PLANS = {
    "claim.after": (1, 2, 4, 9, 15),
    "settle.before": (1, 2, 3, 7, 12, 17),
    "commit.before": (1, 2, 3, 4, 5, 7, 8, 11, 14, 18, 22, 26),
    "commit.after": (1, 2, 3, 4, 5, 7, 8, 11, 14, 18, 22, 26),
    "spread.page": (1, 2, 3),
    "look.before": (1, 2, 4, 8),
    "join.before": (1, 2, 3),
    "admit.before": (1, 2),
    "revive.before": (1,),
    "deliver.before": (1,),
    "transaction.before": (1,),
}


@pytest.fixture
def mountains(any_place: World, monkeypatch: pytest.MonkeyPatch) -> World:
    any_place.environment["FSMFLOW_MACHINES"] = "tests.attacks.killed.expedition"
    fsmflow.configure(
        database_url=any_place.environment["FSMFLOW_DATABASE_URL"],
        redis_url=any_place.environment["FSMFLOW_REDIS_URL"],
        machines=["tests.attacks.killed.expedition"],
    )
    return any_place


def test_nothing_is_lost_and_nothing_committed_runs_twice_wherever_a_worker_dies(mountains: World) -> None:
    # Once is enough for what takes as long as a lease.
    is_sqlite = mountains.environment["FSMFLOW_DATABASE_URL"].startswith("sqlite")
    doomed = supervisor_that_dies_at(mountains, "renew.before~2") if is_sqlite else None
    mountains.supervisor(processes=2)
    every = 1 if WHOLE else 2 if is_sqlite else 4
    found = [Expedition.start(f"{point}~{time}") for point, times in PLANS.items() for time in times[::every]]
    for expedition in found:
        expedition.wait(["failed_from_scouting", "undone"], timeout=120)
        assert (expedition.state, expedition.progress.failed) == ("failed_from_scouting", 1), expedition.entity_id  # type: ignore[union-attr]
    assert doomed is None or doomed.ended() == -signal.SIGKILL
    mountains.open("mended")
    for expedition in found:
        expedition.retry()
    for expedition in found:
        expedition.wait("undone", timeout=120)
    for expedition in found:
        check(mountains, expedition)
    passed = {
        path.name.removeprefix("hits-expedition:"): path.stat().st_size for path in mountains.folder.glob("hits-*")
    }
    alive = [one.entity_id for one in found if passed.get(one.entity_id, 0) < int(one.entity_id.rpartition("~")[2])]
    assert not alive, "these never came to where they were to die"


def supervisor_that_dies_at(world: World, point: str) -> Supervisor:
    """A supervisor that is killed as it passes a point, and whose worker processes end with it."""
    others = world.environment
    world.environment = {**others, "SUPERVISOR_DIES_AT": point}
    try:
        return world.supervisor(processes=1)
    finally:
        world.environment = others


def check(world: World, expedition: Expedition) -> None:
    """Each step led on once; each run of a job is one that ended, or that crashed."""
    history = expedition.history
    assert [entry.seq for entry in history] == list(range(1, len(history) + 1))
    entered = Counter(entry.epoch for entry in history if entry.kind == "transition")
    assert max(entered.values()) == 1
    led = Counter((entry.source, entry.dest) for entry in history if entry.trigger in ("done", "undone"))
    assert set(led.values()) == {1}
    assert set(led) == {
        ("packing", "scouting"),
        ("scouting", "camping"),
        ("camping", "writing"),
        ("writing", "posting"),
        ("undoing_scouting", "undoing_packing"),
        ("undoing_packing", "undone"),
    }
    assert sorted(expedition.data["told"]) == [0, 1, 2, 3]
    assert expedition.data["letters"] == 1
    for address, entity in family(expedition).items():
        runs = Counter(effect.state for effect in world.effects(address))
        ended = Counter(entry.source for entry in entity.history if entry.trigger in ("done", "fail", "undone"))
        crashed = Counter(entry.dest for entry in entity.history if entry.kind == "crashed")
        for state, count in runs.items():
            assert ended[state] <= count <= ended[state] + crashed[state], (address, state)


def family(expedition: Expedition) -> dict[str, fsmflow.Machine]:
    """The expedition, its branches, and its children, by address."""
    store = current().store
    rows = store.link.query(
        f"SELECT machine, entity_id FROM {ENTITY} WHERE entity_id LIKE {store.link.mark}",
        (f"%{expedition.entity_id}%",),
    )
    kinds: dict[str, type[fsmflow.Machine]] = {"expedition": Expedition, "camp": Camp}
    found = {f"{machine}:{id_}": kinds[machine].get(id_) for machine, id_ in rows}
    return {address: one for address, one in found.items() if expedition.entity_id in address.split("/")[0]}
