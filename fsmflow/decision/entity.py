"""The values that decisions are made of. All frozen; moments are UTC milliseconds unless they are datetimes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import IntEnum
from typing import Any, Final, TypeVar

from fsmflow import clock, codec, shapes
from fsmflow.decision.work import Work
from fsmflow.definition.model import StateSpec
from fsmflow.definition.names import CANCELLED, FINISHED, UNDONE
from fsmflow.errors import FsmflowError
from fsmflow.values import dataclass

Kind = TypeVar("Kind")


class Standing(IntEnum):
    """How a branch stands to its parent: waits for its turn, is on its way, or has settled.

    ``DONE_TOLD`` and ``FAILED_TOLD``: the parent asks for ``branch_done`` and ``branch_failed``, and has been told. The
    last three are those of a child that goes by itself: its parent has gone on without it, or an operator placed it.
    """

    QUEUED = 0
    ACTIVE = 1
    DONE = 2
    FAILED = 3
    DONE_TOLD = 4
    FAILED_TOLD = 5
    FREE = 6
    FREE_DONE = 7
    FREE_FAILED = 8

    @property
    def is_settled(self) -> bool:
        """Whether its parent need not wait for it."""
        return self > Standing.ACTIVE

    @property
    def is_done(self) -> bool:
        """Whether it came to its end as it should."""
        return self in (Standing.DONE, Standing.DONE_TOLD, Standing.FREE_DONE)

    @property
    def is_failed(self) -> bool:
        """Whether it has settled otherwise: failed, cancelled or undone."""
        return self in (Standing.FAILED, Standing.FAILED_TOLD, Standing.FREE_FAILED)

    @property
    def is_free(self) -> bool:
        """Whether it goes by itself: what its parent does is passed down to it no more, but for a cancel."""
        return self >= Standing.FREE

    @property
    def freed(self) -> Standing:
        """The same of a child that goes by itself."""
        return Standing.FREE_DONE if self.is_done else Standing.FREE_FAILED if self.is_failed else Standing.FREE


#: What a parent still waits for, what has failed in its step, and what goes by itself and may end yet: as SQL asks.
UNSETTLED: Final = tuple(standing for standing in Standing if not standing.is_settled)
FAILED_ONES: Final = (Standing.FAILED, Standing.FAILED_TOLD)
FREE_ONES: Final = (Standing.FREE, Standing.FREE_FAILED)
UNTOLD: Final = (Standing.DONE, Standing.FAILED)


@dataclass(frozen=True, kw_only=True)
class Event:
    """A trigger as it was received: what guards and jobs see as ``machine.event``."""

    trigger: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    actor: str | None = None
    at: datetime

    def payload_as(self, kind: type[Kind]) -> Kind:
        """The payload as an object of the type that was declared for it. Raises DataError where it does not fit."""
        made: Kind = shapes.shape_of(kind).make(self.payload, f"{self.trigger}: payload")
        return made

    def to_text(self) -> str:
        at = clock.from_datetime(self.at)
        return codec.encode(
            {"trigger": self.trigger, "payload": self.payload, "actor": self.actor, "at": at}, what="payload"
        )

    @classmethod
    def from_text(cls, text: str) -> Event:
        stored = codec.decode(text)
        return cls(**{**stored, "at": clock.to_datetime(stored["at"])})


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an attempt failed. ``attempts`` counts the runs of the step so far; ``fingerprint`` is the same for
    failures of the same kind in the same state. ``origin``: module and function of the user in which it was raised.

    ``recipe`` is the number of what made the fingerprint; ``former`` is what older ones would have made."""

    error_type: str
    message: str
    traceback: str
    state: str
    attempts: int
    at: datetime
    fingerprint: str
    permanent: bool
    origin: str | None = None
    recipe: int = 1
    former: tuple[str, ...] = ()

    def erased(self) -> Failure:
        """The same without what may tell of people."""
        return Failure(**{**self.__dict__, "message": "(erased)", "traceback": ""})

    def to_text(self) -> str:
        return codec.encode({**self.__dict__, "at": clock.from_datetime(self.at)}, what="failure")

    @classmethod
    def from_text(cls, text: str) -> Failure:
        stored = codec.decode(text)
        former = tuple(stored.get("former", ()))
        return cls(**{**stored, "at": clock.to_datetime(stored["at"]), "former": former})


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a worker holds while it runs an attempt: every write of its result is guarded by all of it."""

    row: int
    epoch: int
    attempt: int
    fence: int
    owner: str

    def holds(self, snapshot: Snapshot) -> bool:
        """Whether the claim is still the live one."""
        work = snapshot.work
        return work is not None and (work.epoch, work.attempt, work.fence, work.owner) == (
            self.epoch,
            self.attempt,
            self.fence,
            self.owner,
        )


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """An entity as its row and its work row were at one moment. Texts are in the form of ``codec``."""

    row: int
    machine: str
    entity_id: str
    state: str
    phase: str
    epoch: int
    revision: int
    seq: int
    data_text: str
    step: int
    #: How the step is called in its idempotency key, and how often each state has been visited.
    step_name: str = ""
    visits_text: str = "{}"
    event_text: str
    result_text: str | None = None
    failure_text: str | None = None
    fingerprint: str | None = None
    paused: bool = False
    version: int = 1
    created_at: int
    entered_at: int
    updated_at: int
    parent: int | None = None
    parent_step: int | None = None
    parent_index: int | None = None
    branch_of: str | None = None
    branch_name: str | None = None
    item_text: str | None = None
    standing: Standing | None = None
    kept: int = 0
    #: Whether messages may be on their way that end with this visit.
    bound: bool = False
    #: The mark of the items of its step, once all of them have been read: see ``items``.
    items: str | None = None
    work: Work | None = None
    #: What its state is called in the database, where that was renamed since. Not stored itself.
    stored_as: str | None = None

    @property
    def has_settled(self) -> bool:
        """Whether this is a branch or child that its parent need not wait for."""
        return self.standing is not None and self.standing.is_settled

    @property
    def holds(self) -> bool:
        """Whether a pause holds what would come next by itself."""
        return self.paused and self.phase != FINISHED

    @property
    def part(self) -> str | None:
        """What a branch or child is called in its step, and ends its address with; None for what has no parent."""
        return self.branch_name or (None if self.parent_index is None else str(self.parent_index))

    @property
    def address(self) -> str:
        return f"{self.machine}:{self.entity_id}"

    @property
    def data(self) -> dict[str, Any]:
        """A fresh copy of the data."""
        return dict(codec.decode(self.data_text))

    @property
    def event(self) -> Event:
        """What first entered the step that the entity is in."""
        return Event.from_text(self.event_text)

    @property
    def failure(self) -> Failure | None:
        return Failure.from_text(self.failure_text) if self.failure_text else None


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a branch or child belongs: to which step of which parent, and as what part of it. ``branch_name``: of
    ``jobs=`` and ``machines=``; what is made for an item goes by its index."""

    parent: int | None = None
    parent_step: int | None = None
    parent_index: int | None = None
    branch_of: str | None = None
    branch_name: str | None = None
    item_text: str | None = None
    standing: Standing | None = None


class ClaimLost(FsmflowError):
    """The claim under which an attempt wanted to commit is no longer live."""


def standing_in(snapshot: Snapshot, spec: StateSpec) -> Standing | None:
    """The standing that entering a state gives; None for what has no parent."""
    if snapshot.parent is None:
        return None
    if spec.is_failed or spec.name in (CANCELLED, UNDONE):
        found = Standing.FAILED
    else:
        found = Standing.DONE if spec.is_final else Standing.ACTIVE
    return found.freed if snapshot.standing is not None and snapshot.standing.is_free else found


class StaleClaim(FsmflowError):
    """The attempt that wants to settle has been taken over, left or cancelled. It changes nothing."""
