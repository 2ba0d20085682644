"""One transaction holds the rows of the user's program, the state, the history and the work, whichever library has it
open: all of it is there, or nothing; no job begins before its commit, and none is lost after it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from fsmflow import EntityExists, joining
from tests.support.bench import Bench, bench_on
from tests.support.django_shops import AmbientDjangoShop, DjangoShop
from tests.support.shops import SHOPS, Purchase, Shop, killed, place


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=database_url, machines=(Purchase,)) as bench:
        yield bench


@pytest.fixture
def shops(bench: Bench, database_url: str) -> Iterator[list[Shop]]:
    """The program by each library, on one database: that takes as long to make as all else here."""
    shops = [shop(database_url) for shop in (*SHOPS.values(), DjangoShop, AmbientDjangoShop)]
    shops[0].open()
    yield shops
    for shop in shops:
        shop.close()


def entities() -> dict[int, str]:
    """Every entity with its state, as a connection of fsmflow's own finds them; history is whole, and work where it
    should be."""
    found: dict[int, str] = {}
    for purchase in Purchase.find():
        found[int(purchase.entity_id)] = purchase.state
        assert len(purchase.history) == 1 + ["new", "charging", "charged"].index(purchase.state)
        assert purchase.phase == {"new": "waiting", "charging": "working", "charged": "finished"}[purchase.state]
    return found


def test_either_all_of_it_is_there_or_nothing_and_jobs_follow_the_commit(bench: Bench, shops: list[Shop]) -> None:
    def fails_in_the_end(within: Any) -> None:
        place(within, shop, 1)
        raise LookupError("something else went wrong")

    def goes_well(within: Any) -> None:
        place(within, shop, first)
        assert bench.queued() == []

    def is_refused_a_start(within: Any) -> None:
        with pytest.raises(EntityExists):
            Purchase.start(first, within=within)
        shop.run(within, f"INSERT INTO shop_row (id) VALUES ({first + 1})")

    for number, shop in enumerate(shops, 1):
        first, rows, there = 10 * number, shop.rows(), entities()
        with pytest.raises(LookupError):
            shop.transact(fails_in_the_end)
        assert (shop.rows(), entities(), bench.queued()) == (rows, there, []), shop.library
        shop.transact(goes_well)
        there |= {first: "charging"}
        assert (shop.rows(), entities(), len(bench.queued())) == ([*rows, first], there, 1), shop.library
        shop.transact(is_refused_a_start)
        assert shop.rows() == [*rows, first, first + 1], shop.library
        bench.run()
        assert entities() == there | {first: "charged"}, shop.library


def test_a_savepoint_that_is_rolled_back_takes_its_part_and_its_doorbell_along(bench: Bench, shops: list[Shop]) -> None:
    def takes_a_part_back(within: Any) -> None:
        place(within, shop, first)
        with contextlib.suppress(LookupError), shop.nested(within):
            place(within, shop, 2)
            raise LookupError
        with shop.nested(within):
            Purchase.start(first + 1, within=within)
        with contextlib.suppress(LookupError), shop.nested(within), joining(within):
            Purchase.get(first + 1).trigger("submit")
            Purchase.start_many([(3, {})])
            raise LookupError

    for number, shop in enumerate(shops, 1):
        first, rows, there = 10 * number, shop.rows(), entities()
        shop.transact(takes_a_part_back)
        there |= {first: "charging", first + 1: "new"}
        assert (shop.rows(), entities(), len(bench.queued())) == ([*rows, first], there, 1), shop.library
        bench.run()


def test_an_error_at_commit_and_a_connection_that_is_lost_leave_nothing(bench: Bench, shops: list[Shop]) -> None:
    def is_refused_at_commit(within: Any) -> None:
        place(within, shop, 1)
        if shop.kind == "mysql":
            shop.cut(within)  # it has no rule that strikes at COMMIT
        else:
            shop.run(within, "INSERT INTO shop_line (shop_row) VALUES (99)")

    def loses_its_connection(within: Any) -> None:
        place(within, shop, 2)
        shop.cut(within)
        with contextlib.suppress(Exception):  # it is not told, and goes on
            Purchase.start(3, within=within)
        shop.run(within, "INSERT INTO shop_row (id) VALUES (4)")

    for number, shop in enumerate(shops, 1):
        there = entities()
        for action in [is_refused_at_commit] + [loses_its_connection] * (shop.kind != "sqlite"):
            with pytest.raises(Exception):  # noqa: B017, PT011 - each library has one of its own
                shop.transact(action)
            assert (shop.rows(), entities(), bench.queued()) == (sorted(there), there, []), shop.library
        shop.transact(lambda within: place(within, shop, 10 * number))  # noqa: B023 - it is called here
        assert len(bench.queued()) == 1, shop.library
        bench.run()


def test_who_is_killed_before_the_commit_leaves_nothing_and_after_it_loses_nothing(
    bench: Bench, shops: list[Shop]
) -> None:
    def is_killed_before_the_commit() -> None:
        def action(within: Any) -> None:
            place(within, shop, 1)
            os.kill(os.getpid(), signal.SIGKILL)

        shop.again().transact(action)

    def is_killed_after_it() -> None:
        shop.again().transact(lambda within: place(within, shop, first))

    for number, shop in enumerate(shops, 1):
        first, there = 10 * number, entities()
        killed(is_killed_before_the_commit)
        assert (shop.rows(), entities(), bench.queued()) == (sorted(there), there, []), shop.library
        killed(is_killed_after_it, point="ring.before")
        there |= {first: "charging"}
        assert (shop.rows(), entities(), bench.queued()) == (sorted(there), there, []), shop.library
        bench.advance(60)
        bench.run()
        assert Purchase.get(first).state == "charged", shop.library
