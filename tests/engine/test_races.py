"""Several real processes at once: each transition happens once, nothing is lost, and history has no gaps."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter as Tally
from functools import partial
from typing import Any

import pytest

import fsmflow
from fsmflow import EntityExists, HistoryEntry, Machine, TransitionConflict, TransitionNotAllowed
from fsmflow.decision.work import GRACE_MS
from fsmflow.engine import runtime as runtime_of
from fsmflow.running.executor import Executor
from fsmflow.running.maintenance.sweep import Maintenance
from fsmflow.store.tables import ENTITY, WORK
from fsmflow.store.work import Ticket
from tests.support.bench import Bench
from tests.support.concurrency import forks, in_processes
from tests.support.eventually import eventually
from tests.support.machines import Counter, Order, play
from tests.support.servers import Valkey

GRACE_S = GRACE_MS / 1000


def urls(bench: Bench) -> tuple[str, str]:
    chosen = bench.runtime.settings
    assert chosen.database_url is not None
    assert chosen.redis_url is not None
    return chosen.database_url, chosen.redis_url


def configured(database_url: str, redis_url: str) -> None:
    fsmflow.configure(database_url=database_url, redis_url=redis_url, machines=[Order, Counter])


def insisting(machine: Machine, trigger: str, **asked: Any) -> HistoryEntry:
    """Fire a trigger as callers do who repeat what lost a race."""
    while True:
        try:
            return machine.trigger(trigger, **asked)
        except TransitionConflict:
            continue


def check_history(machine: Machine) -> None:
    """Invariant 1: one row per number, no gaps; its fold is what stands there; an epoch is entered once."""
    history = machine.refresh().history
    assert [entry.seq for entry in history] == list(range(1, len(history) + 1))
    state, epoch, paused = None, 0, False
    for entry in history:
        assert entry.kind == "start" or entry.source == state
        if entry.kind in ("start", "transition"):
            assert entry.epoch == epoch + 1
        else:
            assert (entry.dest, entry.epoch) == (state, epoch)
        paused = {"paused": True, "resumed": False}.get(entry.kind, paused)
        state, epoch = entry.dest, entry.epoch
    assert (machine.state, machine.epoch, machine.paused) == (state, epoch, paused)


def test_of_two_processes_that_fire_at_one_entity_at_once_one_moves_it(bench: Bench) -> None:
    for number in range(30):
        Order.start(number)
    results = in_processes(2, fire_at_all, *urls(bench))
    for number in range(30):
        assert sorted(result[number] for result in results) == ["moved", "refused"]
        order = Order.get(number)
        check_history(order)
        assert len(order.history) == 2
    assert Tally(Order.counts()) == Tally(charging=results[0].count("moved"), cooling=results[1].count("moved"))


def fire_at_all(number: int, *urls: str) -> list[str]:
    configured(*urls)
    return [fire_one(str(entity), ("submit", "cool")[number]) for entity in range(30)]


def fire_one(entity_id: str, trigger: str) -> str:
    try:
        Order.get(entity_id).trigger(trigger)
    except TransitionNotAllowed:
        return "refused"
    return "moved"


def test_eight_processes_that_count_on_one_entity_lose_nothing(bench: Bench) -> None:
    counter = Counter.start("1")
    entries = in_processes(8, count_fifty, *urls(bench))
    assert counter.refresh().data == {"n": 400}
    check_history(counter)
    assert sorted(seq for found in entries for seq in found) == list(range(2, 402))
    assert counter.epoch == 1


def count_fifty(number: int, *urls: str) -> list[int]:
    configured(*urls)
    counter = Counter.get("1")
    return [insisting(counter, "add").seq for _ in range(50)]


def test_eight_processes_that_start_the_same_ids_start_each_once(bench: Bench) -> None:
    results = in_processes(8, start_ten, *urls(bench))
    for entity in range(10):
        assert sorted(result[entity] for result in results) == ["exists"] * 7 + ["started"]
        order = Order.get(entity)
        check_history(order)
        assert results[order.data["by"]][entity] == "started"


def start_ten(number: int, *urls: str) -> list[str]:
    configured(*urls)
    return [start_one(entity, number) for entity in range(10)]


def start_one(entity: int, number: int) -> str:
    try:
        Order.start(entity, by=number)
    except EntityExists:
        return "exists"
    return "started"


def test_one_key_from_eight_processes_is_applied_once_and_all_get_the_same_entry(bench: Bench) -> None:
    results = in_processes(8, deliver_twenty, *urls(bench))
    assert all(result == results[0] for result in results)
    counter = Counter.get("1")
    assert counter.data == {"by": "all the same", "n": 20}
    check_history(counter)
    assert [(entry.kind, entry.key) for entry in counter.history] == [
        ("start", "webhook"),
        *(("internal", f"event {event}") for event in range(20)),
    ]


def deliver_twenty(number: int, *urls: str) -> list[HistoryEntry]:
    configured(*urls)
    counter = Counter.start("1", key="webhook", by="all the same")
    return [insisting(counter, "add", key=f"event {event}", payload=1) for event in range(20)]


def test_one_doorbell_that_eight_processes_answer_is_run_once(bench: Bench) -> None:
    for number in range(5):
        Counter.start(number).work()
    tickets = [bench.take() for _ in range(5)]
    ran = in_processes(8, answer, *urls(bench), tickets)
    assert Tally(entity for found in ran for entity in found) == Tally("01234")
    for number in range(5):
        check_history(Counter.get(number))
        assert Counter.get(number).state == "over"


def answer(number: int, database_url: str, redis_url: str, tickets: list[Ticket]) -> list[str]:
    configured(database_url, redis_url)
    ran: list[str] = []
    play["busy"] = lambda machine: ran.append(machine.entity_id)
    for ticket in tickets:
        Executor(runtime_of.current()).execute(ticket)
    return ran


def test_a_storm_of_people_workers_and_sweepers_breaks_no_invariant(bench: Bench) -> None:
    for number in range(4):
        Counter.start(number)
    runs = in_processes(8, weather, *urls(bench))
    for number in range(4):
        counter = Counter.get(number)
        check_history(counter)
        added = [entry for entry in counter.history if entry.kind == "internal"]
        assert counter.data.get("n", 0) == len(added)
    settled = [
        (entry.epoch, entry.attempt, counter.entity_id)
        for counter in Counter.find()
        for entry in counter.history
        if entry.kind in ("transition", "attempt_failed", "crashed") and entry.attempt is not None
    ]
    assert len(settled) == len(set(settled)), "an attempt ends once"
    assert len(settled) <= sum(runs)
    link = bench.runtime.store.link
    working = link.rows(f"SELECT COUNT(*) FROM {ENTITY} WHERE phase = 'working'")
    assert working == link.rows(f"SELECT COUNT(*) FROM {WORK}")
    held = link.rows(
        f"SELECT COUNT(*) FROM {WORK} w JOIN {ENTITY} e ON e.id = w.entity WHERE e.paused = 1 AND held IS NULL"
    )
    assert held == [(0,)]


PEOPLE = ("work", "add", "add", "pause", "resume", "close", "reopen", "retry")


def weather(number: int, *urls: str) -> int:
    """Five processes are people, two are workers, one sweeps. How many attempts it ran."""
    configured(*urls)
    chance = random.Random(number)
    runtime = runtime_of.current()
    runs: list[int] = []

    def act(machine: Any) -> dict[str, int]:
        runs.append(1)
        machine.data["run"] = machine.data.get("run", 0) + 1
        machine.save()
        raise ConnectionError("always")

    play["busy"] = act
    sweeper, executor = Maintenance(runtime, ("default",)), Executor(runtime)
    for _ in range(60):
        counter = Counter.get(chance.randrange(4))
        if number < 5:
            try:
                getattr(counter, chance.choice(PEOPLE))()
            except (TransitionNotAllowed, TransitionConflict):
                continue
        elif number < 7:
            popped: Any = runtime.doorbell.client().lpop(f"rq:queue:{runtime.doorbell.rq_queue('default')}")
            if popped:
                _, row, epoch, attempt, dispatch = popped.decode().split("-")
                ticket = Ticket(row=int(row), epoch=int(epoch), attempt=int(attempt), dispatch=int(dispatch))
                runtime.doorbell.ring(executor.execute(ticket))
        else:
            sweeper.sweep(in_turn=False)
    return len(runs)


def test_processes_that_are_killed_at_any_moment_leave_whole_commits_behind(bench: Bench) -> None:
    counter = Counter.start("1")
    context = forks()
    chance = random.Random(7)
    for _ in range(3):
        killed = [context.Process(target=count_until_killed, args=urls(bench)) for _ in range(3)]
        for process in killed:
            process.start()
        for process in killed:
            wanted = len(counter.history) + chance.randrange(3, 12)
            eventually(partial(has_counted_to, counter, wanted), what="some counting")
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
        for process in killed:
            process.join()
    check_history(counter)
    assert counter.data == {"n": len(counter.history) - 1}
    insisting(counter, "add")


def has_counted_to(counter: Counter, number: int) -> bool:
    return len(counter.history) >= number


def count_until_killed(*urls: str) -> None:
    configured(*urls)
    counter = Counter.get("1")
    while True:
        insisting(counter, "add")


def test_a_trigger_is_committed_while_redis_is_down_and_its_job_follows(bench: Bench, valkey: Valkey) -> None:
    orders = [Order.start(number) for number in range(3)]
    valkey.stop()
    for order in orders:
        assert order.submit().dest == "charging"
    assert Order.start("4").cancel().state == "cancelled"
    bench.advance(0)
    assert Order.counts() == {"charging": 3, "cancelled": 1}
    valkey.start()
    eventually(lambda: len(sweep_later(bench)) == 3, what="the doorbells")
    for _ in orders:
        bench.step()
    assert {order.refresh().state for order in orders} == {"shipping"}
    assert [len(order.history) for order in orders] == [3, 3, 3]


def sweep_later(bench: Bench) -> list[Ticket]:
    bench.advance(GRACE_S)
    return bench.queued()


def test_timers_fire_while_redis_is_down(bench: Bench, valkey: Valkey) -> None:
    for number in range(3):
        Order.start(f"job {number}").submit()
    order = Order.start("1", cooling=30)
    order.cool()
    valkey.stop()
    bench.advance(30)
    assert order.refresh().state == "approval"


@pytest.mark.parametrize("accident", ["flushed", "restarted empty"])
def test_what_redis_lost_is_rung_again_by_the_next_sweep(bench: Bench, valkey: Valkey, accident: str) -> None:
    orders = [Order.start(number) for number in range(4)]
    for order in orders:
        order.submit()
    orders[3].pause()
    running = bench.take()
    claimed = bench.runtime.store.work.claim(running, "worker", lease_until=bench.clock.now() + 15_000)
    assert claimed is not None
    bench.redis.flushall() if accident == "flushed" else valkey.restart_empty()
    eventually(lambda: bench.sweep() and bench.queued(), what="the doorbells")
    assert sorted(ticket.row for ticket in bench.queued()) == [order._view.snapshot.row for order in orders[1:3]]
    bench.sweep()
    assert len(bench.queued()) == 2
    bench.step()
    bench.step()
    assert [order.refresh().state for order in orders] == ["charging", "shipping", "shipping", "charging"]
