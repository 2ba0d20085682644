"""The Session of a job, and a row that SQLAlchemy maps: what a transactional job writes is committed with its
transition or not at all, and the row always says the state that is committed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from fsmflow import DataError, FsmflowError
from fsmflow.engine.runtime import current
from fsmflow.running.executor import Executor
from fsmflow.running.limits import TimeUp
from fsmflow.store.work import Ticket
from fsmflow.verify import verify
from tests.support.bench import Bench, bench_on
from tests.support.machines import play
from tests.support.mapped import Entry, Sale, SaleRow, User, user_of
from tests.support.shops import CUT, WHO, killed


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    with bench_on(redis_url, database_url=database_url, machines=(Sale,)) as bench:
        yield bench


@pytest.fixture
def user(bench: Bench, database_url: str) -> Iterator[User]:
    with user_of(database_url) as user:
        user.add_rows(1, 2, 3)
        yield user


def paying(number: int) -> Sale:
    sale = Sale.start(number)
    sale.pay_now()
    return sale


def run_elsewhere(ticket: Ticket) -> None:
    """As a worker of another process does."""
    runtime = current()
    runtime.ring_for(Executor(runtime).execute(ticket))


def test_a_row_of_a_session_carries_the_state_in_the_same_transaction(bench: Bench, user: User) -> None:
    with Session(user.engine) as session:
        row = SaleRow(id=4, note="new")
        session.add(row)
        sale = Sale.start(4, within=session)
        assert row.status == "new"
        sale.trigger("pay_now", within=session)
        assert row.status == "paying"  # what was loaded is read anew
        sale.trigger("cancel", within=session.connection())
        assert row.status == "cancelled"
        session.rollback()
    with pytest.raises(DataError, match="sale:4 has no row: SaleRow has none with id = 4"):
        Sale.start(4)
    with pytest.raises(DataError, match=r"SaleRow\.id cannot be 'four'"):
        Sale.start("four")
    sale = paying(1)
    assert (sale.record.note, user.row(1)) == (None, ("paying", None))
    sale.note()
    bench.run()
    assert (sale.refresh().state, user.row(1), user.texts()) == ("paid", ("paid", "called"), ["call 1", "pay 1"])
    assert (sale.data["note"], sale.record.note) == (None, "called")
    with user.engine.begin() as connection:
        connection.execute(text("UPDATE mapped_sale SET sale_status = 'lost' WHERE id = 1"))
    assert "SaleRow.status says 'lost'" in str(sale.explain().own_row)
    report = verify(bench.runtime.store, bench.runtime.machines.all())
    assert [(found.invariant, found.address) for found in report.violations] == [("status-carried", "sale:1")]


def test_what_a_job_leaves_pending_is_committed_with_the_transition_or_not_at_all(bench: Bench, user: User) -> None:
    def takes_back(machine: Any) -> None:
        machine.session.rollback()
        machine.session.add(Entry(sale=1, text="after"))
        machine.session.commit()
        machine.session.add(Entry(sale=1, text="pending"))

    def fails(machine: Any) -> None:
        machine.session.commit()
        raise RuntimeError("no")

    def breaks_a_rule(machine: Any) -> None:
        machine.session.add(Entry(sale=1, text="pay 1"))

    def overruns(machine: Any) -> None:
        machine.session.flush()
        raise TimeUp

    ends: list[tuple[Callable[[Any], None], str]] = [
        (fails, "RuntimeError"),
        (breaks_a_rule, "IntegrityError"),
        (overruns, "StepTimeout"),
    ]
    sale = paying(1)
    for job, error in ends:
        play["pay"] = job
        bench.run()
        assert (sale.refresh().state, user.row(1)) == ("failed_from_paying", ("failed_from_paying", None))
        assert (user.texts(), sale.failure and sale.failure.error_type) == ([], error)
        sale.retry()
    play["pay"] = takes_back
    bench.step()
    assert (sale.refresh().state, user.row(1), user.texts()) == ("calling", ("calling", None), ["after", "pending"])


def test_a_session_ends_with_its_attempt_and_what_it_has_not_committed_is_gone(
    bench: Bench, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    def leaves_something(machine: Any) -> None:
        machine.session.add(Entry(sale=1, text="never"))
        machine.session.flush()

    def fails_later(machine: Any) -> None:
        machine.record.note = "never"
        machine.session.flush()
        raise RuntimeError("no")

    sale = paying(1)
    bench.step()
    play["call"] = fails_later
    bench.run()
    assert (sale.refresh().state, user.row(1)[1]) == ("failed_from_calling", "called")
    assert "transaction_open" not in caplog.text
    with user.engine.begin() as connection:
        connection.execute(text("DELETE FROM mapped_entry WHERE text = 'call 1'"))
    play["call"] = leaves_something
    sale.retry()
    bench.run()
    assert (sale.refresh().state, user.texts()) == ("paid", ["call 1", "pay 1"])
    assert "sale:1: job 'call' left a transaction open; it was rolled back" in caplog.text
    with pytest.raises(FsmflowError, match="sale:1: session works inside a job only"):
        sale.session  # noqa: B018 - to ask for it


def test_what_a_job_starts_in_its_session_is_in_its_transaction(bench: Bench, user: User) -> None:
    seen: list[str] = []

    def starts_others(machine: Any) -> None:
        if machine.entity_id != "1":
            return
        event.listen(machine.session, "after_commit", lambda session: seen.append(user.row(1)[0] or ""))
        Sale.start(2)
        Sale.start(3, within=machine.session).trigger("pay_now")
        machine.session.add(SaleRow(id=4))
        Sale.start(4)
        seen.append(machine.session.get(SaleRow, 3).status)

    def takes_back(machine: Any) -> None:
        starts_others(machine)
        raise RuntimeError("never mind")

    sale = paying(1)
    play["pay"] = takes_back
    bench.run()
    assert (user.row(2)[0], user.row(3)[0], len(list(Sale.find())), seen) == ("?", "?", 1, ["paying"])
    seen.clear()
    play["pay"] = starts_others
    sale.retry()
    bench.run()
    # It is told of the commit once others see it.
    assert (user.row(2)[0], user.row(3)[0], user.row(4)[0], seen[:2]) == ("new", "paid", "new", ["paying", "calling"])


def test_a_job_that_others_took_over_or_that_is_refused_at_commit_leaves_nothing(bench: Bench, user: User) -> None:
    def is_taken_over(machine: Any) -> None:
        link = bench.runtime.store.link
        link.execute(
            f"UPDATE fsmflow_work SET fence = fence + 1 WHERE entity = {link.mark}", (machine._view.claim.row,)
        )

    def names_no_sale(machine: Any) -> None:
        machine.session.add(Entry(sale=99, text="nobody"))

    def loses_its_connection(machine: Any) -> None:
        who = machine.session.scalar(text(WHO[user.kind]))
        with user.engine.connect() as connection:
            connection.execute(text(CUT[user.kind].format(who)))
        machine.session.execute(text("SELECT 1"))

    sale = paying(1)
    play["pay"] = is_taken_over
    bench.step()
    assert (sale.refresh().state, user.row(1), user.texts()) == ("paying", ("paying", None), [])
    other = paying(2)
    play["pay"] = names_no_sale
    bench.step()
    assert (other.refresh().state, user.row(2)) == ("failed_from_paying", ("failed_from_paying", None))
    assert user.texts() == []
    if user.kind == "sqlite":
        return
    third = paying(3)
    play["pay"] = loses_its_connection
    bench.step()
    # It was cut off under the job, which runs again as after the end of its worker.
    assert (third.refresh().state, user.row(3), user.texts()) == ("paying", ("paying", None), [])
    assert third.history[-1].kind == "crashed"
    play.clear()
    bench.run()
    assert (third.refresh().state, user.texts()) == ("paid", ["call 3", "pay 3"])


def test_who_is_killed_before_the_commit_leaves_nothing_and_after_it_all(bench: Bench, user: User) -> None:
    def dies(machine: Any) -> None:
        machine.session.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    def dies_once_it_is_committed(machine: Any) -> None:
        current().store.link.after_commit(lambda: os.kill(os.getpid(), signal.SIGKILL))

    ends: list[tuple[Any, str | None, bool]] = [
        (dies, None, False),
        (None, "commit.before", False),
        (None, "transaction.before", False),
        (dies_once_it_is_committed, None, True),
        (None, "ring.before", True),
    ]
    user.add_rows(4, 5)
    for number, (job, point, done) in enumerate(ends, start=1):
        sale = paying(number)
        ticket = bench.take()
        play.update({"pay": job} if job else {})
        killed(lambda: run_elsewhere(ticket), point)  # noqa: B023 - it is called here
        play.clear()
        there = ("calling", "paid") if done else ("paying", None)
        assert (sale.refresh().state, user.row(number), f"pay {number}" in user.texts()) == (there[0], there, done)
        bench.advance(90)
        bench.run()
        assert (sale.refresh().state, user.row(number)) == ("paid", ("paid", "called"))
    assert len(user.texts()) == 2 * len(ends)


def test_what_a_job_would_wait_for_in_vain_is_told_at_once(
    bench: Bench, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    left = user.engine.connect()

    def writes_apart(machine: Any) -> None:
        with user.engine.begin() as connection:
            connection.execute(text("UPDATE mapped_sale SET note = 'apart' WHERE id = 3"))

    def leaves_its_row_locked(machine: Any) -> None:
        left.execute(text("UPDATE mapped_sale SET note = 'left' WHERE id = 1"))

    sale = paying(1)
    play.update({"pay": writes_apart, "call": leaves_its_row_locked})
    bench.run()
    if user.kind == "sqlite":
        assert sale.refresh().state == "failed_from_paying"
        assert "write by machine.session. On SQLite one transaction" in str(sale.failure)
        play["pay"] = lambda machine: None
        sale.retry()
        bench.run()
    else:
        assert "job.written_apart: a transactional job writes by a Session or Connection of its own" in caplog.text
    assert (sale.refresh().state, user.row(1)) == ("paid", ("paid", "called"))
    assert "left a transaction open; it was rolled back: a Connection of SQLAlchemy in this thread" in caplog.text
    left.close()
