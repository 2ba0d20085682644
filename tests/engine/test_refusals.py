"""What the database refuses for good, by rules of the user's on the user's own row or at COMMIT: no race, no crash."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import peewee
import pytest

from fsmflow import DatabaseRefused, DataError, Fail, Machine, RetryAfter, State
from fsmflow.store.link import open_database
from tests.support.bench import Bench, bench_on
from tests.support.traces import failing, ran

proxy = peewee.DatabaseProxy()
KNOWN = ("pending", "charging", "sorting", "parked", "polling", "over")
#: What rules there may be over the row, with the words in which each database says so.
RULES = {
    "check": "CHECK|check|CONSTRAINT",
    "foreign key": "FOREIGN KEY|foreign key",
    "deferred": "FOREIGN KEY|foreign key",
    "too long": "too long|CHECK",
    "field": "ValueError: 'failed_from_charging' is no status",
}


class StatusField(peewee.CharField):
    """A field of the user's, which may take only what it knows."""

    is_strict = False

    def db_value(self, value: Any) -> Any:
        if self.is_strict and value not in KNOWN:
            raise ValueError(f"{value!r} is no status")
        return super().db_value(value)


class PaymentRow(peewee.Model):
    id = peewee.IntegerField(primary_key=True)
    status: Any = StatusField(max_length=40)

    class Meta:
        database = proxy
        table_name = "shop_payment"


class Payment(Machine):
    initial = "pending"
    status_field = PaymentRow.status
    states = [
        "pending",
        State("charging", job="charge"),
        State("sorting", each="parts", job="sort"),
        State("parked", timeout=timedelta(hours=1)),
        State("polling", job="poll", within=timedelta(hours=1)),
        "refunding",
        State("paid", final=True),
        State("over", final=True),
    ]
    transitions = [
        ["submit", "pending", "charging"],
        ["sort_it", "pending", "sorting"],
        ["park", "pending", "parked"],
        ["refund", ["pending", "charging"], "refunding"],
        ["refunded", "refunding", "over"],
        ["poll_it", "pending", "polling"],
        {"trigger": "tell", "source": "pending", "dest": None, "after": "tell_another"},
        ["timeout", ["parked", "polling"], "refunding"],
        ["done", "polling", "paid"],
        ["done", "charging", "paid"],
        ["done", "sorting", "paid"],
        ["branch_failed", "sorting", "refunding", "wants_to_know"],
        ["over", "charging", "over"],
    ]

    def charge(self) -> Any:
        ran.append(f"{self.entity_id}:charge")
        if self.entity_id in failing:
            raise Fail("the card is blocked")
        return {"receipt": "r-1"}

    def wants_to_know(self) -> bool:
        return bool(self.data.get("wants_to_know"))

    def tell_another(self) -> None:
        self.send("refund", to="payment:2")

    def poll(self) -> None:
        raise RetryAfter(600, "not yet")

    def sort(self, part: str) -> None:
        ran.append(part)
        if part in failing:
            raise Fail("no shelf is free")


def make_row(db: peewee.Database, rule: str) -> None:
    """The user's table, with a rule over what its status may be, and the row of payment 1."""
    names = ", ".join(f"'{name}'" for name in KNOWN)
    is_sqlite = isinstance(db, peewee.SqliteDatabase)
    reference = ", FOREIGN KEY (status) REFERENCES shop_status (name)"
    of_status, of_table = {
        "check": (f"CHECK (status IN ({names}))", ""),
        "foreign key": ("", reference),
        "deferred": ("", f"{reference} DEFERRABLE INITIALLY DEFERRED"),
        "too long": ("CHECK (length(status) <= 10)" if is_sqlite else "", ""),
        "unique": ("UNIQUE", ""),
        "field": ("", ""),
    }[rule]
    length = 10 if rule == "too long" else 40
    db.execute_sql("CREATE TABLE shop_status (name VARCHAR(40) PRIMARY KEY)")
    db.execute_sql(f"INSERT INTO shop_status VALUES {', '.join(f'({name!r})' for name in KNOWN)}")
    db.execute_sql(
        f"CREATE TABLE shop_payment (id INTEGER PRIMARY KEY, status VARCHAR({length}) NOT NULL {of_status}{of_table})"
    )
    for number in range(1, 4):
        db.execute_sql(f"INSERT INTO shop_payment VALUES ({number}, '{KNOWN[number]}')")
    StatusField.is_strict = rule == "field"


def allow(db: peewee.Database, *states: str) -> None:
    """Mend what "foreign key" and "deferred" refuse."""
    for state in states:
        db.execute_sql(f"INSERT INTO shop_status VALUES ('{state}')")


@pytest.fixture
def rule(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", "check"))


@pytest.fixture
def bench(database_url: str, redis_url: str, rule: str) -> Iterator[Bench]:
    if rule == "deferred" and "mysql" in database_url:
        pytest.skip("MySQL has no rules that wait for COMMIT")
    db = open_database(database_url)
    proxy.initialize(db)
    ran.clear()
    failing.clear()
    with bench_on(redis_url, database=db, machines=(Payment,)) as bench:
        make_row(db, rule)
        yield bench
    StatusField.is_strict = False
    db.close()


def status(number: int = 1) -> str:
    return str(PaymentRow.get_by_id(number).status)


def told(payment: Payment) -> list[tuple[str, str | None]]:
    return [(entry.dest, entry.reason) for entry in payment.history]


@pytest.mark.parametrize("rule", RULES, indirect=True)
def test_the_failure_of_a_job_is_recorded_past_a_row_that_cannot_say_so(bench: Bench, rule: str) -> None:
    failing.add("1")
    payment = Payment.start(1)
    payment.trigger("submit")
    bench.run()
    assert payment.refresh().state == "failed_from_charging"
    assert ran == ["1:charge"]
    assert status() == "charging"
    assert payment.failure is not None
    assert (payment.failure.error_type, payment.failure.message) == ("Fail", "the card is blocked")
    dest, reason = told(payment)[-1]
    assert dest == "failed_from_charging"
    assert reason is not None
    assert re.fullmatch(
        rf"its own row stays as it was, as the database refuses 'failed_from_charging' in PaymentRow\.status: .*"
        rf"({RULES[rule]}).*",
        reason,
    )
    explained = str(payment.explain())
    assert "blocked by:  Fail: the card is blocked" in explained
    assert "own row:     PaymentRow.status says 'charging', as 'failed_from_charging' was refused, which" in explained
    failing.clear()
    StatusField.is_strict = False
    payment.retry()
    assert status() == "charging"
    assert payment.explain().own_row is None


@pytest.mark.parametrize("rule", ["foreign key", "deferred"], indirect=True)
def test_a_result_that_the_row_cannot_show_is_kept_until_it_can(bench: Bench) -> None:
    payment = Payment.start(1)
    payment.trigger("submit")
    bench.run()
    assert payment.refresh().state == "failed_from_charging"
    assert status() == "charging"
    assert payment.failure is not None
    assert payment.failure.error_type == "DatabaseRefused"
    assert "returned, but the database refuses 'paid' in PaymentRow.status: " in payment.failure.message
    assert payment.failure.message.endswith("The result is kept; retry decides again from it")
    allow(bench.runtime.store.link.db, "paid")
    payment.retry()
    bench.run()
    assert (payment.refresh().state, payment.data, status()) == ("paid", {"receipt": "r-1"}, "paid")
    assert ran == ["1:charge"]


@pytest.mark.parametrize("rule", ["foreign key", "deferred"], indirect=True)
def test_a_row_that_takes_the_failure_shows_it(bench: Bench) -> None:
    allow(bench.runtime.store.link.db, "failed_from_charging")
    payment = Payment.start(1)
    payment.trigger("submit")
    bench.run()
    assert (payment.refresh().state, status()) == ("failed_from_charging", "failed_from_charging")
    assert told(payment)[-1] == ("failed_from_charging", None)


ASKED: dict[str, Callable[[Payment], object]] = {
    "trigger": lambda payment: payment.trigger("refund"),
    "force": lambda payment: payment.force("refunding"),
    "cancel": lambda payment: payment.cancel(),
}


@pytest.mark.parametrize("rule", ["check", "foreign key", "deferred", "field"], indirect=True)
@pytest.mark.parametrize("asked", ASKED)
def test_who_asks_is_told_what_the_database_refuses_and_nothing_is_done(bench: Bench, asked: str) -> None:
    payment = Payment.start(1)
    before = told(payment)
    with pytest.raises(DatabaseRefused) as refused:
        ASKED[asked](payment)
    state = "cancelled" if asked == "cancel" else "refunding"
    assert str(refused.value).startswith(f"payment:1: the database refuses '{state}' in PaymentRow.status: ")
    assert "Nothing was changed; let its rules allow every state" in str(refused.value)
    assert (payment.refresh().state, told(payment), status()) == ("pending", before, "pending")
    payment.trigger("submit")


def test_what_is_refused_at_its_start_is_not_started(bench: Bench) -> None:
    with pytest.raises(DatabaseRefused, match="payment:1: the database refuses 'refunding' in PaymentRow.status"):
        Payment.start(1, state="refunding")
    with pytest.raises(DatabaseRefused, match="payment:2: the database refuses 'refunding' in PaymentRow.status"):
        Payment.start_many([(2, {}), (1, {})], state="refunding")
    assert list(Payment.find()) == []
    assert status(1) == KNOWN[1]


@pytest.mark.parametrize("rule", ["deferred"], indirect=True)
def test_what_a_rule_refuses_at_commit_is_not_started_either(bench: Bench) -> None:
    with pytest.raises(DatabaseRefused, match="payment:1: the database refuses 'refunding' in PaymentRow.status"):
        Payment.start(1, state="refunding")
    with pytest.raises(DatabaseRefused, match="payment:2 or another of 2 that are written together: the database ref"):
        Payment.start_many([(2, {}), (1, {})], state="refunding")
    assert list(Payment.find()) == []


def test_an_id_that_no_row_can_have_is_refused_in_words(bench: Bench) -> None:
    with pytest.raises(
        DataError, match=r"PaymentRow\.id cannot be '99999999999999999999' \(it is too large a number\)"
    ):
        Payment.start("99999999999999999999")


def test_a_row_that_is_gone_is_told(bench: Bench) -> None:
    payment = Payment.start(1)
    PaymentRow.delete_by_id(1)
    assert payment.explain().own_row == "there is no PaymentRow.status with id = 1"


@pytest.mark.parametrize("rule", ["unique"], indirect=True)
def test_a_value_that_another_row_of_the_users_has_is_no_race(bench: Bench) -> None:
    Payment.start(1)
    with pytest.raises(DatabaseRefused, match="payment:2: the database refuses 'pending' in PaymentRow.status"):
        Payment.start(2)
    with pytest.raises(DatabaseRefused, match="payment:2: the database refuses 'pending' in PaymentRow.status"):
        Payment.start_many([(2, {})])


def test_inside_a_transaction_of_the_callers_the_rest_of_it_stands(bench: Bench) -> None:
    payment = Payment.start(1)
    with bench.runtime.store.link.db.atomic():
        PaymentRow.update(status="over").where(PaymentRow.id == 3).execute()
        with pytest.raises(DatabaseRefused):
            payment.trigger("refund")
    assert (payment.refresh().state, status(1), status(3)) == ("pending", "pending", "over")


def test_a_deadline_that_leads_where_the_row_cannot_follow_is_tried_again_after_a_minute(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Payment.start(1), Payment.start(2)
    first.trigger("park")
    second.trigger("submit")
    bench.advance(3_601)
    bench.run()
    assert first.refresh().state == "parked"
    assert second.refresh().state == "failed_from_charging", "others go on"
    refused = [record for record in caplog.records if "timer.refused" in record.message]
    assert ["the database refuses 'refunding' in PaymentRow.status" in record.message for record in refused] == [True]
    bench.advance(30)
    assert bench.sweep() == 0
    caplog.clear()
    bench.advance(31)
    assert [record for record in caplog.records if "timer.refused" in record.message] != []


def test_a_step_whose_time_is_over_ends_though_the_row_cannot_follow(bench: Bench) -> None:
    payment = Payment.start(1)
    payment.trigger("poll_it")
    for _ in range(8):
        bench.advance(601)
        bench.run()
    assert payment.refresh().state == "failed_from_polling"
    assert payment.failure is not None
    assert payment.failure.error_type == "StepTimeout"
    assert str(told(payment)[-1][1]).startswith("past where it was to go, as the database refuses 'refunding' in Paym")
    assert "; its own row stays as it was, as the database refuses 'failed_from_polling'" in str(told(payment)[-1][1])


def test_a_join_that_the_row_cannot_follow_is_a_failure_of_the_step(bench: Bench) -> None:
    payment = Payment.start(1, {"parts": ["a", "b"]})
    payment.trigger("sort_it")
    bench.run()
    assert payment.refresh().state == "failed_from_sorting"
    assert payment.failure is not None
    assert "committing the join raised DatabaseRefused: the database refuses 'paid' in" in payment.failure.message
    assert str(told(payment)[-1][1]).startswith("its own row stays as it was, as the database refuses 'failed_from_so")
    assert sorted(ran) == ["a", "b"]
    payment.retry()
    bench.run()
    assert sorted(ran) == ["a", "b"]


def test_branches_that_failed_are_told_past_a_row_that_cannot_say_so(bench: Bench) -> None:
    failing.add("b")
    payment = Payment.start(1, {"parts": ["a", "b"]})
    payment.trigger("sort_it")
    bench.run()
    assert payment.refresh().state == "failed_from_sorting"
    assert payment.failure is not None
    assert payment.failure.error_type == "BranchesFailed"
    assert "no shelf is free" in payment.failure.message


def test_a_branch_that_is_told_of_where_the_row_cannot_follow_ends_the_step(bench: Bench) -> None:
    failing.add("b")
    payment = Payment.start(1, {"parts": ["a", "b"], "wants_to_know": True})
    payment.trigger("sort_it")
    bench.run()
    assert payment.refresh().state == "failed_from_sorting"
    assert payment.failure is not None
    assert "committing 'branch_failed' of payment:1/sorting/1 raised DatabaseRefused: " in payment.failure.message
    assert sorted(ran) == ["a", "b"]


def test_a_message_that_leads_where_the_row_cannot_follow_is_refused_in_the_history(bench: Bench) -> None:
    sender, addressee = Payment.start(1), Payment.start(2)
    sender.trigger("tell")
    bench.run()
    assert (addressee.refresh().state, status(2)) == ("pending", "pending")
    last = addressee.history[-1]
    assert (last.kind, last.trigger) == ("discarded", "refund")
    assert "the database refuses 'refunding' in PaymentRow.status" in str(last.reason)


def test_a_worker_that_is_lost_too_often_is_recorded_past_the_row(bench: Bench) -> None:
    payment = Payment.start(1)
    payment.trigger("submit")
    for _ in range(4):
        claimed = bench.runtime.store.work.claim(bench.take(), "gone", lease_until=bench.clock.ms)
        assert claimed is not None
        bench.advance(1)
    assert payment.refresh().state == "failed_from_charging"
    assert payment.failure is not None
    assert payment.failure.error_type == "WorkerLost"
    assert status() == "charging"
