"""Types for triggers, as a type checker is to understand them. Never run: mypy checks each line (test_typing.py)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, assert_type

import fsmflow
from fsmflow import Actor, Event, HistoryEntry, Machine, State, Trigger, repairs
from tests.support.loans import (
    Approval,
    Book,
    Car,
    CarData,
    Depth,
    Dive,
    Line,
    Loan,
    LoanData,
    Parcel,
    Payment,
    Post,
    Refusal,
    Risk,
    Seat,
    Signature,
    Size,
    Ticket,
    Walk,
    Way,
)


class Plain(Machine):
    states = [State("open")]
    free: Trigger[dict[str, Any]]
    loose: Trigger[Any]
    bare: Trigger[None]


def firing(loan: Loan, plain: Plain) -> None:
    ann = Actor("ann", roles={"clerk"})
    assert_type(loan.approve(Approval(5, Risk.high, [Line("car")], date(2030, 1, 31))), HistoryEntry)
    assert_type(loan.approve(Approval(amount=5), actor=ann, reason="r", key="k", epoch=1), HistoryEntry)
    assert_type(loan.approve(amount=5, risk="high", actor="ann"), HistoryEntry)
    assert_type(loan.refuse({"why": "age", "words": "x"}), HistoryEntry)
    assert_type(loan.refuse(Refusal(why="income")), HistoryEntry)
    assert_type(loan.pay(Payment(amount=Decimal(1)), within=object()), HistoryEntry)
    assert_type(loan.sign(Signature("ann")), HistoryEntry)
    assert_type(loan.ask(), HistoryEntry)
    assert_type(loan.ask(actor="ann"), HistoryEntry)
    assert_type(plain.free({"a": 1}), HistoryEntry)
    assert_type(plain.loose(object()), HistoryEntry)
    assert_type(plain.bare(reason="r"), HistoryEntry)
    assert_type(loan.trigger("approve", Approval(5)), HistoryEntry)
    assert_type(loan.trigger("pay", Payment(amount=Decimal(1)), key="k"), HistoryEntry)
    assert_type(loan.trigger("sign", Signature("ann")), HistoryEntry)
    assert_type(loan.trigger("refuse", Refusal(why="age")), HistoryEntry)


def reading(event: Event) -> None:
    assert_type(event.payload_as(Approval).risk, Risk)
    assert_type(event.payload_as(Approval).until, date | None)
    assert_type(event.payload_as(Payment).parts, list[Line])
    assert_type(event.payload_as(Refusal).get("words"), str | None)


def starting() -> None:
    assert_type(Book.start("1", LoanData(5)), Book)
    assert_type(Book.start(LoanData(5), actor="ann"), Book)
    assert_type(Book.start("1", amount=5), Book)
    assert_type(Book.start_many([("1", LoanData(5)), ("2", {"amount": 5})]), int)
    assert_type(Car.start("1", CarData(plate="G-1")), Car)
    assert_type(Seat.start("1", Ticket(seat=1)), Seat)
    assert_type(Post.start("1", Parcel(1.0)), Post)


def looking(book: Book, car: Car, seat: Seat, post: Post, loan: Loan) -> None:
    assert_type(book.data, LoanData)
    assert_type(book.data.lines[0].amount, int)
    assert_type(book.data.size, Size)
    assert_type(book.data.total, int)
    assert_type(next(Book.find()).data, LoanData)
    assert_type(Book.get("1").refresh().data.note, str | None)
    assert_type(car.data, CarData)
    assert_type(car.data["plate"], str)
    assert_type(car.data.get("doors"), int | None)
    assert_type(seat.data.seat, int)
    assert_type(post.data.weight, float)
    assert_type(loan.data, dict[str, Any])
    assert_type(book.plain_data, dict[str, Any])


def changing(book: Book, car: Car) -> None:
    book.data.amount += 1
    book.data.lines.append(Line("car"))
    book.data = LoanData(5)
    car.data["doors"] = 3
    assert_type(book.retry(data={"amount": 5}), Book)


def naming(walk: Walk, dive: Dive) -> None:
    is_here: bool = walk.state == Way.here
    is_top: bool = dive.state == Depth.top
    is_top = Depth.top == dive.state or is_here or is_top
    assert_type(repr(dive.state.upper()), str)
    assert_type(dive.state in (Depth.top, Depth.middle), bool)
    assert_type(Dive.start("1", state=Depth.middle), Dive)
    assert_type(Walk.start("1", state=Way.here), Walk)
    assert_type(dive.force(Depth.top).rewind(Depth.middle), Dive)
    assert_type(dive.wait(Depth.bottom).wait([Depth.top, "bottom"]), Dive)
    assert_type([each.data for each in Dive.find(state=[Depth.top])], list[dict[str, Any]])
    assert_type(next(Walk.find(state=Way.there)), Walk)
    repairs.start("cancel", machine="dive", state=Depth.top)
    fsmflow.feed("deep", states=[Depth.top], machine=Dive)
