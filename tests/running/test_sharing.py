"""Many supervisors at once: together they do what one would do, and no more of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from fsmflow import clock
from fsmflow.engine.runtime import Runtime
from fsmflow.running.maintenance.sweep import Maintenance
from fsmflow.running.maintenance.turn import HELD_S, PACE_S, Turn
from tests.support.bench import Bench
from tests.support.concurrency import in_threads
from tests.support.eventually import eventually
from tests.support.machines import Counter, Order

JOBS = 400
ROUNDS = 3


@contextmanager
def counted(runtime: Runtime) -> Iterator[list[str]]:
    """The statements that go to the database meanwhile."""
    link, told, lock = runtime.store.link, list[str](), threading.Lock()

    def noted(run: Any) -> Any:
        def note(sql: str, *arguments: Any, **options: Any) -> Any:
            with lock:
                told.append(sql)
            return run(sql, *arguments, **options)

        return note

    # What is several writes in one goes past peewee.
    with patch.object(link.db, "execute_sql", noted(link.db.execute_sql)), patch.object(link, "send", noted(link.send)):
        yield told


def lose_and_find(bench: Bench, count: int) -> int:
    """Redis loses all, and so many sweepers look after it. How many statements that takes."""
    bench.clock.ms += 1
    bench.redis.flushall()
    sweepers = [Maintenance(bench.runtime, ("default",)) for _ in range(count)]

    def sweep(number: int) -> int:
        return sum(sweepers[number].sweep(paced=True) for _ in range(ROUNDS))

    # Each has a connection by then, as those that have run for a while.
    with counted(bench.runtime) as told:
        seen = in_threads(count, bench.runtime.store.link, sweep)
    assert sum(seen) == JOBS
    return len(told)


def test_sixteen_supervisors_after_a_flush_do_what_one_does(bench: Bench) -> None:
    Order.start_many((number, None) for number in range(JOBS))
    for number in range(JOBS):
        Order.get(number).submit()
    one = lose_and_find(bench, 1)
    tickets = bench.queued()
    assert (len(tickets), len({ticket.row for ticket in tickets})) == (JOBS, JOBS)
    sixteen = lose_and_find(bench, 16)
    tickets = bench.queued()
    assert (len(tickets), len({ticket.row for ticket in tickets})) == (JOBS, JOBS)
    assert sixteen <= 1.1 * one


def test_what_redis_lost_is_brought_back_by_one_of_all_who_notice_and_by_another_if_that_one_dies(
    bench: Bench,
) -> None:
    doorbell = bench.runtime.doorbell
    bench.redis.flushall()
    assert in_threads(16, bench.runtime.store.link, lambda number: doorbell.has_marker()).count(False) == 1
    key = f"rq:fsmflow:{bench.runtime.store.installation}:marker"
    assert 0 < bench.redis.pttl(key) <= 10_000
    bench.redis.pexpire(key, 1)
    eventually(lambda: not doorbell.has_marker(), what="another one who is told")
    doorbell.set_marker()
    assert bench.redis.pttl(key) == -1


def test_timers_are_fired_by_the_one_whose_turn_it_is(bench: Bench) -> None:
    for number in range(50):
        Order.start(str(number), cooling=1).cool()
    bench.clock.ms += 1_000
    sweepers = [Maintenance(bench.runtime, ()) for _ in range(16)]
    with counted(bench.runtime) as told:
        seen = in_threads(16, bench.runtime.store.link, lambda number: sweepers[number].sweep(paced=True))
    assert sorted(seen) == [0] * 15 + [50]
    assert Order.counts() == {"approval": 50}
    assert sum("UPDATE fsmflow_entity" in sql.replace('"', "").replace("`", "") for sql in told) == 50


def test_whoever_waits_comes_before_the_one_who_had_the_last_turn(bench: Bench) -> None:
    first, second = (Maintenance(bench.runtime, ()) for _ in range(2))
    first.sweep(paced=True)
    second.sweep(paced=True)
    assert 0 < second.again_s < first.again_s


def test_a_turn_whose_holder_dies_is_soon_over_and_one_that_ends_is_over_at_once(bench: Bench) -> None:
    counter = Counter.start("1")
    counter.work()
    bench.take()
    bench.clock.ms += 5_000
    doorbell, sweeper = bench.runtime.doorbell, Maintenance(bench.runtime, ())
    assert doorbell.take_turn(round(HELD_S * 1000)) == 0
    assert sweeper.sweep() == 0
    eventually(sweeper.sweep, within=HELD_S + 5, what="the turn of the next one")
    assert len(bench.queued()) == 1
    assert doorbell.take_turn(1) == 0


@pytest.mark.parametrize(("silent_s", "kept"), [(0.1, False), (HELD_S / 2, True), (HELD_S, False)])
def test_a_turn_that_goes_on_is_kept_until_it_may_be_another_ones(bench: Bench, silent_s: float, kept: bool) -> None:
    key = f"rq:fsmflow:{bench.runtime.store.installation}:turn"
    turn, began = Turn(bench.runtime), clock.monotonic()
    with patch.object(clock, "monotonic", lambda: began):
        assert turn.take()
    bench.redis.pexpire(key, 60_000)
    with patch.object(clock, "monotonic", lambda: began + silent_s):
        turn.keep()
    assert (bench.redis.pttl(key) <= HELD_S * 1000) is kept


def test_a_turn_that_is_paced_leaves_others_the_rest_of_its_second(bench: Bench) -> None:
    key = f"rq:fsmflow:{bench.runtime.store.installation}:turn"
    turn = Turn(bench.runtime)
    assert turn.take()
    turn.leave(paced=True)
    assert 0 < bench.redis.pttl(key) <= PACE_S * 1000
    bench.redis.delete(key)
    assert turn.take()
    turn.leave(paced=False)
    assert not bench.redis.exists(key)


@pytest.mark.parametrize("broken", ["take_turn", "keep_turn"])
def test_a_redis_that_cannot_tell_whose_turn_it_is_keeps_nobody_from_sweeping(bench: Bench, broken: str) -> None:
    counter = Counter.start("1")
    counter.work()
    bench.take()
    bench.clock.ms += 5_000
    with patch.object(bench.runtime.doorbell, broken, side_effect=ConnectionError("down")):
        assert Maintenance(bench.runtime, ()).sweep() == 1
    assert len(bench.queued()) == 1
