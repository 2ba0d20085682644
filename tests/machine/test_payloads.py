"""Triggers whose payload has a type: what fits is stored plain, what does not is refused with its place."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pydantic
import pytest

from fsmflow import DataError, DefinitionError, Machine, State, Trigger
from fsmflow.shapes import shape_of
from fsmflow.testing import Sandbox, sandbox
from tests.support.loans import Approval, Line, Loan, Payment, Refusal, Risk, Signature


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox(machines=[Loan, Clerk, Bank]) as box:
        yield box


@pytest.fixture
def loan(box: Sandbox) -> Loan:
    return Loan.start("1")


def test_an_object_of_the_type_or_its_fields_are_stored_plain_and_defaults_are_filled_in(loan: Loan) -> None:
    given = Approval(5, Risk.high, [Line("car")], date(2030, 1, 31))
    assert loan.what_if("approve", given).state == "granted"
    stored = loan.approve(given, actor="ann").payload
    lines = [{"what": "car", "amount": 1}]
    assert stored == {"amount": 5, "risk": "high", "lines": lines, "until": date(2030, 1, 31), "note": ""}
    assert type(stored["risk"]) is str
    other = Loan.start("2").approve(amount=7, until="2030-01-31")
    assert other.payload == {"amount": 7, "risk": "low", "lines": [], "until": date(2030, 1, 31), "note": ""}
    assert Loan.start("3").trigger("refuse", Refusal(why="age")).payload == {"why": "age"}


def test_callbacks_and_jobs_make_an_object_of_the_payload(box: Sandbox, loan: Loan) -> None:
    loan.approve(Approval(5, Risk.high, [Line("car", 3)]))
    box.run()
    assert loan.refresh().data == {"approved": 3, "booked": 5, "is_risky": True}
    loan.sign(Signature("ann", [1]))
    assert loan.refresh().history[-1].payload == {"name": "ann", "marks": [1]}
    assert loan.pay(amount="7.50").payload == {"amount": Decimal("7.50"), "parts": []}


@pytest.mark.parametrize(
    ("trigger", "payload", "told"),
    [
        (
            "approve",
            {"amount": 1, "lines": [{"what": "a"}, {"what": "b", "amount": "x"}]},
            ".lines[1].amount: 'x' is no int",
        ),
        ("approve", {"amount": True}, ".amount: True is no int"),
        ("approve", {}, ".amount: it is missing; it takes int"),
        ("approve", {"amuont": 1, "amount": 1}, ".amuont: there is no such field; did you mean 'amount'?"),
        ("approve", {"amount": 1, "risk": "hig"}, ".risk: 'hig' is none of 'low', 'high'; did you mean 'high'?"),
        ("approve", {"amount": 1, "until": "soon"}, ".until: 'soon' is no date"),
        ("approve", {"amount": -1}, ": a loan is not negative"),
        ("approve", {"amount": 1, "lines": "x"}, ".lines: 'x' is no list"),
        ("refuse", {"why": "hair"}, ".why: 'hair' is none of 'income', 'age'"),
        ("refuse", {"why": "age", "more": 1}, ".more: there is no such field; there are why, words"),
        ("pay", {"amount": 0}, ".amount: 0: Input should be greater than 0"),
        (
            "pay",
            {"amount": 1, "parts": [{"what": "a", "amount": []}]},
            ".parts[0].amount: []: Input should be a valid integer",
        ),
        ("pay", {"amount": 1, "tip": 1}, ".tip: there is no such field; there are amount, parts"),
        ("sign", {"name": "ann", "marks": [1, "x"]}, ".marks[1]: Expected `int`, got `str`"),
        ("sign", {"nme": "ann"}, ".nme: there is no such field; did you mean 'name'?"),
        ("ask", {"why": 1}, ".why: it takes no payload"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place_and_writes_nothing(
    loan: Loan, trigger: str, payload: dict[str, Any], told: str
) -> None:
    with pytest.raises(DataError) as refused:
        loan.trigger(trigger, payload)
    assert str(refused.value).startswith(f"{trigger}: payload{told}")
    assert loan.refresh().history[-1].trigger is None


@dataclasses.dataclass
class Rate:
    """Says no with other errors than ValueError."""

    share: float
    parts: int = 1

    def __post_init__(self) -> None:
        assert self.share >= 0, "a share is not negative"
        assert 1 / self.parts


class Bank(Machine):
    """Takes rates."""

    initial = "open"
    states = ["open", State("shut", final=True)]
    transitions = [["close", "open", "shut"], ["set_rate", "open", None]]
    set_rate: Trigger[Rate]


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ({"share": 10**400}, ".share: 1000"),
        ({"share": -1}, ": AssertionError: a share is not negative"),
        ({"share": 1, "parts": 0}, ": ZeroDivisionError: "),
    ],
)
def test_any_error_of_a_class_says_that_it_does_not_fit(box: Sandbox, payload: dict[str, Any], told: str) -> None:
    bank = Bank.start("1")
    with pytest.raises(DataError) as refused:
        bank.set_rate(**payload)
    assert str(refused.value).startswith(f"set_rate: payload{told}")


class Fee(pydantic.BaseModel):
    """Looks something up."""

    name: str

    @pydantic.field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        return {"tax": "tax"}[name]


class Toll(msgspec.Struct):
    """The same by msgspec."""

    name: str

    def __post_init__(self) -> None:
        assert {"tax": "tax"}[self.name]


@pytest.mark.parametrize("kind", [Fee, Toll])
def test_so_does_any_error_of_a_model(kind: Any) -> None:
    with pytest.raises(DataError, match="^fee: KeyError: "):
        shape_of(kind).check({"name": "x"}, "fee")


def test_all_that_is_wrong_is_told_and_no_more_than_five_in_words(loan: Loan) -> None:
    wrong = [{"what": index} for index in range(7)]
    with pytest.raises(DataError, match=r"lines\[4\]\.what: 4 is no str; and 2 more$") as refused:
        loan.approve(amount=1, lines=wrong)
    faults: Any = refused.value
    assert [fault.place for fault in faults.faults] == [("lines", index, "what") for index in range(7)]


def test_one_that_is_kept_is_checked_as_it_comes(box: Sandbox, loan: Loan) -> None:
    with pytest.raises(DataError, match="pay: payload.amount"):
        loan.pay(amount="much")
    assert loan.pay(Payment(amount=Decimal(3))).kind == "deferred"
    loan.approve(amount=3)
    box.run()
    assert loan.refresh().state == "over"


def test_any_takes_anything_and_no_type_takes_nothing(loan: Loan) -> None:
    assert loan.note(x=[1]).payload == {"x": [1]}
    assert loan.ask().payload == {}


def test_what_is_redacted_is_not_told(loan: Loan) -> None:
    with pytest.raises(DataError) as refused:
        loan.transfer(iban="AT611904300234573201")
    assert "AT61" not in str(refused.value)
    assert "transfer: payload.iban: " in str(refused.value)


class Clerk(Machine):
    """Sends what does not fit."""

    initial = "sending"
    states = [State("sending", job="tell"), State("sent", final=True)]
    transitions = [["done", "sending", "sent"]]

    def tell(self) -> None:
        self.send("approve", to="loan:1", amount="x")
        self.send("approve", to="loan:1", amount=3)


def test_a_message_that_does_not_fit_is_discarded_with_words(box: Sandbox, loan: Loan) -> None:
    clerk = Clerk.start("c")
    box.run()
    reasons = [entry.reason for entry in loan.refresh().history if entry.kind == "discarded"]
    assert ["approve: payload.amount: 'x' is no int" in (reason or "") for reason in reasons] == [True]
    assert loan.data["booked"] == 3
    assert "'x' is no int" in str([entry.reason for entry in clerk.refresh().history])


def _declared(annotations: dict[str, Any]) -> str:
    body = {
        "__annotations__": annotations,
        "__module__": __name__,
        "initial": "a",
        "states": ["a", State("z", final=True)],
        "transitions": [["approve", "a", "z"]],
    }
    with pytest.raises(DefinitionError) as refused:
        type("Odd", (Machine,), body)
    return str(refused.value)


def test_a_type_for_what_the_machine_does_not_have_is_a_fault_with_the_close_match() -> None:
    assert "Odd.aprove: Trigger[Approval]: there is no trigger 'aprove'; did you mean 'approve'?" in _declared(
        {"aprove": "Trigger[Approval]"}
    )
    assert "retry() is a method of fsmflow" in _declared({"retry": Trigger[Approval]})
    assert "'done' belongs to the engine" in _declared({"done": "Trigger"})
    assert "there is no trigger 'x'; its triggers are approve" in _declared({"x": "fsmflow.Trigger"} | {"x": Trigger})
    assert "complex is no type that can be checked and stored" in _declared({"approve": "Trigger[complex]"})


def test_a_class_in_a_function_may_use_the_types_of_that() -> None:
    class Note(Refusal):
        """One more field."""

        at: int

    class Local(Machine):
        initial = "a"
        states = ["a", State("z", final=True)]
        transitions = [["approve", "a", "z"]]
        approve: Trigger[Note]

    with sandbox(machines=[Local]), pytest.raises(DataError, match="payload.at: 'x' is no int"):
        Local.start("1").trigger("approve", json.loads('{"why": "age", "at": "x"}'))


def test_a_name_that_is_never_there_is_told_when_it_is_needed() -> None:
    body = {"__annotations__": {"approve": "Trigger[Nowhere]"}, "__module__": __name__, "initial": "a"}
    ways = {"states": ["a", State("z", final=True)], "transitions": [["approve", "a", "z"]]}
    odd: Any = type("Odd", (Machine,), {**body, **ways})
    with sandbox(machines=[odd]), pytest.raises(DefinitionError, match="'Nowhere' is not defined as the program runs"):
        odd.start("1").approve()
