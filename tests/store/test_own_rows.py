"""The user's own rows: a status column in the same transaction, and jobs whose writes commit with the transition."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import peewee
import pytest

from fsmflow import ConfigurationError, DataError, Machine, Outcome, State, TransitionNotAllowed
from fsmflow.running.executor import Executor
from fsmflow.running.limits import TimeUp
from fsmflow.store.link import open_database
from fsmflow.testing import sandbox
from tests.support.bench import Bench, bench_on
from tests.support.concurrency import by_others
from tests.support.machines import Trigger, play

proxy = peewee.DatabaseProxy()


class OrderRow(peewee.Model):
    id = peewee.IntegerField(primary_key=True)
    status = peewee.CharField(max_length=40)
    note = peewee.CharField(max_length=40, default="")

    class Meta:
        database = proxy
        table_name = "shop_order"


class Ledger(peewee.Model):
    order = peewee.CharField(max_length=40)
    amount = peewee.IntegerField()

    class Meta:
        database = proxy
        table_name = "shop_ledger"


class Sale(Machine):
    initial = "new"
    status_field = OrderRow.status
    states = [
        "new",
        State("paying", job="pay", transactional=True, timeout=20),
        State("calling", job="call", at_most_once=True),
        State("paid", final=True),
        State("refused", final=True),
    ]
    transitions = [
        ["pay_now", "new", "paying"],
        {"trigger": "done", "source": "paying", "dest": "calling", "conditions": "is_accepted"},
        ["declined", "paying", "refused"],
        ["done", "calling", "paid"],
        {"trigger": "note", "source": "*", "dest": None, "before": "take_note"},
    ]
    pay_now: Trigger
    note: Trigger
    seen: list[Any] = []

    def is_accepted(self) -> bool:
        return bool(play.get("is_accepted", lambda machine: True)(self))

    def take_note(self) -> None:
        self.data["note"] = self.record.note

    def pay(self) -> Any:
        Ledger.create(order=self.entity_id, amount=self.data.get("amount", 1))
        return play.get("pay", lambda machine: None)(self)

    def call(self) -> Any:
        Sale.seen.append(self.record.status)
        return play.get("call", lambda machine: None)(self)


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    db = open_database(database_url)
    proxy.initialize(db)
    Sale.seen.clear()
    with bench_on(redis_url, database=db, machines=(Sale,)) as bench:
        db.create_tables([OrderRow, Ledger])
        for number in range(1, 4):
            OrderRow.create(id=number, status="?", note=f"note {number}")
        yield bench
    db.close()


def status(number: int) -> str:
    return str(OrderRow.get_by_id(number).status)


@pytest.mark.parametrize("spelt", ["01", " 1", "+1", "1 ", "1_0"])
def test_another_spelling_of_a_key_is_refused_as_each_row_has_one_entity(bench: Bench, spelt: str) -> None:
    OrderRow.create(id=10, status="?")
    with pytest.raises(DataError, match=r"OrderRow\.id is written '10?', not"):
        Sale.start(spelt)
    assert (status(1), status(10)) == ("?", "?")


def test_the_row_carries_the_state_in_the_same_transaction(bench: Bench) -> None:
    sale = Sale.start(1)
    assert status(1) == "new"
    sale.pay_now()
    assert status(1) == "paying"
    bench.run()
    assert (sale.refresh().state, status(1)) == ("paid", "paid")
    assert Sale.seen == ["calling"]
    assert sale.record.note == "note 1"
    with contextlib.suppress(RuntimeError), bench.runtime.store.link.db.atomic():
        Sale.start(2).note()
        raise RuntimeError("never mind")
    assert status(2) == "?"


def test_a_missing_row_is_refused_and_nothing_is_started(bench: Bench) -> None:
    with pytest.raises(DataError, match=r"sale:9 has no row: OrderRow has none with id = 9\. Make the row first"):
        Sale.start(9)
    with pytest.raises(DataError, match="OrderRow.id cannot be 'nine'"):
        Sale.start("nine")
    assert list(Sale.find()) == []
    with bench.runtime.store.link.db.atomic():
        OrderRow.create(id=9, status="?")
        Sale.start(9)
    assert status(9) == "new"


def test_a_row_that_is_gone_leaves_the_entity_in_a_failure_that_says_so(bench: Bench) -> None:
    sale = Sale.start(1)
    sale.pay_now()
    OrderRow.delete_by_id(1)
    bench.run()
    assert sale.refresh().state == "failed_from_paying"
    assert sale.failure is not None
    assert "sale:1 has no row" in sale.failure.message
    OrderRow.create(id=1, status="?")
    sale.retry()
    bench.run()
    assert (sale.refresh().state, status(1)) == ("paid", "paid")
    assert Ledger.select().count() == 1


def test_an_entity_whose_row_is_gone_can_be_cancelled_and_forced(bench: Bench) -> None:
    sale = Sale.start(1)
    OrderRow.delete_by_id(1)
    with pytest.raises(DataError, match="sale:1 has no row"):
        sale.pay_now()
    sale.force("new")
    sale.cancel()
    assert sale.state == "cancelled"


def test_a_bulk_start_writes_the_rows_too_and_all_or_nothing(bench: Bench) -> None:
    assert Sale.start_many([(1, {}), (2, {})]) == 2
    assert (status(1), status(2)) == ("new", "new")
    with pytest.raises(DataError, match="sale:8 has no row"):
        Sale.start_many([(3, {}), (8, {})])
    assert (status(3), len(list(Sale.find()))) == ("?", 2)


def test_a_model_of_another_database_is_refused(bench: Bench) -> None:
    other = peewee.SqliteDatabase(":memory:")
    with OrderRow.bind_ctx(other), pytest.raises(ConfigurationError, match="is of another database than fsmflow works"):
        Sale.start(1)


def test_what_the_job_writes_commits_with_the_transition_or_not_at_all(bench: Bench) -> None:
    sale = Sale.start(1)
    sale.pay_now()
    play["pay"] = lambda machine: 1 / 0
    bench.run()
    assert (sale.refresh().state, Ledger.select().count(), status(1)) == ("failed_from_paying", 0, "failed_from_paying")
    play["pay"] = lambda machine: {"paid": True}
    sale.retry()
    bench.run()
    assert (sale.refresh().state, sale.data["paid"], Ledger.select().count()) == ("paid", True, 1)


def test_a_refused_result_takes_what_was_written_with_it(bench: Bench) -> None:
    play["is_accepted"] = lambda machine: False
    sale = Sale.start(1)
    sale.pay_now()
    bench.run()
    assert (sale.refresh().state, Ledger.select().count()) == ("failed_from_paying", 0)
    assert sale.failure is not None
    assert "guard 'is_accepted' is false" in sale.failure.message
    play["is_accepted"] = lambda machine: True
    sale.retry()
    bench.run()
    assert (sale.refresh().state, Ledger.select().count()) == ("paid", 1)


def test_an_outcome_of_a_transactional_job_commits_with_it_too(bench: Bench) -> None:
    play["pay"] = lambda machine: Outcome("declined", code=51)
    sale = Sale.start(1)
    sale.pay_now()
    bench.run()
    assert (sale.refresh().state, sale.data, Ledger.select().count()) == ("refused", {"code": 51}, 1)


def test_a_worker_that_dies_in_the_transaction_leaves_nothing_behind(bench: Bench) -> None:
    def die(machine: Any) -> None:
        raise SystemExit("killed")

    sale = Sale.start(1)
    sale.pay_now()
    ticket = bench.take()
    play["pay"] = die
    original = Executor._settle
    with pytest.MonkeyPatch.context() as patch:
        # The process is gone before it can tell how the attempt ended.
        patch.setattr(Executor, "_settle", lambda *_: None)
        bench.execute(ticket)
    assert Executor._settle is original
    assert (sale.refresh().state, Ledger.select().count()) == ("paying", 0)
    play.clear()
    bench.advance(90)
    bench.run()
    assert (sale.refresh().state, Ledger.select().count()) == ("paid", 1)
    assert [str(entry.kind) for entry in sale.history].count("crashed") == 1


def test_a_cancel_that_comes_first_takes_the_writes_with_it(bench: Bench) -> None:
    def cancelled_meanwhile(machine: Any) -> None:
        # As another process would have done it before this one settles.
        link = bench.runtime.store.link
        entity, mark = "fsmflow_work", link.mark
        link.execute(f"UPDATE {entity} SET fence = fence + 1 WHERE entity = {mark}", (machine._view.snapshot.row,))

    play["pay"] = cancelled_meanwhile
    sale = Sale.start(1)
    sale.pay_now()
    bench.step()
    assert (sale.refresh().state, Ledger.select().count()) == ("paying", 0)


@pytest.mark.parametrize("how", ["rollback", "swallowed"])
def test_a_job_that_leaves_its_transaction_fails_and_says_so(bench: Bench, how: str) -> None:
    def leave(machine: Any) -> None:
        if how == "rollback":
            machine.database.execute_sql("ROLLBACK")
        else:
            with contextlib.suppress(peewee.DatabaseError):
                machine.database.execute_sql("SELECT nothing FROM nowhere")

    play["pay"] = leave
    sale = Sale.start(1)
    sale.pay_now()
    bench.step()
    if how == "swallowed" and bench.runtime.store.link.dialect.name != "postgresql":
        # Only PostgreSQL gives a transaction up for that.
        assert (sale.refresh().state, Ledger.select().count()) == ("calling", 1)
        return
    assert (sale.refresh().state, Ledger.select().count()) == ("failed_from_paying", 0)
    assert sale.failure is not None
    assert "ended or broke the transaction" in sale.failure.message
    play.clear()
    sale.retry()
    bench.run()
    assert (sale.refresh().state, Ledger.select().count()) == ("paid", 1)


def test_a_row_that_is_gone_does_not_kill_the_worker_of_a_failure_that_is_caught(bench: Bench) -> None:
    play["pay"] = lambda machine: OrderRow.delete_by_id(1) and Outcome("declined")
    play["call"] = lambda machine: 1 / 0
    sale = Sale.start(1)
    sale.pay_now()
    bench.run()
    assert sale.refresh().state == "failed_from_paying"


def test_a_branch_has_the_record_of_its_parent() -> None:
    class Lot(Machine):
        initial = "packing"
        status_field = OrderRow.status
        states = [State("packing", job="pack", each="lines"), State("packed", final=True)]
        transitions = [["done", "packing", "packed"]]

        def pack(self, line: int) -> str:
            return f"{self.record.note} {line}"

    with sandbox(machines=[Lot]) as box, box.database.bind_ctx([OrderRow]):
        box.database.create_tables([OrderRow])
        OrderRow.create(id=7, status="?", note="gift")
        lot = Lot.start(7, lines=[1, 2])
        box.run()
        assert [branch.result for branch in lot.refresh().branches] == ["gift 1", "gift 2"]
        assert OrderRow.get_by_id(7).status == "packed"


def test_the_time_limit_rolls_back(bench: Bench) -> None:
    def too_long(machine: Any) -> None:
        raise TimeUp

    play["pay"] = too_long
    sale = Sale.start(1)
    sale.pay_now()
    bench.run()
    assert (sale.refresh().state, Ledger.select().count()) == ("failed_from_paying", 0)
    assert sale.failure is not None
    assert sale.failure.error_type == "StepTimeout"


def test_a_crash_of_a_job_that_runs_at_most_once_is_not_run_again(bench: Bench) -> None:
    sale = Sale.start(1)
    sale.pay_now()
    bench.step()
    ticket = bench.take()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Executor, "_settle", lambda *_: None)
        bench.execute(ticket)
    bench.advance(30)
    bench.run()
    assert (sale.refresh().state, Sale.seen) == ("failed_from_calling", ["calling"])
    assert sale.failure is not None
    assert sale.failure.error_type == "WorkerLost"
    assert "its job runs at most once" in sale.failure.message
    sale.retry()
    bench.run()
    assert (sale.refresh().state, len(Sale.seen)) == ("paid", 2)


def test_a_trigger_meanwhile_is_not_lost(bench: Bench) -> None:
    """The settle reads the entity as it is by then, and locks it."""
    sale = Sale.start(1)
    sale.pay_now()
    play["pay"] = lambda machine: dict(by_others(Sale.get(1)).note().payload)
    bench.run()
    assert (sale.refresh().state, sale.data["note"]) == ("paid", "note 1")
    assert [entry.seq for entry in sale.history] == list(range(1, len(sale.history) + 1))
    with pytest.raises(TransitionNotAllowed):
        sale.pay_now()
