"""Types for triggers, as a type checker is to understand them. Never run: mypy checks each line (test_typing.py)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, assert_type

from fsmflow import Actor, Event, HistoryEntry, Machine, State, Trigger
from tests.support.loans import Approval, Line, Loan, Payment, Refusal, Risk, Signature


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
