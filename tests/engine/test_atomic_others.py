"""Transactions of the caller's beside those of others: what they see of each other, and those of jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import peewee
import pytest

from fsmflow import EntityExists, FsmflowError
from fsmflow.errors import DatabaseUnavailable
from fsmflow.store.link import Link, open_database
from tests.support.bench import Bench, bench_on
from tests.support.concurrency import kill_others
from tests.support.machines import Order, play
from tests.support.servers import on_servers
from tests.support.users import Row, elsewhere, texts


@pytest.fixture
def bench(db: peewee.Database, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database=db) as bench:
        yield bench


def others_write(bench: Bench, db: peewee.Database, write: Callable[[], object]) -> None:
    """Somebody else commits while our caller's transaction has begun and read."""
    assert texts() == []
    if not isinstance(db, peewee.SqliteDatabase):
        elsewhere(bench, write)


def test_a_trigger_decides_on_what_others_committed_since_the_transaction_began(
    bench: Bench, db: peewee.Database
) -> None:
    if isinstance(db, peewee.SqliteDatabase):
        db._lock_type = "IMMEDIATE"  # type: ignore[attr-defined]  # which the stubs leave out
    order = Order.start("1")
    with db.atomic():
        others_write(bench, db, lambda: Order.get("1").trigger("note", key="theirs", text="theirs"))
        order.note(text="mine")
        others = [] if isinstance(db, peewee.SqliteDatabase) else ["theirs"]
        assert order.data == {"notes": [*others, "mine"]}
        if others:
            assert order.trigger("note", key="theirs", text="again").payload == {"text": "theirs"}
    assert order.refresh().data == {"notes": [*others, "mine"]}
    assert [entry.seq for entry in order.history] == list(range(1, len(others) + 3))


@on_servers
def test_an_entity_that_others_started_since_the_transaction_began_exists(bench: Bench, db: peewee.Database) -> None:
    with db.atomic():
        others_write(bench, db, lambda: Order.start("1", amount=1, key="theirs").submit())
        with pytest.raises(EntityExists, match="in 'charging'"):
            Order.start("1", amount=2)
        assert Order.start("1", amount=2, if_exists="return").data == {"amount": 1}
        assert Order.start("1", amount=2, key="theirs").state == "charging"
        Row.create(text="after")
    assert texts() == ["after"]


def test_two_callers_that_lock_one_entity_take_turns(bench: Bench, db: peewee.Database) -> None:
    if isinstance(db, peewee.SqliteDatabase):
        db._lock_type = "IMMEDIATE"  # type: ignore[attr-defined]  # which the stubs leave out
    Order.start("1")
    start = threading.Barrier(4)

    def act(number: int) -> None:
        start.wait(60)
        for turn in range(10):
            with db.atomic():
                Order.get("1").note(text=f"{number}-{turn}")
                Row.create(text=f"{number}-{turn}")
        bench.runtime.store.link.forget_connection()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(4)))
    order = Order.get("1")
    assert sorted(order.data["notes"]) == sorted(texts()) == sorted(f"{a}-{b}" for a in range(4) for b in range(10))
    assert [entry.seq for entry in order.history] == list(range(1, 42))


def test_a_job_may_use_the_same_database_and_saves_outside_of_its_own_transactions(
    bench: Bench, db: peewee.Database
) -> None:
    order = Order.start("1")
    order.submit()

    def act(machine: Any) -> dict[str, int]:
        with db.atomic():
            Row.create(text="of the job")
            machine.heartbeat(progress=0.5)
            with pytest.raises(FsmflowError, match="inside a transaction of the job's own"):
                machine.save()
        machine.data["saved"] = 1
        machine.save()
        return {"paid": 1}

    play["charging"] = act
    bench.step()
    assert (order.refresh().state, order.data) == ("shipping", {"saved": 1, "paid": 1})
    assert texts() == ["of the job"]


BEGINS: dict[str, Callable[[peewee.Database], object]] = {
    "begin": lambda db: db.begin(),
    "atomic": lambda db: db.atomic().__enter__(),
    "sql": lambda db: db.execute_sql("BEGIN"),
}


@pytest.mark.parametrize("begin", BEGINS)
def test_a_transaction_that_a_job_leaves_open_is_rolled_back_before_its_result_is_committed(
    bench: Bench, db: peewee.Database, begin: str
) -> None:
    order = Order.start("1")
    order.submit()

    def act(machine: Any) -> None:
        BEGINS[begin](db)
        Row.create(text="never committed")
        if begin == "atomic":
            Order.start("2").submit()

    play["charging"] = act
    bench.step()
    assert order.refresh().state == "shipping"
    assert texts() == []
    assert Order.counts() == {"shipping": 1}
    assert bench.queued() == []


@on_servers
@pytest.mark.parametrize("begin", BEGINS)
def test_a_job_whose_connection_is_lost_in_its_own_transaction_can_still_return(
    bench: Bench, db: peewee.Database, begin: str, database_url: str
) -> None:
    order = Order.start("1")
    order.submit()
    other = Link(open_database(database_url), own=True)

    def act(machine: Any) -> None:
        BEGINS[begin](db)
        kill_others(other)
        with pytest.raises(peewee.OperationalError):
            Row.create(text="lost")

    play["charging"] = act
    bench.step()
    other.forget_connection()
    assert order.refresh().state == "shipping"


@pytest.mark.parametrize("database_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
def test_a_heartbeat_in_the_callers_transaction_does_not_make_its_commit_less_durable(
    bench: Bench, db: peewee.Database
) -> None:
    Order.start("1").submit()
    seen: list[Any] = []

    def act(machine: Any) -> None:
        with db.atomic():
            machine.heartbeat(progress=0.5)
            seen.append(db.execute_sql("SHOW synchronous_commit").fetchone())

    play["charging"] = act
    bench.step()
    assert seen == [("on",)]


def test_a_database_that_is_lost_inside_the_transaction_is_reported_and_the_next_use_works(
    bench: Bench, db: peewee.Database
) -> None:
    order = Order.start("1")

    def lost(*arguments: Any) -> Any:
        raise peewee.OperationalError("server closed the connection unexpectedly")

    with (
        pytest.raises(DatabaseUnavailable, match="nothing was changed"),
        db.atomic(),
        patch.object(bench.runtime.store.link, "execute", lost),
    ):
        order.submit()
    assert order.refresh().state == "pending"
    order.submit()
    assert len(bench.queued()) == 1
