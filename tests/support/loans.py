"""Something whose triggers and data have types, of each kind that there is: a loan."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any, Literal, NotRequired, TypedDict

import msgspec
import pydantic

from fsmflow import Hook, Machine, State, Trigger
from fsmflow.signatures import Hmac

SECRET = b"whsec-of-tests"


class Risk(StrEnum):
    low = "low"
    high = "high"


class Size(Enum):
    small = 1
    large = 2


@dataclasses.dataclass
class Line:
    """A part of what is lent."""

    what: str
    amount: int = 1


@dataclasses.dataclass
class Approval:
    """What comes with ``approve``."""

    amount: int
    risk: Risk = Risk.low
    lines: list[Line] = dataclasses.field(default_factory=list)
    until: date | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.amount < 0:
            raise ValueError("a loan is not negative")


class Refusal(TypedDict):
    """What comes with ``refuse``."""

    why: Literal["income", "age"]
    words: NotRequired[str]


class Payment(pydantic.BaseModel):
    """What comes with ``pay``."""

    amount: Decimal = pydantic.Field(gt=0)
    parts: list[Line] = []


class Signature(msgspec.Struct):
    """What comes with ``sign``."""

    name: str
    marks: list[int] = msgspec.field(default_factory=list)


class Loan(Machine):
    """A loan that is asked for, decided, signed and paid back."""

    initial = "asked"
    redact = ["iban"]
    states = [State("asked", defer=["pay"]), State("granted", job="book"), "open", State("over", final=True)]
    transitions = [
        {"trigger": "approve", "source": "asked", "dest": "granted", "after": "keep"},
        ["done", "granted", "open"],
        ["refuse", "asked", "over"],
        ["sign", "open", None],
        ["pay", "open", "over"],
        ["ask", ["asked", "open"], None],
        ["note", ["asked", "open"], None],
        ["transfer", "asked", None],
    ]
    hooks = [
        Hook(
            "desk",
            trigger="approve",
            entity="loan",
            verify=Hmac(SECRET.decode(), "X-Desk-Signature", id="id", event="type"),
            payload={"amount": "amount"},
        )
    ]
    approve: Trigger[Approval]
    refuse: Trigger[Refusal]
    pay: Trigger[Payment]
    sign: Trigger[Signature]
    ask: Trigger
    note: Trigger[Any]
    transfer: Trigger[Transfer]

    def keep(self) -> None:
        self.data["approved"] = self.event.payload_as(Approval).lines[0].amount if self.event.payload["lines"] else 0

    def book(self) -> Mapping[str, Any]:
        approval = self.event.payload_as(Approval)
        return {"booked": approval.amount, "is_risky": approval.risk is Risk.high}


class Transfer(TypedDict):
    """What comes with ``transfer``; it is declared after what uses it."""

    iban: int
