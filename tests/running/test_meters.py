"""What workers do is counted: every attempt with how it ended, and no step pays for that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from fsmflow import Fail, RetryAfter
from fsmflow.engine.runtime import current
from fsmflow.errors import DatabaseUnavailable
from fsmflow.running.lease import LEASE_MS
from fsmflow.running.meters import BEYOND_MS, MOST_QUEUES, OTHER, Channel, Counts, Metering
from fsmflow.store.link import Link
from fsmflow.store.meters import Meter, Meters
from tests.support.bench import Bench
from tests.support.machines import Counter, Order, play
from tests.support.process_flows import Chain
from tests.support.processes import World


@pytest.fixture
def counts(bench: Bench) -> Counts:
    """What is counted in this process, which is worker and supervisor at once."""
    counts = Counts()
    bench.runtime.counting = Metering(counts.take)
    return counts


def kept(bench: Bench, counts: Counts) -> dict[Meter, int]:
    counts.keep(bench.runtime.store.meters, at_once=True)
    return bench.runtime.store.meters.all()


def outcomes(found: dict[Meter, int]) -> dict[tuple[str, str], int]:
    return {(meter.state, meter.label): number for meter, number in found.items() if meter.name == "attempts"}


def raised(error: BaseException) -> Any:
    def act(machine: Any) -> None:
        raise error

    return act


def test_each_attempt_is_counted_once_by_how_it_ended(bench: Bench, counts: Counts) -> None:
    for number, error in enumerate((None, ConnectionError("down"), LookupError("no"), Fail("hopeless"))):
        Order.start(str(number)).submit()
        play["charging"] = (lambda machine: None) if error is None else raised(error)
        bench.step()
    play["checking"] = raised(RetryAfter(5))
    Order.start("later").check()
    bench.step()
    play.clear()
    bench.advance(12)
    bench.step()
    found = kept(bench, counts)
    assert outcomes(found) == {
        ("charging", "done"): 1,
        ("charging", "retried"): 1,
        ("charging", "rests"): 1,
        ("charging", "caught"): 1,
        ("checking", "postponed"): 1,
    } | {("checking", "done"): 1}
    assert found[Meter("attempts_repeated", "order", "checking")] == 1
    timed = {meter: number for meter, number in found.items() if meter.name == "attempt_seconds" and meter.at_most}
    assert sum(timed.values()) == 6
    assert found[Meter("sweep_rows")] >= 2
    assert sum(number for meter, number in found.items() if meter.name == "sweep_seconds" and meter.at_most) == 1


def test_a_lost_attempt_is_counted_with_how_long_nobody_ran_it_and_its_doorbell_as_one_rung_again(
    bench: Bench, counts: Counts
) -> None:
    Counter.start("1").work()
    ticket = bench.take()
    now = bench.clock.now()
    assert bench.runtime.store.work.claim(ticket, "lost", lease_until=now + LEASE_MS) is not None
    bench.advance(60)
    bench.take()  # by somebody who never claims it
    bench.advance(60)
    bench.execute(ticket)
    bench.step()
    found = kept(bench, counts)
    assert outcomes(found) == {("busy", "lost"): 1, ("busy", "done"): 1}
    assert found[Meter("attempts_repeated", "counter", "busy")] == 1
    assert found[Meter("recovery_seconds")] == 60_000
    assert found[Meter("recovery_seconds", at_most=60_000)] == 1
    assert found[Meter("doorbells_rung_again", label="default")] == 1
    assert found[Meter("doorbells_in_vain")] == 1
    assert found[Meter("doorbells_answered", label="default")] == 1


@contextmanager
def statements() -> Iterator[list[str]]:
    """The statements that this process sends meanwhile."""
    sent: list[str] = []
    execute, rows = Link.execute, Link.rows

    def executed(link: Link, sql: str, params: Any = ()) -> Any:
        sent.append(sql)
        return execute(link, sql, params)

    def asked(link: Link, sql: str, params: Any = ()) -> Any:
        sent.append(sql)
        return rows(link, sql, params)

    with patch.object(Link, "execute", executed), patch.object(Link, "rows", asked):
        yield sent


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_step_that_is_counted_sends_what_one_sends_that_is_not(bench: Bench) -> None:
    sent = []
    for number, observer in enumerate((bench.runtime.counting, Metering(Counts().take))):
        Counter.start(str(number)).work()
        bench.runtime.counting = observer
        with statements() as found:
            bench.step()
        sent.append(found)
    assert sent[0] == sent[1]


def test_what_could_not_be_kept_is_kept_the_next_time(bench: Bench, counts: Counts) -> None:
    Counter.start("1").work()
    bench.step()
    with patch.object(Meters, "add", side_effect=DatabaseUnavailable("away")), pytest.raises(DatabaseUnavailable):
        counts.keep(bench.runtime.store.meters)
    Counter.start("2").work()
    bench.step()
    counts.keep(bench.runtime.store.meters)  # too soon
    assert bench.runtime.store.meters.all() == {}
    assert outcomes(kept(bench, counts)) == {("busy", "done"): 2}
    assert outcomes(kept(bench, counts)) == {("busy", "done"): 2}


def test_queues_beyond_a_number_are_counted_together() -> None:
    counts, kept = Counts(), dict[Meter, int]()
    for number in range(MOST_QUEUES + 5):
        counts.take([("answered", f"tenant-{number}", None)])
    counts.take([("answered", "tenant-0", 5_000_000)])

    class Kept:
        def add(self, counted: dict[Meter, int]) -> None:
            kept.update(counted)

    counts.keep(Kept())  # type: ignore[arg-type]
    assert kept[Meter("doorbells_answered", label=OTHER)] == 5
    assert kept[Meter("doorbells_answered", label="tenant-0")] == 2
    assert kept[Meter("wait_seconds", label="tenant-0", at_most=BEYOND_MS)] == 1


def test_whoever_tells_over_a_full_pipe_does_not_wait() -> None:
    channel = Channel.create()
    teller = Channel(channel.writing)
    for _ in range(40_000):
        teller.tell([("ended", "order", "charging", "done", 12, False, None)])
    told = list(channel.told())
    assert 0 < len(told) < 40_000
    assert told[-1] == ["ended", "order", "charging", "done", 12, False, None]
    teller.tell([("in_vain",)])
    assert list(channel.told()) == [["in_vain"]]


def test_what_worker_processes_do_is_in_the_database_when_their_supervisor_ends(place: World) -> None:
    for number in range(3):
        Chain.start(str(number)).trigger("go")
    supervisor = place.supervisor()
    for number in range(3):
        Chain.get(str(number)).wait("ended", timeout=30)
    supervisor.terminate()
    assert supervisor.ended() == 0, supervisor.log
    found = current().store.meters.all()
    assert outcomes(found) == {("one", "done"): 3, ("two", "done"): 3, ("three", "done"): 3}
    assert found[Meter("doorbells_answered", label="default")] == 9
    assert found[Meter("sweep_rows")] >= 0
