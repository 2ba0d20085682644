"""Limits of how many begin in a minute, on hosts whose clocks differ, and whose processes are stopped at times."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator

import pytest

from fsmflow import points
from fsmflow.running.claim import claim_attempt
from fsmflow.running.permits import call_due
from tests.support.bench import Bench, FixedClock, bench_on
from tests.support.payments import Payment, fail, sent, violations
from tests.support.servers import WHOLE

#: Of ``mail-{customer}``.
PER_MINUTE = 3
#: How far the clocks of three hosts are off, in milliseconds.
HOSTS = (-30_000, 0, 30_000)
COUNT = 60 if WHOLE else 15


class HostClock(FixedClock):
    """The clock of the host that acts just now; what the database says is right."""

    off_ms = 0

    def now(self) -> int:
        return self.ms + self.off_ms


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=database_url, machines=(Payment,)) as bench:
        bench.clock = HostClock(bench.clock.ms)
        bench.runtime.store.clock = bench.clock  # type: ignore[assignment]
        yield bench


def most_in_a_minute(begun: list[int]) -> int:
    return max(sum(at <= other < at + 60_000 for other in begun) for at in begun)


def test_no_minute_has_more_than_may_though_the_clocks_of_hosts_differ(bench: Bench) -> None:
    sent("write", *(str(number) for number in range(COUNT)), customer="a")
    dice, begun = random.Random(7), list[int]()
    for _ in range(200 * COUNT):
        bench.clock.off_ms = dice.choice(HOSTS)  # type: ignore[attr-defined]
        call_due(bench.runtime)
        if bench.queued():
            attempt = claim_attempt(bench.runtime, bench.take(), os.urandom(12).hex())
            if attempt is not None:
                begun.append(bench.clock.ms)
                fail(bench, attempt)
        else:
            bench.clock.ms += dice.choice([300, 1_000, 4_000])
        if len(begun) == COUNT:
            break
    assert most_in_a_minute(begun) == PER_MINUTE
    assert len(begun) == COUNT, "nobody waits for ever"
    assert begun[-1] - begun[0] < (COUNT / PER_MINUTE) * 70_000, "and who may begin does"
    assert not violations(bench)


def test_who_is_stopped_before_it_asks_is_counted_as_late_as_it_asks(bench: Bench) -> None:
    sent("write", *"abcdef", customer="a")
    asks, goes_on, begun = threading.Event(), threading.Event(), list[int]()

    def stop(name: str, about: str) -> None:
        if name == "ask.before" and threading.current_thread() is stopped:
            asks.set()
            goes_on.wait(30)

    def begin() -> None:
        if claim_attempt(bench.runtime, tickets.pop(), os.urandom(12).hex()) is not None:
            begun.append(bench.clock.ms)
        bench.runtime.store.link.forget_connection()

    tickets = [bench.take() for _ in range(6)]
    stopped = threading.Thread(target=begin)
    points.listen(stop)
    try:
        stopped.start()
        asks.wait(30)
        bench.clock.ms += 40_000
        goes_on.set()
        stopped.join()
        bench.clock.ms += 30_000
        while tickets:
            begin()
    finally:
        points.listen(None)
    assert len(begun) == PER_MINUTE
