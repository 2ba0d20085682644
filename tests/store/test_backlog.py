"""The backlog is counted as it stands: by queue what waits for a worker, and since when; what runs, waits and rests."""

from __future__ import annotations

import pytest

from fsmflow import RetryAfter
from fsmflow.store import backlog as counting
from fsmflow.store.backlog import DUE, HELD, RUNNING, TIMER, TIMER_DUE, WAITING, Backlog, Running
from tests.support.bench import Bench
from tests.support.machines import Counter, Order, play


def later(machine: object) -> None:
    raise RetryAfter(300)


def test_work_is_counted_by_how_it_stands(bench: Bench) -> None:
    store, began = bench.runtime.store, bench.clock.now()
    backlog = Backlog(store.link)
    assert backlog.look(began) == ([], False)
    Order.start("late").cool()
    Order.start("shut").cool()
    Order.get("shut").pause()
    play["busy"] = later
    Counter.start("puts off").work()
    bench.step()
    Order.start("rung").submit()
    bench.clock.ms += 90_000
    Order.start("soon").cool()
    for number in range(3):
        Counter.start(number).work()
    bench.take()  # that of "rung"
    ticket = bench.take()
    now = bench.clock.now()
    assert store.work.claim(ticket, "somebody", lease_until=now + 15_000) is not None
    heaps, is_cut = backlog.look(now)
    assert not is_cut
    assert {(heap.standing, heap.queue): (heap.count, heap.since) for heap in heaps} == {
        (DUE, "default"): (3, began),
        (RUNNING, "default"): (1, now),
        (WAITING, "default"): (1, began + 300_000),
        (TIMER, None): (1, now + 60_000),
        (TIMER_DUE, None): (1, began + 60_000),
        (HELD, None): (1, None),
    }
    assert backlog.running(now) == [Running(machine="counter", state="busy", queue="default", count=1)]


def test_of_more_than_is_read_it_is_told_that_there_is_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST", 3)
    backlog = Backlog(bench.runtime.store.link)
    for number in range(4):
        Counter.start(number).work()
    heaps, is_cut = backlog.look(bench.clock.now())
    assert (is_cut, [heap.count for heap in heaps]) == (True, [3])
