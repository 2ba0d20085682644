"""Permits that are handed over: whoever has had one runs the first in line itself; a lost one is passed on at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import peewee
import pytest

from fsmflow import holds, points
from fsmflow.running.executor import Executor
from fsmflow.running.lanes import Lanes
from fsmflow.running.maintenance.sweep import Maintenance
from fsmflow.running.permits import call_due
from fsmflow.running.slot import Slot
from tests.support.bench import Bench, bench_on
from tests.support.payments import Payment, claimed, fail, names, sent, violations
from tests.support.traces import ran


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=database_url, machines=(Payment,)) as bench:
        yield bench


def executor(bench: Bench, told: list[int] | None = None) -> Executor:
    """A worker that may go on, and tells its supervisor of the rows that it claims."""
    made = Executor(bench.runtime, goes_on=lambda steps: True)
    if told is not None:
        made._tell = lambda doing: told.append(doing.row) if doing.row else None  # type: ignore[method-assign]
    return made


def row(bench: Bench, name: str) -> int:
    found = bench.runtime.store.entities.load("payment", name)
    assert found is not None
    return found.row


def test_a_worker_goes_on_with_the_first_in_line_without_a_doorbell(bench: Bench) -> None:
    payments, told = sent("pay", *"abcd"), list[int]()
    first, second, *_ = [claimed(bench) for _ in payments]
    bench.runtime.ring_for(executor(bench, told).run(first))
    assert ran == ["a", "c", "d"]
    assert told.index(row(bench, "c")) < told.index(row(bench, "d"))
    assert not bench.queued()
    assert names([second]) == ["b"]
    assert not violations(bench)


def test_a_worker_whose_jobs_take_long_runs_a_few_and_then_others_have_their_turn(bench: Bench) -> None:
    payments = sent("pay", *"abcdefgh")
    attempts = [claimed(bench) for _ in payments]
    with patch("fsmflow.running.executor._RUN_ON_S", 0.0):
        bench.runtime.ring_for(executor(bench).run(attempts[0]))
    assert ran == ["a", "c", "d", "e"]
    assert len(bench.queued()) == 1, "f is called"


def test_who_waits_in_another_queue_is_called_and_not_taken(bench: Bench) -> None:
    sent("pay", *"abc")
    attempts = [claimed(bench) for _ in range(3)]
    link = bench.runtime.store.link
    link.write(lambda: link.execute("UPDATE fsmflow_work SET queue = 'slow' WHERE parked IS NOT NULL"))
    bench.runtime.ring_for(executor(bench).run(attempts[0]))
    assert ran == ["a"]
    assert len(bench.queued("slow")) == 1


def test_who_is_held_back_as_it_is_taken_keeps_its_place(bench: Bench) -> None:
    sent("pay", "a", "b")
    Payment.start("c", slow=True).trigger("pay")
    sent("pay", "d")
    attempts = [claimed(bench) for _ in range(4)]
    hold = holds.hold("payment", where={"slow": True})
    bench.runtime.ring_for(executor(bench).run(attempts[0]))
    assert ran == ["a"], "c was taken, and found to be held back"
    bench.clock.ms += 1_000
    call_due(bench.runtime)
    assert names([claimed(bench)]) == ["d"]
    sent("pay", "e")
    assert claimed(bench) is None
    holds.release(hold.number)
    bench.sweep()
    assert claimed(bench) is None
    fail(bench, attempts[1])
    assert names([claimed(bench)]) == ["c"], "it has waited for longer than e"


def test_a_lost_attempt_is_followed_at_once_by_the_first_in_line(bench: Bench) -> None:
    sent("pay", *"abc")
    attempts = [claimed(bench) for _ in range(3)]
    claim = attempts[0].claim
    Maintenance(bench.runtime, ["default"]).lost(claim.row, claim.owner, "killed")
    found = [claimed(bench) for _ in bench.queued()]
    assert sorted(names(found)) == ["c"], "the one that was lost waits behind it"
    assert not violations(bench)


def test_lanes_take_who_was_called_in_the_place_of_who_has_to_wait(bench: Bench) -> None:
    sent("pay", *"abcde")
    attempts = [claimed(bench) for _ in range(3)]
    fail(bench, attempts[0])
    lanes = Lanes(bench.runtime, [Slot.create(), Slot.create()])
    alone = lanes.take_on([bench.take()])
    assert names(each.attempt for each in alone) == ["c"], "it was the doorbell of d, and that of c is behind that of e"
    assert lanes.run_alone(alone[0], executor(bench)) > 0
    assert ran[0] == "c"
    assert lanes.is_empty(0)
    lanes._loop.close()
    assert not violations(bench)


@contextmanager
def cut_off(bench: Bench, *, lands: bool) -> Iterator[Callable[[], bool]]:
    """The first hand-over gets no answer, before its COMMIT or after that; whether it has come to that."""
    link, seen = bench.runtime.store.link, list[str]()
    transaction, lost = link.transaction, peewee.OperationalError("server closed the connection unexpectedly")

    def passed(name: str, about: str) -> None:
        if name == "call.before" and not seen:
            seen.append("reached")
            if not lands:
                raise lost

    @contextmanager
    def cut() -> Iterator[None]:
        with transaction():
            yield
        if seen == ["reached"] and lands:
            seen.append("cut")
            raise lost

    points.listen(passed)
    try:
        with patch.object(link, "transaction", cut):
            yield lambda: bool(seen)
    finally:
        points.listen(None)


@pytest.mark.parametrize("lands", [True, False])
def test_a_hand_over_without_an_answer_is_looked_for(bench: Bench, lands: bool) -> None:
    payments = sent("pay", *"abcd")
    attempts = [claimed(bench) for _ in payments]
    with cut_off(bench, lands=lands) as is_cut:
        bench.runtime.ring_for(executor(bench).run(attempts[0]))
        assert is_cut()
    assert ran == ["a", "c", "d"]
    assert [entry.kind for entry in payments[2].history] == [entry.kind for entry in payments[0].history]
    assert not violations(bench)
