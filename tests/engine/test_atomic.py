"""Calls inside the caller's own transaction join it: they stand or fall with it, and nothing is dispatched before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import peewee
import pytest

from fsmflow import EntityExists, EntityNotFound, TransitionConflict, TransitionNotAllowed
from fsmflow.store import tables
from tests.support.bench import Bench, bench_on
from tests.support.machines import Order, play
from tests.support.users import Row, elsewhere, texts


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


def counted(bench: Bench) -> list[int]:
    names = (tables.ENTITY, tables.WORK, tables.HISTORY, tables.EVENT)
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
