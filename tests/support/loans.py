"""Something whose triggers and data have types, of each kind that there is: a loan."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
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


@dataclasses.dataclass
class LoanData:
    """What a loan with typed data knows."""

    amount: int
    lines: list[Line] = dataclasses.field(default_factory=list)
    size: Size = Size.small
    note: str | None = None

    @property
    def total(self) -> int:
        """All that its lines come to."""
        return sum(line.amount for line in self.lines)


class Book(Machine[LoanData]):
    """A loan that is booked: its data have a type."""

    initial = "new"
    states = ["new", State("booking", job="book"), State("asking", job="book", wait=True), State("over", final=True)]
    transitions = [
        ["go", "new", "booking"],
        ["done", "booking", "over", "is_small"],
        {"trigger": "touch", "source": "new", "dest": None, "before": "add"},
        ["ask_them", "new", "asking"],
        ["end", "asking", "over"],
    ]
    go: Trigger
    touch: Trigger

    def is_small(self) -> bool:
        return self.data.amount < 1_000

    def add(self) -> None:
        self.data.lines.append(Line("car", 2))
        self.data.size = Size.large

    def book(self) -> Mapping[str, Any] | None:
        return play[self.entity_id](self)


#: What the jobs of a ``Book`` do, by its id.
play: dict[str, Callable[[Book], Mapping[str, Any] | None]] = {}


class CarData(TypedDict):
    """What a machine with a TypedDict knows."""

    plate: str
    doors: NotRequired[int]


class Car(Machine[CarData]):
    """Its data are a TypedDict: what a handle shows, and a job changes, is a dict as ever."""

    initial = "new"
    states = ["new", State("painting", job="paint"), State("over", final=True)]
    transitions = [["go", "new", "painting"], ["done", "painting", "over"]]

    def paint(self) -> None:
        self.data["doors"] = len(self.data["plate"])


class Ticket(pydantic.BaseModel):
    """Data by pydantic."""

    seat: int
    row: str = "A"


class Seat(Machine[Ticket]):
    """Its data are a model of pydantic."""

    initial = "new"
    states = ["new", State("printing", job="print_it"), State("over", final=True)]
    transitions = [["go", "new", "printing"], ["done", "printing", "over"]]

    def print_it(self) -> None:
        self.data.seat += 1


class Parcel(msgspec.Struct):
    """Data by msgspec."""

    weight: float
    size: Size = Size.small


class Post(Machine[Parcel]):
    """Its data are a Struct of msgspec."""

    initial = "new"
    states = ["new", State("weighing", job="weigh"), State("over", final=True)]
    transitions = [["go", "new", "weighing"], ["done", "weighing", "over"]]

    def weigh(self) -> None:
        self.data.weight *= 2


class Way(StrEnum):
    """States as a StrEnum, which is text."""

    here = "here"
    there = "there"


class Depth(Enum):
    """States as an Enum whose members are no text."""

    top = 1
    middle = 2
    bottom = 3


class Walk(Machine):
    """Its states are members of a StrEnum."""

    initial = Way.here
    states = [State(Way.here), State(Way.there, final=True)]
    transitions = [["go", Way.here, Way.there]]
    go: Trigger


class Dive(Machine):
    """Its states are members of an Enum."""

    initial = Depth.top
    states = [State(Depth.top), State(Depth.middle), State(Depth.bottom, final=True)]
    transitions = [["sink", Depth.top, Depth.middle], ["sink", [Depth.middle], Depth.bottom]]
    sink: Trigger
