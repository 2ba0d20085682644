"""What users write wrongly where triggers have types. Never run: mypy checks each line, as in wrong.py."""

from __future__ import annotations

from fsmflow import Event
from tests.support.loans import Approval, Loan, Refusal


def firing(loan: Loan) -> None:
    loan.approve(5)  # type: ignore[call-overload]
    loan.aprove()  # type: ignore[attr-defined]
    loan.approve(Refusal(why="age"))  # type: ignore[call-overload]
    loan.approve({"amount": 5})  # type: ignore[call-overload]
    loan.approve(Approval(amount="5"))  # type: ignore[arg-type]
    loan.approve(Approval(amout=5))  # type: ignore[call-arg]
    loan.approve(Approval(5), 6)  # type: ignore[call-overload]
    loan.approve(Approval(5), actor=5)  # type: ignore[call-overload]
    loan.approve(amount=5, epoch="1")  # type: ignore[call-overload]
    loan.refuse({"why": "hair"})  # type: ignore[call-overload]
    loan.refuse({"wyh": "age"})  # type: ignore[call-overload]
    loan.ask(5)  # type: ignore[call-overload]
    loan.ask(Approval(5))  # type: ignore[call-overload]
    print(loan.approve(Approval(5)).dets)  # type: ignore[attr-defined]
    loan.trigger("approve", 5)  # type: ignore[arg-type]
    loan.trigger("approve", object())  # type: ignore[arg-type]


def reading(event: Event) -> None:
    print(event.payload_as(Approval).amuont)  # type: ignore[attr-defined]
    print(event.payload_as(Refusal)["wyh"])  # type: ignore[typeddict-item]
    event.payload_as(5)  # type: ignore[arg-type]
