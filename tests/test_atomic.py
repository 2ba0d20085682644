"""Calls inside the caller's own transaction join it: they stand or fall with it, and nothing is dispatched before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any
from unittest.mock import patch

import peewee
import pytest

from fsmflow import EntityExists, EntityNotFound, FsmflowError, TransitionConflict, TransitionNotAllowed
from fsmflow.errors import DatabaseUnavailable
from fsmflow.store import schema
from fsmflow.store.link import open_database
from machines_for_tests import Bench, Order, bench_on, on_servers, play


class Row(peewee.Model):
    """A table of the user's own."""

    text = peewee.CharField()


@pytest.fixture
def db(database_url: str) -> Iterator[peewee.Database]:
    """The user's database object, as users make it: without what fsmflow sets on its own."""
    ours = open_database(database_url)
    if isinstance(ours, peewee.SqliteDatabase):
        db: peewee.Database = peewee.SqliteDatabase(ours.database, pragmas={"journal_mode": "wal"}, timeout=10)
    elif isinstance(ours, peewee.PostgresqlDatabase):
        db = peewee.PostgresqlDatabase(ours.database, prefer_psycopg3=True, **ours.connect_params)
    else:
        mine = {key: value for key, value in ours.connect_params.items() if key not in ("client_flag", "init_command")}
        db = peewee.MySQLDatabase(ours.database, **mine)
    with db.bind_ctx([Row]):
        db.create_tables([Row])
        yield db
        db.close()


@pytest.fixture
def bench(db: peewee.Database, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database=db) as bench:
        yield bench


class Undo(Exception):
    """The caller thinks better of it."""


@contextmanager
def rolled_back(db: peewee.Database) -> Iterator[None]:
    with suppress(Undo), db.atomic():
        yield
        raise Undo


def elsewhere(bench: Bench, action: Callable[[], Any]) -> Any:
    """What another thread, and so another connection, sees."""

    def act() -> Any:
        try:
            return action()
        finally:
            bench.runtime.store.link.forget_connection()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(act).result(60)


def texts() -> list[str]:
    return [row.text for row in Row.select().order_by(Row.id)]


def counted(bench: Bench) -> list[int]:
    names = (schema.ENTITY, schema.WORK, schema.HISTORY, schema.EVENT)
    return [bench.runtime.store.link.rows(f"SELECT COUNT(*) FROM {name}")[0][0] for name in names]


def test_what_is_committed_together_is_there_together_and_rung_only_then(bench: Bench, db: peewee.Database) -> None:
    with db.atomic():
        Row.create(text="mine")
        order = Order.start("1", key="k")
        entry = order.trigger("submit", key="k2")
        assert (order.state, entry.dest, order.refresh().state) == ("charging", "charging", "charging")
        assert bench.queued() == []
        assert elsewhere(bench, Order.counts) == {}
    assert texts() == ["mine"]
    assert elsewhere(bench, Order.counts) == {"charging": 1}
    assert len(bench.queued()) == 1
    bench.step()
    assert order.refresh().state == "shipping"


def test_what_is_rolled_back_together_was_never_there_and_is_never_rung(bench: Bench, db: peewee.Database) -> None:
    with rolled_back(db):
        Row.create(text="mine")
        Order.start("1", key="k").submit()
    assert texts() == []
    assert counted(bench) == [0, 0, 0, 0]
    assert bench.queued() == []
    with pytest.raises(EntityNotFound):
        Order.get("1")
    Order.start("1", key="k").submit()
    assert len(bench.queued()) == 1, "what was left to be told is not told after the next commit"


def test_a_transition_that_is_rolled_back_leaves_the_entity_where_it_was(bench: Bench, db: peewee.Database) -> None:
    order = Order.start("1")
    with rolled_back(db):
        order.trigger("submit", key="k")
    assert order.refresh().state == "pending"
    assert order.trigger("submit", key="k").seq == 2, "the key was not used up"
    assert counted(bench) == [1, 1, 2, 1]


@pytest.mark.parametrize("action", ["pause", "cancel", "retry", "resume"])
def test_operator_actions_join_as_well(bench: Bench, db: peewee.Database, action: str) -> None:
    order = Order.start("1")
    order.submit()
    if action == "retry":
        play["charging"] = lambda machine: 5
    bench.step() if action == "retry" else bench.take()
    before = order.refresh().history
    with rolled_back(db):
        getattr(order, action)()
    assert order.refresh().history == before
    assert bench.queued() == []
    with db.atomic():
        getattr(order, action)()
        assert bench.queued() == []
    assert len(order.history) == len(before) + (action != "resume")
    assert len(bench.queued()) == (action in ("retry", "resume"))


def test_a_savepoint_that_is_rolled_back_takes_our_call_with_it_and_nothing_else(
    bench: Bench, db: peewee.Database
) -> None:
    with db.atomic():
        Row.create(text="kept")
        kept = Order.start("kept")
        kept.submit()
        with rolled_back(db):
            Row.create(text="lost")
            Order.start("lost").submit()
            kept.trigger("reject")
        assert kept.refresh().state == "charging"
    assert texts() == ["kept"]
    assert Order.counts() == {"charging": 1}
    (ticket,) = bench.queued()
    assert (ticket.row, ticket.epoch) == (kept._view.snapshot.row, 2)


def test_an_entity_that_takes_the_place_of_one_that_was_rolled_back_is_rung_once(
    bench: Bench, db: peewee.Database
) -> None:
    with db.atomic():
        with rolled_back(db):
            Order.start("lost").submit()
        Order.start("kept").submit()
    assert len(bench.queued()) == 1


def test_a_call_in_nested_blocks_counts_once_the_outermost_has_committed(bench: Bench, db: peewee.Database) -> None:
    with db.atomic():
        with db.atomic(), db.atomic():
            Order.start("1").submit()
        assert bench.queued() == []
        assert elsewhere(bench, Order.counts) == {}
        Row.create(text="after it")
    assert len(bench.queued()) == 1
    assert texts() == ["after it"]


def test_several_calls_in_one_transaction_are_all_or_nothing_and_ring_for_what_is_left(
    bench: Bench, db: peewee.Database
) -> None:
    with db.atomic():
        for number in range(3):
            Order.start(number).submit()
        order = Order.get(0)
        order.trigger("again")
        order.note(text="internal")
        Order.get(1).cancel()
    assert sorted((ticket.row, ticket.epoch) for ticket in bench.queued()) == [
        (Order.get(0)._view.snapshot.row, 3),
        (Order.get(2)._view.snapshot.row, 2),
    ]
    assert [entry.seq for entry in order.history] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (lambda order: order.trigger("approve"), TransitionNotAllowed),
        (lambda order: order.trigger("submit", epoch=9), TransitionConflict),
        (lambda order: Order.start("1"), EntityExists),
        (lambda order: Order.get("2"), EntityNotFound),
        (lambda order: order.retry(), TransitionNotAllowed),
    ],
)
def test_a_call_that_is_refused_leaves_the_callers_transaction_usable(
    bench: Bench, db: peewee.Database, refused: Callable[[Any], Any], error: type[Exception]
) -> None:
    order = Order.start("1")
    with db.atomic():
        Row.create(text="before")
        with pytest.raises(error):
            refused(order)
        Row.create(text="after")
        order.submit()
    assert texts() == ["before", "after"]
    assert order.refresh().state == "charging"
    assert len(bench.queued()) == 1


def test_the_callers_own_error_after_our_call_passes_through_and_undoes_it(bench: Bench, db: peewee.Database) -> None:
    Row.create(id=7, text="there")
    order = Order.start("1")

    def act() -> None:
        with db.atomic():
            order.submit()
            Row.create(id=7, text="again")

    with pytest.raises(peewee.IntegrityError):
        act()
    assert order.refresh().state == "pending"
    assert bench.queued() == []


def test_starting_what_is_there_already_returns_it(bench: Bench, db: peewee.Database) -> None:
    Order.start("1", amount=1, key="k")
    with db.atomic():
        assert Order.start("1", amount=2, if_exists="return").data == {"amount": 1}
        assert Order.start("1", amount=2, key="k").data == {"amount": 1}
        Row.create(text="after")
    assert texts() == ["after"]


def test_a_repeated_key_is_found_inside_a_transaction(bench: Bench, db: peewee.Database) -> None:
    order = Order.start("1")
    with db.atomic():
        first = order.trigger("note", key="k", text="a")
        assert order.trigger("note", key="k", text="b") == first
    assert order.trigger("note", key="k", text="c") == first
    assert order.refresh().data == {"notes": ["a"]}


def others_write(bench: Bench, db: peewee.Database, write: Callable[[], object]) -> None:
    """Somebody else commits while our caller's transaction has begun and read."""
    assert texts() == []
    if not isinstance(db, peewee.SqliteDatabase):
        elsewhere(bench, write)


def test_a_trigger_decides_on_what_others_committed_since_the_transaction_began(
    bench: Bench, db: peewee.Database
) -> None:
    if isinstance(db, peewee.SqliteDatabase):
        db._lock_type = "IMMEDIATE"
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
        db._lock_type = "IMMEDIATE"
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


def test_a_transaction_that_a_job_leaves_open_is_rolled_back_before_its_result_is_committed(
    bench: Bench, db: peewee.Database
) -> None:
    order = Order.start("1")
    order.submit()

    def act(machine: Any) -> None:
        db.begin()
        Row.create(text="never committed")

    play["charging"] = act
    bench.step()
    assert order.refresh().state == "shipping"
    assert texts() == []


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
