"""Payments whose state stands in a row of the user's own, which has rules of its own; for worker processes."""

from __future__ import annotations

import os
from typing import Any

import peewee

import fsmflow
from fsmflow import Fail, Machine, Outcome, State
from fsmflow.store.link import open_database
from tests.support.process_flows import folder, leave_effect

proxy = peewee.DatabaseProxy()
_ALLOWED = ("pending", "charging", "booking", "over")


class PaymentRow(peewee.Model):
    id = peewee.IntegerField(primary_key=True)
    status = peewee.CharField(max_length=40)

    class Meta:
        database = proxy
        table_name = "shop_payment"


class Payment(Machine):
    initial = "pending"
    status_field = PaymentRow.status
    states = [
        "pending",
        State("charging", job="charge"),
        State("booking", job="book", transactional=True),
        State("paid", final=True),
        State("over", final=True),
    ]
    transitions = [
        ["submit", "pending", "charging"],
        ["book_it", "pending", "booking"],
        ["done", ["charging", "booking"], "paid"],
        ["end", ["charging", "booking"], "over"],
    ]

    def charge(self) -> Any:
        leave_effect(self)
        if self.data.get("fails"):
            raise Fail("the card is blocked")
        return Outcome("end") if self.data.get("ends") else {"receipt": "r-1"}

    def book(self) -> Any:
        leave_effect(self)
        proxy.execute_sql("INSERT INTO shop_booking VALUES ('no such account')")
        return Outcome("end")


def connect(database_url: str, redis_url: str) -> peewee.Database:
    """Have fsmflow and the models of this module work on one database."""
    db = open_database(database_url)
    proxy.initialize(db)
    fsmflow.configure(database=db, redis_url=redis_url, machines=[__name__], home=folder())
    return db


def make_tables(db: peewee.Database) -> None:
    """The tables of the shop, with rules: one over the status, and one that strikes at COMMIT where there are such."""
    late = "" if isinstance(db, peewee.MySQLDatabase) else "DEFERRABLE INITIALLY DEFERRED"
    names = ", ".join(f"'{name}'" for name in _ALLOWED)
    db.execute_sql(
        f"CREATE TABLE shop_payment (id INTEGER PRIMARY KEY, status VARCHAR(40) NOT NULL CHECK (status IN ({names})))"
    )
    db.execute_sql("CREATE TABLE shop_account (name VARCHAR(40) PRIMARY KEY)")
    db.execute_sql(
        "CREATE TABLE shop_booking (account VARCHAR(40) NOT NULL, "
        f"FOREIGN KEY (account) REFERENCES shop_account (name) {late})"
    )


if "RULED_DATABASE_URL" in os.environ:
    connect(os.environ["RULED_DATABASE_URL"], os.environ["RULED_REDIS_URL"])
