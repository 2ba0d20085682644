"""What an attack on the maintenance and on the running of jobs has found, each as a test."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fsmflow.clock import Clock, local_now
from fsmflow.engine import followup
from fsmflow.engine.runtime import collecting
from fsmflow.errors import DatabaseUnavailable
from fsmflow.running.executor import Executor
from fsmflow.running.maintenance import sweep
from fsmflow.running.maintenance.sweep import Maintenance
from fsmflow.running.slot import IDLE, RUNNING, Doing, Slot
from tests.support.bench import Bench, bench_on
from tests.support.machines import Order, play


@pytest.fixture
def bench(tmp_path: Any, redis_url: str) -> Iterator[Bench]:
    """A bench on SQLite: none of this depends on the kind of database."""
    with bench_on(redis_url, database_url=f"sqlite:///{tmp_path}/fsmflow.db") as made:
        yield made


def test_threads_that_ask_for_the_time_at_once_all_wait_for_the_first_measurement() -> None:
    measuring, answer = threading.Event(), threading.Event()

    def measure() -> int:
        measuring.set()
        answer.wait(10)
        return local_now()

    clock = Clock(measure)
    told: list[int] = []
    threads = [threading.Thread(target=lambda: told.append(clock.now())) for _ in range(2)]
    threads[0].start()
    assert measuring.wait(10)
    threads[1].start()
    answer.set()
    for thread in threads:
        thread.join(10)
    assert all(abs(moment - local_now()) < 60_000 for moment in told)


def test_a_clock_that_cannot_be_measured_again_goes_on_with_what_it_knew(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([local_now()])

    def measure() -> int:
        for answer in answers:
            return answer
        raise DatabaseUnavailable("it is away")

    clock = Clock(measure)
    clock.now()
    monkeypatch.setattr("fsmflow.clock._REMEASURE_S", -1.0)
    assert abs(clock.now() - local_now()) < 60_000


def test_a_lease_that_was_renewed_since_it_was_found_expired_is_no_crash(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = claimed_order(bench)
    bench.clock.ms += 60_000
    work = bench.runtime.store.work
    monkeypatch.setattr(
        work, "due", lambda *args, **kwargs: renewed_after(bench, type(work).due(work, *args, **kwargs))
    )
    bench.sweep()
    assert [entry.kind for entry in order.history] == ["start", "transition"]


def test_no_lease_expires_before_the_database_has_answered_for_a_while(bench: Bench) -> None:
    order = claimed_order(bench)
    bench.clock.ms += 60_000
    assert Maintenance(bench.runtime, ("default",)).sweep() == 1
    assert [entry.kind for entry in order.history] == ["start", "transition"]


def test_rows_that_nobody_can_handle_do_not_keep_others_from_being_handled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "PAGE", 3)
    for number in range(4):
        Order.start(f"stale-{number}", cooling=1).trigger("cool")
    cooling = Order._definition.states["cooling"]
    monkeypatch.setitem(Order._definition.states, "cooling", dataclasses.replace(cooling, timer=None))
    order = Order.start("1", amount=5_000)
    order.submit()
    bench.step()
    bench.clock.ms += 3_600_000
    bench.sweep()
    assert order.refresh().state == "rejected"


def test_a_guard_that_wants_to_end_the_process_ends_no_sweep(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (Order.start(str(number), cooling=number) for number in (1, 2))
    for order in (first, second):
        order.trigger("cool")
    attempt = followup.attempt

    def decide(runtime: Any, instance: Any, happening: Any) -> Any:
        if instance.snapshot.entity_id == "1":
            raise SystemExit(3)
        return attempt(runtime, instance, happening)

    monkeypatch.setattr(followup, "attempt", decide)
    bench.advance(60)
    assert (first.refresh().state, second.refresh().state) == ("cooling", "approval")


def test_timers_fire_while_redis_is_down_however_many_jobs_wait_for_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Order.start("late", amount=5_000)
    order.submit()
    bench.step()
    for number in range(4):
        Order.start(str(number)).submit()
    monkeypatch.setattr(sweep, "PAGE", 2)
    monkeypatch.setattr(bench.runtime.doorbell, "has_marker", lambda: (_ for _ in ()).throw(ConnectionError("down")))
    bench.clock.ms += 3_600_000
    bench.sweep()
    assert order.refresh().state == "rejected"


@pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit(1), BaseException("odd"), KeyboardInterrupt()])
def test_whatever_a_job_raises_is_recorded_and_the_worker_lives(bench: Bench, error: BaseException) -> None:
    def act(machine: Any) -> None:
        raise error

    play["checking"] = act
    order = Order.start("1")
    order.trigger("check")
    bench.step()
    assert order.refresh().state == "failed_from_checking"
    assert order.failure is not None
    assert order.failure.error_type == type(error).__name__


def test_a_heartbeat_near_the_limit_does_not_shorten_the_lease(bench: Bench) -> None:
    seen: list[int] = []

    def refresh_work(machine: Any) -> Any:
        return bench.runtime.store.entities.load_row(machine._view.snapshot.row).work  # type: ignore[union-attr]

    play["shipping"] = lambda machine: (machine.heartbeat(0.5), seen.append(refresh_work(machine).lease_until))[1]
    order = Order.start("1", amount=5)
    order.submit()
    bench.step()
    bench.step("slow")
    assert seen == [bench.clock.ms + 15_000]


def test_save_is_refused_inside_a_transaction_of_the_jobs_own(bench: Bench) -> None:
    def act(machine: Any) -> None:
        machine.data["saved"] = True
        with bench.runtime.store.link.db.atomic():
            machine.save()

    play["checking"] = act
    order = Order.start("1")
    order.trigger("check")
    bench.step()
    assert order.refresh().failure is not None
    assert "transaction of the job's own" in order.failure.message  # type: ignore[union-attr]


def test_a_ring_of_another_thread_is_not_collected(bench: Bench) -> None:
    with collecting() as rings:
        thread = threading.Thread(target=lambda: Order.start("1").submit())
        thread.start()
        thread.join()
        bench.runtime.store.link.forget_connection()
    assert rings == []
    assert len(bench.queued()) == 1


def test_a_doorbell_that_redis_did_not_take_is_tried_again_soon(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    order = Order.start("1")
    order.submit()
    bench.take()
    with monkeypatch.context() as patched:
        patched.setattr(bench.runtime.doorbell, "ring", lambda rings, insist=False: False)
        bench.advance(5.1)
    bench.advance(2.1)
    assert [ticket.row for ticket in bench.queued()] == [order._view.snapshot.row]


def test_a_slot_is_read_whole_or_not_at_all() -> None:
    slot = Slot.create()
    busy = Doing(state=RUNNING, row=7, owner="a" * 24, deadline=1.0, address="order:päckchen")
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            slot.write(busy)
            slot.write(Doing(state=IDLE))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        ends = time.monotonic() + 1.0
        seen = set()
        while time.monotonic() < ends:
            seen.add(slot.read())
    finally:
        over.set()
        writer.join()
        slot.close()
    assert seen <= {None, busy, Doing(state=IDLE), Doing(state=0, deadline=0.0)}


def test_an_address_of_any_length_is_told_as_far_as_there_is_place_for_it() -> None:
    slot = Slot.create()
    for address in ("order:1", "order:" + "ü" * 300):
        slot.write(Doing(state=RUNNING, row=7, owner="a" * 24, address=address))
        doing = slot.read()
        assert doing is not None
        assert address.startswith(doing.address)
        assert len(doing.address.encode()) >= min(len(address.encode()), 250)
    slot.close()


def claimed_order(bench: Bench) -> Order:
    """An order whose job has been claimed by somebody who does not get on."""
    order = Order.start("1")
    order.submit()
    claimed = bench.runtime.store.work.claim(bench.take(), "somebody", lease_until=bench.clock.ms + 15_000)
    assert claimed is not None
    return order


def renewed_after(bench: Bench, due: list[Any]) -> list[Any]:
    """What is due, renewed by its owner right after it was found."""
    bench.runtime.store.work.renew([(item.row, "somebody") for item in due], lease_until=bench.clock.ms + 15_000)
    return due


def test_an_executor_tells_that_it_is_idle_only_when_it_has_ended_the_attempt(bench: Bench) -> None:
    told: list[int] = []
    addresses: set[str] = set()

    class Listener:
        def write(self, doing: Doing) -> None:
            told.append(doing.state)
            addresses.add(doing.address)

    order = Order.start("1")
    order.trigger("check")
    Executor(bench.runtime, Listener()).execute(bench.take())  # type: ignore[arg-type]
    assert (told[0], told[-1]) == (RUNNING, IDLE)
    assert addresses == {"", "order:1"}, "that of its entity, as soon as it is known"
    assert order.refresh().state == "shipped"
