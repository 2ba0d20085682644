"""What the database refuses between a job's return and its commit: one run, one failure, and the worker is free."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import peewee
import pytest

from fsmflow import Machine, State, clock
from fsmflow.store.dialects import Mysql
from fsmflow.store.link import open_database
from fsmflow.store.tables import HISTORY, WORK
from tests.support import ruled_flows
from tests.support.bench import Bench, bench_on
from tests.support.eventually import eventually
from tests.support.processes import World
from tests.support.ruled_flows import Payment, PaymentRow
from tests.support.servers import on_servers, on_sqlite
from tests.support.traces import ran

proxy = peewee.DatabaseProxy()
LARGE = "x" * 100_000


class Booking(peewee.Model):
    account = peewee.CharField(max_length=40)

    class Meta:
        database = proxy
        table_name = "shop_booking"


class Books(Machine):
    initial = "open"
    states = [
        "open",
        State("booking", job="book", transactional=True),
        State("printing", each="pages", job="print_page"),
        State("reading", job="read"),
        State("booked", final=True),
    ]
    transitions = [
        ["book_it", "open", "booking"],
        ["print_it", "open", "printing"],
        ["read_it", "open", "reading"],
        ["done", "*", "booked"],
    ]

    def book(self) -> None:
        ran.append(self.entity_id)
        Booking.create(account=self.data["account"])

    def pages(self) -> list[str]:
        return [f"{number}{LARGE}" for number in range(self.data["count"])]

    def print_page(self, page: str) -> None:
        ran.append(page[:3])

    def read(self) -> Any:
        ran.append(self.entity_id)
        return {"text": '"' * self.data["length"]}


@pytest.fixture
def bench(database_url: str, redis_url: str) -> Iterator[Bench]:
    db = open_database(database_url)
    proxy.initialize(db)
    ran.clear()
    with bench_on(redis_url, database=db, machines=(Books,)) as bench:
        late = "" if "mysql" in database_url else "DEFERRABLE INITIALLY DEFERRED"
        key = "INTEGER PRIMARY KEY" if "sqlite" in database_url else "SERIAL PRIMARY KEY"
        db.execute_sql("CREATE TABLE shop_account (name VARCHAR(40) PRIMARY KEY)")
        db.execute_sql(
            f"CREATE TABLE shop_booking (id {key}, account VARCHAR(40) NOT NULL, "
            f"FOREIGN KEY (account) REFERENCES shop_account (name) {late})"
        )
        yield bench
    db.close()


def test_a_transaction_that_is_refused_at_its_commit_fails_the_job_once(bench: Bench) -> None:
    books = Books.start(1, {"account": "no such account"})
    books.trigger("book_it")
    bench.run()
    assert books.refresh().state == "failed_from_booking"
    assert ran == ["1"]
    assert books.failure is not None
    assert "foreign key" in books.failure.message.lower()
    if bench.runtime.store.link.dialect.name != "mysql":
        assert books.failure.error_type == "DatabaseRefused"
        assert books.failure.message.startswith("job 'book' returned, but at COMMIT the database refuses the change: ")
    assert Booking.select().count() == 0
    bench.runtime.store.link.execute("INSERT INTO shop_account VALUES ('no such account')")
    books.retry()
    bench.run()
    assert (books.refresh().state, Booking.select().count(), ran) == ("booked", 1, ["1", "1"])


_ONCE_A_RACE = """
    CREATE SEQUENCE shop_race;
    CREATE FUNCTION shop_lose_once() RETURNS trigger AS $$ BEGIN
        IF nextval('shop_race') = 1 THEN RAISE 'others were first' USING ERRCODE = '40001'; END IF;
        RETURN NULL;
    END $$ LANGUAGE plpgsql;
    CREATE CONSTRAINT TRIGGER shop_late AFTER INSERT ON shop_booking DEFERRABLE INITIALLY {}
        FOR EACH ROW EXECUTE FUNCTION shop_lose_once()
"""


@pytest.mark.parametrize("database_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
@pytest.mark.parametrize("when", ["DEFERRED", "IMMEDIATE"], ids=["at its commit", "in its job"])
def test_a_transaction_in_whose_way_others_are_is_run_again_and_has_not_failed(bench: Bench, when: str) -> None:
    bench.runtime.store.link.execute("INSERT INTO shop_account VALUES ('an account')")
    bench.runtime.store.link.execute(_ONCE_A_RACE.format(when))
    books = Books.start(1, {"account": "an account"})
    books.trigger("book_it")
    bench.run()
    assert (books.refresh().state, Booking.select().count(), ran) == ("booking", 0, ["1"])
    bench.advance(1)
    bench.run()
    assert (books.refresh().state, Booking.select().count(), ran) == ("booked", 1, ["1", "1"])
    assert [entry.kind.value for entry in books.history] == ["start", "transition", "transition"]


@on_servers
def test_a_fan_out_over_large_items_is_written_in_pages_that_the_server_takes(bench: Bench) -> None:
    """200 of these are more than max_allowed_packet is by default."""
    books = Books.start(1, {"count": 250})
    books.trigger("print_it")
    bench.run()
    assert books.refresh().state == "booked"
    assert len(ran) == 250
    assert [len(branch.item) for branch in books.branches][249] == 100_003


@on_servers
def test_many_entities_with_large_data_are_started_in_pages_that_the_server_takes(bench: Bench) -> None:
    assert Books.start_many((number, {"text": LARGE}) for number in range(250)) == 250


@pytest.mark.parametrize("database_url", [pytest.param("mysql", marks=pytest.mark.mysql)], indirect=True)
def test_what_is_larger_than_the_server_takes_is_a_failure_of_the_step(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server would close the connection over it, which looks like an outage that ends no sooner."""
    monkeypatch.setattr(Mysql, "statement_limit", "SELECT 200000")
    books = Books.start(1, {"length": 120_000})
    books.trigger("read_it")
    bench.run()
    assert books.refresh().state == "failed_from_reading"
    assert ran == ["1"]
    assert books.failure is not None
    assert "is more than the 200,000 that the server takes (max_allowed_packet)" in books.failure.message
    assert books.failure.message.endswith("It cannot be kept; retry runs the job again")
    monkeypatch.undo()
    books.retry()
    bench.run()
    assert books.refresh().state == "booked"


@pytest.fixture
def shop(any_place: World, database_url: str, redis_url: str) -> Iterator[World]:
    """An installation whose payments have rows with rules."""
    db = ruled_flows.connect(database_url, redis_url)
    ruled_flows.make_tables(db)
    for number in range(1, 5):
        PaymentRow.create(id=number, status="pending")
    any_place.environment |= {
        "FSMFLOW_MACHINES": ruled_flows.__name__,
        "RULED_DATABASE_URL": database_url,
        "RULED_REDIS_URL": redis_url,
    }
    yield any_place
    db.close()


def failed(payment: Payment) -> bool:
    return payment.refresh().phase == "failed"


def test_a_worker_is_free_at_once_and_ends_when_it_is_told_to(shop: World) -> None:
    supervisor = shop.supervisor(processes=1)
    blocked, refused, booked, fine = (
        Payment.start(number, data) for number, data in enumerate(({"fails": True}, {}, {}, {"ends": True}), 1)
    )
    for payment in (blocked, refused, fine):
        payment.trigger("submit")
    booked.trigger("book_it")
    assert fine.wait("over", timeout=20).state == "over"
    eventually(lambda: all(map(failed, (blocked, refused, booked))), within=20, what="all of them to be recorded")
    assert [len(shop.effects(str(number))) for number in range(1, 5)] == [1, 1, 1, 1]
    assert [PaymentRow.get_by_id(number).status for number in range(1, 5)] == [
        "charging",
        "charging",
        "booking",
        "over",
    ]
    supervisor.terminate()
    assert supervisor.ended(within=15) == 0
    assert "worker.lost" not in supervisor.log
    assert "settle.waits" not in supervisor.log


@on_sqlite
def test_a_failure_that_cannot_be_recorded_either_is_waited_for_with_the_result_in_hand(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = bench.runtime.store.link.execute
    books = Books.start(1, {"length": 1})
    books.trigger("read_it")
    execute(f"CREATE TRIGGER closed BEFORE INSERT ON {HISTORY} BEGIN SELECT RAISE(ABORT, 'the books are closed'); END")
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            execute("DROP TRIGGER closed")

    monkeypatch.setattr(clock, "pause", pause)
    bench.step()
    assert (len(pauses), ran, books.refresh().state) == (3, ["1"], "failed_from_reading")
    assert books.failure is not None
    assert "the database refuses the change: the books are closed" in books.failure.message
    books.retry()
    assert (books.refresh().state, books.data["text"], ran) == ("booked", '"', ["1"])


@on_sqlite
def test_a_claim_that_the_database_refuses_ends_no_worker(shop: World, database_url: str) -> None:
    supervisor = shop.supervisor(processes=1)
    db = open_database(database_url)
    db.execute_sql(
        f"CREATE TRIGGER closed BEFORE UPDATE OF owner ON {WORK} WHEN NEW.owner IS NOT NULL "
        f"BEGIN SELECT RAISE(ABORT, 'the books are closed'); END"
    )
    payment = Payment.start(1, {"ends": True})
    payment.trigger("submit")
    eventually(lambda: "taking a job: StatementRefused" in supervisor.log, within=20, what="the refusal to be told")
    db.execute_sql("DROP TRIGGER closed")
    assert payment.wait("over", timeout=30).state == "over"
    assert len(shop.effects("1")) == 1
    supervisor.terminate()
    assert supervisor.ended(within=15) == 0
    assert "worker.lost" not in supervisor.log
    db.close()
