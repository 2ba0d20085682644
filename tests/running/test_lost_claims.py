"""Claims whose holder is gone, or that the database has lost, at moments at which something else is decided too."""

from __future__ import annotations

import contextvars
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from fsmflow import Machine, State
from fsmflow.decision.work import Work
from fsmflow.engine import fanout, requests
from fsmflow.errors import DatabaseUnavailable
from fsmflow.running.executor import Executor
from fsmflow.running.lease import LEASE_MS
from fsmflow.running.maintenance import parents
from fsmflow.running.slot import IDLE, Slot
from fsmflow.store.tables import WORK
from tests.support.bench import Bench, bench_on
from tests.support.concurrency import meanwhile
from tests.support.machines import play


class Asking(Machine):
    """Its deadline leads nowhere else."""

    initial = "asking"
    states = [State("asking", job="ask", wait=True, timeout=100), State("over", final=True)]
    transitions = [["timeout", "asking", None], ["answer", "asking", "over"]]

    def ask(self) -> None:
        ran.append(self.address)


class Plain(Machine):
    initial = "busy"
    states = [State("busy", job="act"), State("over", final=True)]
    transitions = [["done", "busy", "over"]]

    def act(self) -> None:
        ran.append(self.address)


class Payment(Machine):
    initial = "paying"
    states = [State("paying", job="pay", at_most_once=True), State("over", final=True)]
    transitions = [["done", "paying", "over"]]

    def pay(self) -> None:
        ran.append(self.address)


class Batch(Machine):
    initial = "packing"
    states = [State("packing", job="pack", each="lines"), State("shipped", final=True)]
    transitions = [["done", "packing", "shipped"]]

    def pack(self, line: Any) -> Any:
        return line


class Child(Machine):
    initial = "busy"
    states = [State("busy", job="act"), State("over", final=True)]
    transitions = [["done", "busy", "over"]]

    def act(self) -> None:
        play["busy"](self)


class Family(Machine):
    initial = "raising"
    states = [State("raising", machine="child", each="children"), State("raised", final=True)]
    transitions = [["done", "raising", "raised"]]


class Leg(Machine):
    """What it booked is taken back where it is cancelled."""

    initial = "booking"
    on_cancel = "undo"
    states = [State("booking", job="book", undo="unbook"), State("riding"), State("over", final=True)]
    transitions = [["done", "booking", "riding"], ["arrive", "riding", "over"]]

    def book(self) -> None:
        ran.append(self.address.rpartition("/")[0])

    def unbook(self) -> None:
        ran.append(f"undo {self.address.rpartition('/')[0]}")


class Trip(Machine):
    initial = "packing"
    states = [State("packing", delay=0), State("travelling", machine="leg"), State("home", final=True)]
    transitions = [["done", "packing", "travelling"], ["done", "travelling", "home"]]


ran: list[str] = []


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    ran.clear()
    with bench_on(
        redis_url, database_url=database_url, machines=(Asking, Plain, Payment, Batch, Family, Child, Trip, Leg)
    ) as bench:
        yield bench


def lose_worker(bench: Bench) -> int:
    """A worker claims the next attempt and is never heard of again; the row of the entity."""
    ticket = bench.take()
    lease_until = bench.clock.now() + LEASE_MS
    assert bench.runtime.store.work.claim(ticket, os.urandom(12).hex(), lease_until=lease_until) is not None
    return ticket.row


def lose_claim(bench: Bench, row: int) -> None:
    """The database server crashes and comes back without a claim that had waited for no disk."""
    link = bench.runtime.store.link
    owner, mark = link.quoted("owner"), link.mark
    sql = f"UPDATE {WORK} SET {owner} = NULL, lease_until = NULL, fence = fence - 1 WHERE entity = {mark}"
    link.write(lambda: link.execute(sql, (row,)))


def work_of(bench: Bench, row: int) -> Work | None:
    found = bench.runtime.store.entities.load_row(row)
    assert found is not None
    return found.work


def test_an_attempt_of_a_dead_worker_ends_though_a_deadline_that_leads_nowhere_is_over_too(bench: Bench) -> None:
    asking = Asking.start("1")
    lose_worker(bench)
    bench.advance(150)
    bench.advance(15)
    bench.run()
    assert ran == ["asking:1"]
    assert [entry.kind for entry in asking.history] == ["start", "crashed", "internal", "saved"]


def test_a_deadline_that_leads_nowhere_is_noted_while_the_job_runs(bench: Bench) -> None:
    asking = Asking.start("1")
    row = lose_worker(bench)
    work = work_of(bench, row)
    assert work is not None
    assert work.owner is not None
    for _ in range(25):
        bench.runtime.store.work.renew([(row, work.owner)], lease_until=bench.clock.now() + 2 * LEASE_MS)
        bench.advance(5)
    assert [(entry.kind, entry.trigger) for entry in asking.history] == [("start", None), ("internal", "timeout")]
    after = work_of(bench, row)
    assert after is not None
    assert after.owner == work.owner


def test_an_attempt_of_a_dead_worker_ends_though_the_entity_is_paused_and_its_deadline_is_over(bench: Bench) -> None:
    asking = Asking.start("1")
    row = lose_worker(bench)
    asking.pause()
    bench.advance(150)
    bench.advance(60)
    work = work_of(bench, row)
    assert work is not None
    assert work.owner is None
    assert work.held is not None
    asking.resume()
    bench.run()
    assert ran == ["asking:1"]


def test_a_pause_that_relied_on_a_claim_that_the_database_has_lost_holds_the_job(bench: Bench) -> None:
    plain = Plain.start("1")
    row = lose_worker(bench)
    with meanwhile(bench.runtime.store.entities, "load", lambda: lose_claim(bench, row)):
        plain.pause()
    bench.advance(30)
    bench.run()
    assert ran == []
    plain.resume()
    bench.run()
    assert plain.refresh().state == "over"


def test_an_entity_that_is_paused_while_it_is_brought_back_to_work_stays_paused(bench: Bench) -> None:
    plain = Plain.start("1", state="busy")
    other = Plain.get("1")
    with meanwhile(requests, "_ask", other.pause):
        plain.resume()
    assert [entry.kind for entry in plain.history] == ["start", "paused"]
    bench.run()
    assert ran == []
    plain.resume()
    bench.run()
    assert plain.refresh().state == "over"


def test_a_claimed_attempt_waits_for_the_database_before_its_job_begins(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, work, away = Payment.start("1"), bench.runtime.store.work, [True, True, False]
    secure = work.heartbeat

    def fail_first(*args: Any, **options: Any) -> bool:
        if away.pop(0):
            raise DatabaseUnavailable("the connection is lost")
        return secure(*args, **options)

    monkeypatch.setattr(work, "heartbeat", fail_first)
    bench.step()
    assert (once.refresh().state, ran) == ("over", ["payment:1"])


def test_a_worker_that_loses_the_database_holds_no_attempt_any_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    Plain.start("1")
    slot = Slot.create()

    def lose(self: Executor, step: Any) -> None:
        raise DatabaseUnavailable("the connection is lost")

    monkeypatch.setattr(Executor, "prepare", lose)
    try:
        with pytest.raises(DatabaseUnavailable):
            Executor(bench.runtime, slot).execute(bench.take())
        doing = slot.read()
        assert doing is not None
        assert doing.state == IDLE
    finally:
        slot.close()


def test_children_that_a_retry_brings_back_are_paused_where_their_parent_has_been_meanwhile(bench: Bench) -> None:
    play["busy"] = lambda machine: (_ for _ in ()).throw(ValueError("no"))
    family = Family.start("1", children=[1, 2])
    bench.run()
    assert family.refresh().state == "failed_from_raising"
    play["busy"] = lambda machine: ran.append(machine.address)
    family.retry()
    pause = partial(contextvars.Context().run, Family.get("1").pause)
    with meanwhile(bench.runtime.store.branches, "standing", pause):
        bench.step()
    for _ in range(3):
        bench.advance(30)
        bench.run()
    assert ran == []
    family.resume()
    for _ in range(3):
        bench.advance(30)
        bench.run()
    assert family.refresh().state == "raised"
    assert len(ran) == 2


@pytest.mark.parametrize("way_out", ["cancel", "rewind"])
def test_a_child_that_was_paused_with_its_parent_is_undone_once_that_has_left_and_goes_on(
    bench: Bench, way_out: str
) -> None:
    trip = Trip.start("1")
    bench.run()
    child = Leg.find(branches=True).__next__()
    assert child.state == "riding"
    trip.pause()
    bench.run()
    if way_out == "cancel":
        trip.cancel()
    else:
        trip.rewind("packing")
        bench.run()
        assert (child.refresh().state, ran) == ("undoing_booking", ["leg:trip:1/travelling"])
        trip.resume()
    for _ in range(3):
        bench.advance(30)
        bench.run()
    assert child.refresh().state == "undone"
    assert ran.count("undo leg:trip:1/travelling") == 1


def test_a_branch_that_settles_while_its_parent_is_looked_at_is_not_overlooked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = Batch.start("1", lines=[1, 2])
    bench.step()
    bench.step()
    parent = bench.runtime.store.entities.load("batch", "1")
    assert parent is not None
    assert parent.work is not None
    bench.clock.ms = parent.work.wake_at - 1
    commits, look = bench.runtime.store.commits, fanout.look
    commit = commits.commit

    def decided_before(decided: Any, on_commit: Any) -> Any:
        """The branch has decided; then the parent is looked at; then the branch commits, and its worker dies."""

        def look_first(runtime: Any, row: int) -> bool:
            more = look(runtime, row)
            commit(decided, lambda after: None)
            return more

        bench.clock.ms += 2
        monkeypatch.setattr(commits, "commit", commit)
        monkeypatch.setattr(parents, "look", look_first)
        bench.sweep()
        monkeypatch.setattr(parents, "look", look)
        raise KeyboardInterrupt

    ticket = bench.take()
    monkeypatch.setattr(commits, "commit", decided_before)
    with pytest.raises(KeyboardInterrupt):
        Executor(bench.runtime).execute(ticket)
    for _ in range(4):
        bench.advance(5)
    assert batch.refresh().state == "shipped"
