"""What users write wrongly where triggers have types. Never run: mypy checks each line, as in wrong.py."""

from __future__ import annotations

from fsmflow import Event
from tests.support.loans import Approval, Book, Car, Depth, Dive, Loan, LoanData, Refusal, Size, Walk, Way


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


def starting() -> None:
    Book.start("1", LoanData("5"))  # type: ignore[arg-type]
    Book.start("1", 5)  # type: ignore[call-overload]
    Book.start_many([("1", 5)])  # type: ignore[list-item]


def looking(book: Book, car: Car) -> None:
    print(book.data.amuont)  # type: ignore[attr-defined]
    print(book.data["amount"])  # type: ignore[index]
    print(book.data.lines[0].amuont)  # type: ignore[attr-defined]
    print(car.data["palte"])  # type: ignore[typeddict-item]
    print(car.data.plate)  # type: ignore[attr-defined]
    total: str = book.data.amount  # type: ignore[assignment]
    book.data.amount = total  # type: ignore[assignment]
    book.data.size = 1  # type: ignore[assignment]
    book.data.size = Size.tiny  # type: ignore[attr-defined]
    car.data["doors"] = "3"  # type: ignore[typeddict-item]
    book.data = 5  # type: ignore[assignment]
    book.retry(data=5)  # type: ignore[arg-type]


def naming(walk: Walk, dive: Dive) -> None:
    print(dive.state == Depth.tpo)  # type: ignore[attr-defined]
    dive.force(5)  # type: ignore[arg-type]
    dive.force(Depth.top.value)  # type: ignore[arg-type]
    walk.rewind(Way.nowhere)  # type: ignore[attr-defined]
    dive.wait(5)  # type: ignore[arg-type]
    Dive.find(state=5)  # type: ignore[arg-type]
    Dive.find(state=[5])  # type: ignore[list-item]
    Dive.start("1", state=5)  # type: ignore[call-overload]
