"""Maintenance counts what is large, a part at a time, and keeps what it has found."""

from __future__ import annotations

import pytest

from fsmflow import clock
from fsmflow.running.maintenance import recount as counting
from fsmflow.running.maintenance.recount import Recount
from fsmflow.store import counts
from tests.support.bench import Bench
from tests.support.machines import Counter, Order


class Time:
    """Time that passes as the test says, and a little with every look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        monkeypatch.setattr(clock, "monotonic", self.look)

    def look(self) -> float:
        self.now_s += 0.02
        return self.now_s


@pytest.fixture
def time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Time:
    monkeypatch.setattr(counts, "MANY", 2)
    monkeypatch.setattr(counting, "_PART", 2)
    for number in range(5):
        Order.start(number)
    for number in range(3):
        Counter.start(number)
    return Time(monkeypatch)


def test_it_counts_a_little_in_each_sweep_and_keeps_all_of_it_in_the_end(bench: Bench, time: Time) -> None:
    recount, store = Recount(bench.runtime), bench.runtime.store
    began_at = bench.runtime.now()
    for _ in range(4):
        recount.go_on()
        time.now_s += 1
        bench.clock.ms += 1_000
        assert store.counts.summary() is None
    while store.counts.summary() is None:
        recount.go_on()
        time.now_s += 1
    summary = store.counts.summary()
    assert summary is not None
    assert (summary.at, sorted(summary.counts.values())) == (began_at, [3, 5])
    assert Order.counts() == {"pending": 5}


def test_what_somebody_else_has_just_counted_is_not_counted_again(bench: Bench, time: Time) -> None:
    one, other = Recount(bench.runtime), Recount(bench.runtime)
    while (summary := bench.runtime.store.counts.summary()) is None:
        one.go_on()
        time.now_s += 1
    Order.start("more")
    for recount in (one, other) * 20:
        recount.go_on()
        time.now_s += 1
    assert bench.runtime.store.counts.summary() == summary
    assert (Order.counts(), Order.counts(exact=True)) == ({"pending": 5}, {"pending": 6})
    bench.clock.ms += 20_000
    while bench.runtime.store.counts.summary() == summary:
        other.go_on()
        time.now_s += 1
    assert Order.counts() == {"pending": 6}
