"""What is due is found whatever its row holds, and on PostgreSQL neither a claim nor a step moves it in an index."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from fsmflow.decision.work import FAR_FUTURE_MS, GRACE_MS, Work, WorkKind
from fsmflow.settings import Settings
from fsmflow.store.columns import WORK_COLUMNS, work_values
from fsmflow.store.demand import demand_on
from fsmflow.store.store import Store, create_store
from fsmflow.store.tables import WORK
from fsmflow.store.wakes import EXACT, ROUNDED
from tests.support.bench import Bench, bench_on
from tests.support.eventually import eventually
from tests.support.machines import Order

NOW = 1_700_000_000_000
MINUTE = 60_000
STEPS = 12


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    found = create_store(Settings(database_url=database_url))
    yield found
    found.link.forget_connection()


def some_work(luck: random.Random) -> Work:
    """A row as it may stand: asleep, held, rung for a moment or long ago, or run, since then or for hours."""
    rung_at = NOW - luck.choice((0, 40, 4_000, MINUTE, 5 * MINUTE, 60 * MINUTE))
    wake_at = NOW + luck.choice((-5, -1, 0, 1, 2)) * luck.choice((1, 700, GRACE_MS, MINUTE, 7 * MINUTE, 60 * MINUTE))
    blank = Work(epoch=1, kind=WorkKind.JOB, wake_at=wake_at, queue="default")
    how = luck.choice(("asleep", "held", "rung", "given grace", "run", "run for long", "claimed by hand"))
    if how == "held":
        return Work(epoch=1, kind=WorkKind.TIMER, wake_at=FAR_FUTURE_MS, held=9)
    if how == "asleep":
        return Work(epoch=1, kind=WorkKind.TIMER, wake_at=wake_at)
    owner = {"run": "a", "run for long": "b", "claimed by hand": "c"}.get(how)
    rung: int | None = None if how == "claimed by hand" else rung_at
    wake_at = rung_at + GRACE_MS if how == "rung" else wake_at
    lease = None if owner is None else wake_at
    return Work(**{**vars(blank), "rung_at": rung, "wake_at": wake_at, "owner": owner, "lease_until": lease})


def filled(store: Store, count: int) -> dict[int, Work]:
    luck = random.Random(count)
    rows = {number: some_work(luck) for number in range(1, count + 1)}
    for number, work in rows.items():
        values: list[Any] = [number, *work_values(work)]
        sql, params = store.link.dialect.insert_many(WORK, ("entity", *WORK_COLUMNS), [values])
        store.link.write(lambda sql=sql, params=params: store.link.execute(sql, params))  # type: ignore[misc]
    return rows


def test_what_is_due_runs_or_is_next_is_found_whatever_the_rows_hold(store: Store) -> None:
    rows = filled(store, 150)
    for moment in (NOW - MINUTE, NOW, NOW + 1, NOW + 30_000, NOW + 10 * MINUTE):
        due = {number for number, work in rows.items() if work.wake_at <= moment}
        found = store.work.due(moment, 1_000)
        assert {item.row for item in found} == due
        assert [item.work.wake_at for item in found] == sorted(item.work.wake_at for item in found)
        ahead = [work.wake_at for work in rows.values() if moment < work.wake_at < FAR_FUTURE_MS and work.owner is None]
        assert store.work.next_due_at(moment) == min(ahead, default=None)
        assert len({item.row for item in store.work.due(moment, 7)} - due) == 0
    near = {number for number, work in rows.items() if work.owner and abs(work.wake_at - NOW) <= 30_000}
    assert near
    assert near <= set(store.work.running(NOW, 1_000)) <= {number for number, work in rows.items() if work.owner}
    assert demand_on(store.link, ["default"], NOW).running == sum(
        work.owner is not None and work.wake_at <= NOW + 150_000 for work in rows.values()
    )


@pytest.mark.postgres
def test_the_moment_in_the_index_is_never_later_and_that_of_what_sleeps_is_exact(postgres_url: str) -> None:
    store = create_store(Settings(database_url=postgres_url))
    rows, wakes = filled(store, 150), store.link.dialect.wakes
    assert wakes != EXACT
    for number, key in store.link.query(f"SELECT entity, {wakes.column} FROM {WORK}"):
        work = rows[number]
        assert 0 <= work.wake_at - key < wakes.off_ms
        if work.owner is None and (work.rung_at is None or work.wake_at > work.rung_at + GRACE_MS):
            assert key == work.wake_at
    store.link.forget_connection()


@pytest.mark.postgres
def test_on_postgres_neither_a_claim_nor_a_step_writes_to_an_index_of_work(postgres_url: str, redis_url: str) -> None:
    with bench_on(redis_url, database_url=postgres_url) as bench:
        run_steps(bench)
    with psycopg.connect(postgres_url, autocommit=True) as connection:

        def told() -> Any:
            sql = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = %s"
            updates, hot = connection.execute(sql, (WORK,)).fetchone() or (0, 0)
            return (updates, hot) if updates >= STEPS else None

        updates, hot = eventually(told, what="what the server has counted")
    assert hot == updates


def run_steps(bench: Bench) -> None:
    for number in range(STEPS):
        Order.start(str(number)).submit()
    bench.run("default", "slow")


def test_the_index_knows_how_long_a_doorbell_may_take_to_be_answered() -> None:
    """Else each step that is rung for would be moved in it."""
    made = ROUNDED.make()
    assert made is not None
    assert f"wake_at <= rung_at + {GRACE_MS} OR" in made.constraints[0].sql
